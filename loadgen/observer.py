"""`--observe`: watches the replicas of the target's Service beside the load.

It watches pods, autoscalers and their workload, and asks for the pods' memory. What fails is noted and leaves
a gap; the load goes on whatever happens here.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from loadgen.api import Api, ApiError
from loadgen.discovery import Outage
from loadgen.endpoints import MalformedError, name_of
from loadgen.errors import LoadgenError
from loadgen.following import Follower
from loadgen.ledger import Ledger
from loadgen.manifests import PodState, Scaler, owner_of, usage
from loadgen.observed import Observed
from loadgen.sightings import Sightings
from loadgen.target import DnsName
from loadgen.watching import ServiceName

OPTION = "--observe"
EVERY = 5.0  # seconds between looks at the memory: the metrics API has news each 10 to 60 s
WORKLOADS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}
NEEDS = (
    "get on services and replicasets.apps, list and watch on pods, deployments.apps (or statefulsets.apps)"
    " and horizontalpodautoscalers.autoscaling, and list on pods.metrics.k8s.io"
)

Owner = tuple[str, str]
"""Kind and name."""


class Observer:
    """Observes one Service. Only the first shard of a load does so."""

    def __init__(self, api: Api, service: ServiceName) -> None:
        self._api = api
        self._name = service.name
        self._namespace = namespace = service.namespace or api.namespace
        self._service_at = f"/api/v1/namespaces/{namespace}/services/{service.name}"
        self._pods_at = f"/api/v1/namespaces/{namespace}/pods"
        self._scalers_at = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        self._metrics_at = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        self._where: dict[str, str] = {}
        self._owner: Owner | None = None
        self._sightings: Sightings | None = None

    @classmethod
    def of(cls, name: DnsName) -> Self:
        """Connect to the cluster; raises PlanError where there is none, or the name is no Service's."""
        service = ServiceName.parse(name.host, OPTION)
        return cls(Api.connect(OPTION), service)

    async def close(self) -> None:
        """Close the connection to the API."""
        await self._api.close()

    @property
    def _what(self) -> str:
        return f"Service {self._name} in namespace {self._namespace}"

    # Before the load

    async def begin(self) -> None:
        """See whom to observe, and whether that is allowed; raises LoadgenError."""
        try:
            await self._begin()
        except ApiError as error:
            raise self._explained(error) from None

    async def _begin(self) -> None:
        service = await self._api.get(self._service_at)
        selector = (service.get("spec") or {}).get("selector")
        if not selector:
            raise LoadgenError(
                f"{OPTION}: {self._what} has no selector, so which pods are its replicas cannot be known"
            )
        self._where = {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(selector.items()))}
        pods = await self._may(self._pods_at, self._where)
        await self._may(self._scalers_at, {})
        with suppress(MalformedError):
            owners = filter(None, (PodState.read(one).owner for one in pods))
            self._owner = await self._root(next(owners, None))
        if (place := self._workload_at(self._owner)) is not None:
            await self._may(*place)
        try:
            await self._api.get(self._metrics_at, self._where)
        except ApiError as error:
            if error.status == 403:
                raise
        self._sightings = Sightings(f"{self._name}.{self._namespace}")

    async def _may(self, path: str, where: Mapping[str, str]) -> list[Any]:
        """Return what is there, after seeing that it may be watched."""
        items, version = await self._api.list(path, where)
        async with self._api.watch(path, where, version, 1):
            return items

    async def _root(self, owner: Owner | None) -> Owner | None:
        """Return what owns the pods in the end: of a ReplicaSet its Deployment or the like."""
        while owner is not None and owner[0] == "ReplicaSet":
            above = owner_of(await self._api.get(f"{self._workloads_at('ReplicaSet')}/{owner[1]}"))
            if above is None:
                break
            owner = above
        return owner

    def _workloads_at(self, kind: str) -> str:
        return f"/apis/apps/v1/namespaces/{self._namespace}/{WORKLOADS[kind]}"

    def _workload_at(self, owner: Owner | None) -> tuple[str, dict[str, str]] | None:
        """Return where to watch it; None where only an autoscaler could tell how many are wanted."""
        if owner is None or owner[0] not in WORKLOADS:
            return None
        return self._workloads_at(owner[0]), {"fieldSelector": f"metadata.name={owner[1]}"}

    def _explained(self, error: ApiError) -> LoadgenError:
        if error.status == 404:
            return LoadgenError(f"{OPTION}: there is no {self._what}")
        if error.status == 401:
            return LoadgenError(f"{OPTION}: the credentials are not accepted: {error.message}")
        if error.status != 403:
            return LoadgenError(f"{OPTION}: {error.message}")
        found = re.search(r'User "([^"]+)"', error.message)
        action = re.search(r'cannot (\w+) resource "(\w+)"(?: in API group "([^"]*)")?', error.message)
        what = "do so" if action is None else f"{action[1]} {'.'.join(filter(None, action.groups()[1:]))}"
        return LoadgenError(
            f"{OPTION}: {found[1] if found else 'the account'} may not {what} in namespace"
            f" {self._namespace}. It needs a Role there with {NEEDS}"
        )

    # During the load

    async def run(self, ledger: Ledger) -> None:
        """Observe, until cancelled."""
        assert self._sightings is not None, "it has begun"
        self._sightings.tell = ledger.event
        pods = _Pods(self._sightings, _outage(ledger, "pods"), ledger)
        scalers = _Scalers(self._sightings, _outage(ledger, "autoscaler"), ledger)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Follower(self._api, self._pods_at, self._where, pods).run())
            tasks.create_task(Follower(self._api, self._scalers_at, {}, scalers).run())
            tasks.create_task(self._follow_workload(ledger))
            tasks.create_task(self._follow_memory(_outage(ledger, "memory"), ledger))

    async def _follow_workload(self, ledger: Ledger) -> None:
        assert self._sightings is not None
        outage = _outage(ledger, "workload")
        while self._owner is None:  # no pod was there yet, or none that anything owns
            await asyncio.sleep(EVERY)
            try:
                self._owner = await self._root(self._sightings.owner)
            except ApiError as error:
                outage.begin(error.message)
        outage.end()
        self._sightings.own(self._owner)
        if (place := self._workload_at(self._owner)) is not None:
            await Follower(self._api, *place, _Workload(self._sightings, outage, ledger)).run()

    async def _follow_memory(self, outage: Outage, ledger: Ledger) -> None:
        assert self._sightings is not None
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            try:
                found = await self._api.get(self._metrics_at, self._where)
            except ApiError as error:
                outage.begin(_without_metrics(error))
            else:
                outage.end()
                for one in found.get("items") or ():
                    try:
                        self._sightings.memory(*usage(one))
                    except MalformedError as error:
                        ledger.event("observe.skipped", reason=str(error))
            next_at = max(next_at + EVERY, loop.time())
            await asyncio.sleep(max(0.0, next_at - loop.time()))

    def observed(self) -> Observed | None:
        """Return what was seen until now; None before it has begun."""
        return None if self._sightings is None else self._sightings.observed(time.time_ns())


