"""The server pods of a release, followed by a watch."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.resources.core_v1 import Pod

from lab.errors import LabError
from lab.replicas import SECOND, Replica
from tests.e2e.kube import Release

PORT = 9090
LIMIT = 60.0  # seconds that pods may take to become as they should be


def connect(namespace: str) -> AsyncClient:
    return AsyncClient(KubeConfig.from_env().get(), namespace=namespace, trust_env=False)


class Servers:
    """All server pods since the watch began, those that left too.

    Times are when the watch told of it, for a pod's conditions are exact to a second only; so a clock of the
    cluster that is not this machine's moves them. `terminating_at` is when the pod's deletion was asked for,
    which takes it out of its Services; its SIGTERM follows after the preStop pause.
    """

    def __init__(self, release: Release) -> None:
        self._release = release
        self._replicas: dict[str, Replica] = {}
        self._changed = asyncio.Condition()
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._client = connect(self._release.namespace)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (self._watching, *self._reading.values()):
            task.cancel()
        await asyncio.gather(self._watching, *self._reading.values(), return_exceptions=True)
        await self._client.close()

    @property
    def seen(self) -> Sequence[Replica]:
        """All as they are now, in order of start."""
        return list(self._replicas.values())

    async def replicas(self) -> Sequence[Replica]:
        """Return all, in order of start, with the ids of those that have been ready."""
        await asyncio.gather(*self._reading.values())
        return self.seen

    async def until(
        self, wanted: Callable[[Sequence[Replica]], bool], what: str, limit: float = LIMIT
    ) -> None:
        """Return once the pods are as wanted; raises LabError, with `what` was wanted, after the limit."""
        try:
            async with asyncio.timeout(limit), self._changed:
                while not wanted(self.seen):
                    if self._watching.done():
                        self._watching.result()
                    await self._changed.wait()
        except TimeoutError:
            pods = "; ".join(map(str, self.seen))
            raise LabError(f"waited {limit:g} s for {what}: {pods}") from None

    async def _watch(self) -> None:
        labels = {
            "app.kubernetes.io/instance": self._release.name,
            "app.kubernetes.io/component": "server",
        }
        try:
            async for kind, pod in self._client.watch(Pod, labels=labels):
                self._see(kind, pod)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._changed.notify_all()

    def _see(self, kind: str, pod: Pod) -> None:
        now = time.time_ns()
        name = pod.metadata.name
        known = self._replicas.get(name) or Replica(name, "", PORT, started_at=now)
        known = replace(known, address=pod.status.podIP or known.address)
        became = _ready_since(pod)
        if became is not None and known.ready_at is None:
            # the condition names the second in which it was: where the watch lags, its end is nearer
            known = replace(known, ready_at=min(now, round(became.timestamp() + 1) * SECOND))
            self._reading[name] = asyncio.create_task(self._identify(name))
        if pod.metadata.deletionTimestamp and known.terminating_at is None:
            known = replace(known, terminating_at=now)
        if kind == "DELETED":
            known = replace(known, exited_at=now)
        self._replicas[name] = known

    async def _identify(self, name: str) -> None:
        async with asyncio.timeout(LIMIT):
            while True:
                with suppress(ApiError):
                    async for line in self._client.log(name, container="server"):
                        with suppress(ValueError):
                            entry = json.loads(line)
                            if isinstance(entry, dict) and entry.get("event") == "serving":
                                self._replicas[name] = replace(self._replicas[name], id=entry["id"])
                                return
                await asyncio.sleep(0.1)


def _ready_since(pod: Pod) -> datetime | None:
    conditions = pod.status.conditions or []
    return next(
        (one.lastTransitionTime for one in conditions if (one.type, one.status) == ("Ready", "True")), None
    )
