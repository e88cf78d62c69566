"""The cluster of KUBECONFIG as the experiments see it: a release of servers, scaled by kubectl."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from lab.replicas import Replica, State
from tests.e2e.kube import CommandError, Release
from tests.e2e.pods import LIMIT, PORT, Servers

STALENESS = float(os.environ.get("E2E_DNS_STALENESS", "1"))
"""Seconds that the cluster's DNS may lag behind its endpoints. CoreDNS as kubeadm sets it up keeps no answer
about cluster.local; with `cache 30` or NodeLocal DNSCache set E2E_DNS_STALENESS to 30."""


TAKE_ALL = """
import os, time
for _ in range(64):
    if not os.fork():
        held = b"x" * (4 << 20)
        time.sleep(20)
        os._exit(0)
    time.sleep(0.05)  # not to keep the server from its calls
time.sleep(20)
"""
"""Many small processes: the server is the largest of its container, the one that the kernel kills."""


class KubernetesCluster:
    """Servers in a release of their own, so that nothing but kubectl decides how many there are.

    Satisfies `lab.cluster.Cluster`. Use it as an async context manager; it comes up with 3 replicas ready.
    The release is left to whoever made it.
    """

    def __init__(self, release: Release, *settings: str) -> None:
        """`settings` are arguments for helm."""
        self.release = release
        self.servers = Servers(release)
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.servers)
            values = ("--set", "loadgen.enabled=false,headless=true")
            await asyncio.to_thread(self.release.install, *values, *self._settings)
            await self._settled(3)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def target(self, *, headless: bool) -> str:
        """See `Cluster.target`: a name in the release's namespace."""
        return f"{self.release.name}-grpc-spread{'-headless' if headless else ''}:{PORT}"

    async def scale(self, replicas: int) -> None:
        """See `Cluster.scale`."""
        name = f"deployment/{self.release.name}-grpc-spread"
        await asyncio.to_thread(self.release.kubectl, "scale", name, f"--replicas={replicas}")
        await self._settled(replicas)

    async def kill(self, pod: str) -> None:
        """Have the pod's server killed by SIGKILL, as the kernel does to who takes too much memory.

        It needs a memory limit. Raises TimeoutError where it survived.
        """
        before = await self._restarts(pod)
        with suppress(CommandError):  # what brings it about is killed as well
            await asyncio.to_thread(self.release.kubectl, "exec", pod, "--", "python", "-c", TAKE_ALL)
        async with asyncio.timeout(LIMIT):
            while await self._restarts(pod) == before:  # noqa: ASYNC110 - the API is asked
                await asyncio.sleep(0.1)

    async def _restarts(self, pod: str) -> int:
        path = "jsonpath={.status.containerStatuses[0].restartCount}"
        return int(await asyncio.to_thread(self.release.kubectl, "get", "pod", pod, "-o", path))

    async def ready(self) -> Sequence[Replica]:
        """See `Cluster.ready`."""
        return [one for one in await self.servers.replicas() if one.state is State.READY]

    async def replicas(self) -> Sequence[Replica]:
        """See `Cluster.replicas`."""
        return await self.servers.replicas()

    def lookups(self, *, headless: bool) -> int | None:
        """See `Cluster.lookups`: this DNS counts nothing for us."""
        return None

    @property
    def staleness(self) -> float:
        """See `Cluster.staleness`."""
        return STALENESS

    async def _settled(self, replicas: int) -> None:
        def wanted(seen: Sequence[Replica]) -> bool:
            states = [one.state for one in seen]
            return states.count(State.READY) == replicas and State.STARTING not in states

        await self.servers.until(wanted, f"{replicas} ready replicas")