def _outage(ledger: Ledger, what: str) -> Outage:
    return Outage(ledger, "observe", what=what)


def _without_metrics(error: ApiError) -> str:
    if error.status in {404, 503}:
        return f"the metrics API (metrics.k8s.io, such as metrics-server's) is not there: {error.message}"
    return error.message


class _Kept:
    """What the collections have in common."""

    def __init__(self, sightings: Sightings, outage: Outage, ledger: Ledger) -> None:
        self._sightings = sightings
        self._outage = outage
        self._ledger = ledger

    async def begin(self) -> None:
        pass

    async def settled(self) -> None:
        self._outage.end()
        self.hears(time.time_ns(), there=True)

    def skipped(self, reason: str) -> None:
        self._ledger.event("observe.skipped", reason=reason)

    def failed(self, error: ApiError) -> None:
        self._outage.begin(error.message)
        self.hears(time.time_ns(), there=False)

    def hears(self, now: int, *, there: bool) -> None:
        raise NotImplementedError

    def apply(self, kind: str, content: Any) -> None:
        raise NotImplementedError

    def replace(self, items: list[Any]) -> None:
        names = set()
        for one in items:
            try:
                names.add(name_of(one))
                self.apply("LISTED", one)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.skipped(f"{type(error).__name__}: {error}"[:200])
        self.forget(names)

    def forget(self, besides: set[str]) -> None:
        raise NotImplementedError


class _Pods(_Kept):
    def hears(self, now: int, *, there: bool) -> None:
        self._sightings.sees(now, there=there)

    def apply(self, kind: str, content: Any) -> None:
        state, now = PodState.read(content), time.time_ns()
        self._sightings.pod(state, now)
        if kind == "DELETED":
            self._sightings.gone(state.name, now)

    def forget(self, besides: set[str]) -> None:
        self._sightings.only(besides, time.time_ns())


class _Scalers(_Kept):
    def hears(self, now: int, *, there: bool) -> None:
        self._sightings.hears("autoscaler", now, there=there)

    def apply(self, kind: str, content: Any) -> None:
        if kind == "DELETED":
            self._sightings.no_scaler(name_of(content), time.time_ns())
        else:
            self._sightings.scaler(Scaler.read(content), time.time_ns())

    def forget(self, besides: set[str]) -> None:
        self._sightings.only_scalers(besides, time.time_ns())


class _Workload(_Kept):
    def hears(self, now: int, *, there: bool) -> None:
        self._sightings.hears("workload", now, there=there)

    def apply(self, kind: str, content: Any) -> None:
        replicas = (content.get("spec") or {}).get("replicas")
        self._sightings.scale(None if kind == "DELETED" else replicas, time.time_ns())

    def forget(self, besides: set[str]) -> None:
        if not besides:
            self._sightings.scale(None, time.time_ns())
