"""A service whose replicas can be scaled: what experiments need of it, and one on loopback."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from lab import addresses
from lab.api import ApiServer
from lab.dns import DnsServer
from lab.errors import LabError
from lab.guard import Guard
from lab.limits import raise_open_files
from lab.objects import Json, endpoint, metrics, owned, pod
from lab.process import ReplicaProcess
from lab.proxy import Proxy
from lab.replicas import Replica, State
from lab.zone import Zone

ORIGIN = "cluster.local"
SERVICE = "server.default.svc.cluster.local"
HEADLESS = "server-headless.default.svc.cluster.local"

FIRST = "server-1"
LABELS = {"app": "server"}
OWNERS = {"deployment": "server", "replicaset": "server-1"}
"""What owns the pods, as the API tells: a Deployment, by way of a ReplicaSet."""

SERVER_OPTIONS: Mapping[str, str] = {"drain-delay": "2s"}
"""Options of replicas, unless `LocalCluster` is given others for them."""


class Cluster(Protocol):
    """What an experiment needs of a cluster."""

    def target(self, *, headless: bool) -> str:
        """Return the URI to call: of the headless service, or of the one with a ClusterIP."""
        ...

    async def scale(self, replicas: int) -> None:
        """Return when that many replicas are ready and those that leave have got their SIGTERM.

        Those that leave finish in the background. Raises LabError if one could not be started.
        """
        ...

    async def ready(self) -> Sequence[Replica]:
        """Return the replicas that new connections can reach, in order of start."""
        ...

    async def replicas(self) -> Sequence[Replica]:
        """Return every replica since the start, in order of start, those that left too."""
        ...

    def lookups(self, *, headless: bool) -> int | None:
        """Return how often the service's A record was asked for; None where that is not known."""
        ...

    @property
    def staleness(self) -> float:
        """Return how long DNS may lag behind changes, in seconds."""
        ...


class LocalCluster:
    """A cluster on loopback: server processes, their DNS and a proxy as the ClusterIP.

    Use it as an async context manager; it comes up with `replicas` ready, and nothing of it is left
    afterwards. Every replica has its own address, and all share one port with the ClusterIP. A
    replica enters DNS and the proxy's backends the moment it is ready and leaves them just before
    its SIGTERM, or when its process is gone. Nobody starts a killed one again or takes a frozen one
    out, as a kubelet would after some failed probes: `scale` starts what is missing.
    """

    def __init__(
        self,
        replicas: int = 3,
        *,
        server_options: Mapping[str, str] = MappingProxyType({}),
        slow_options: Mapping[str, str] = MappingProxyType({}),
        ttl: int = 30,
        staleness: float = 0.0,
        start_limit: float = 30.0,
        grace: float = 30.0,
        seed: int | None = None,
        on_change: Callable[[Replica], None] = lambda _: None,
    ) -> None:
        """Prepare it.

        `server_options` are the server's, such as `{"delay": "5ms"}`, beside `SERVER_OPTIONS`;
        `slow_options` are those that the first replica has beside them, and no other.
        `ttl` (s) is of DNS answers, `staleness` (s) how long DNS lags behind changes after the
        start, `start_limit` (s) how long a replica may take to be ready, `grace` (s) how long to
        end before it is killed, as Kubernetes' terminationGracePeriodSeconds. `seed` makes the
        proxy's choices and the order of DNS answers repeatable. `on_change` hears of every change
        of a replica.
        """
        self.guard = Guard()
        """Starts processes, such as the load generator, that must not outlive the cluster."""
        self.zone = Zone(ORIGIN, ttl=ttl, seed=seed)
        self.proxy = Proxy("", seed=seed)
        self.api = ApiServer()
        """Tells of the replicas as Kubernetes does of endpoints."""
        self._initial = replicas
        self._staleness = staleness
        self._options = {**SERVER_OPTIONS, **server_options}
        self._slow_options = slow_options
        self._start_limit = start_limit
        self._grace = grace
        self._on_change = on_change
        self._dns = DnsServer(self.zone)
        self._processes: dict[str, ReplicaProcess] = {}
        self._numbers = itertools.count(1)
        self._published: list[str] = []
        self._endpoints: list[Json] = []
        self._pods: dict[str, Json] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._scaling = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.started = False
        """Whether it is up."""

    async def __aenter__(self) -> Self:
        raise_open_files()
        async with AsyncExitStack() as stack:
            self._block = addresses.pick()
            self.proxy.host = self._block.take(port=0)
            for part in (self.guard, self._dns, self.proxy, self.api):
                await stack.enter_async_context(part)
            for service in (SERVICE, HEADLESS):
                self.api.service(service.partition(".")[0], self.proxy.port, selector=LABELS)
            above = {"metadata": owned("Deployment", OWNERS["deployment"])}
            self.api.put("replicasets", OWNERS["replicaset"], above)
            self.api.metrics = self._memory
            stack.push_async_callback(self._end)
            self.zone.set(SERVICE, [self.proxy.host])
            await self.scale(self._initial)
            self.zone.staleness = self._staleness  # what was there at the start, DNS knew long ago
            self._stack = stack.pop_all()
            self.started = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what is left; who wants to see it drain scales to 0 and awaits `drained` before."""
        await self._stack.aclose()

    def target(self, *, headless: bool) -> str:
        """Return the URI to call."""
        name = HEADLESS if headless else SERVICE
        return f"dns://{self._dns.host}:{self._dns.port}/{name}:{self.proxy.port}"

    def lookups(self, *, headless: bool) -> int | None:
        """See `Cluster.lookups`."""
        return self.zone.queries[HEADLESS if headless else SERVICE, "A"]

    @property
    def staleness(self) -> float:
        """See `Cluster.staleness`."""
        return self._staleness

    async def scale(self, replicas: int) -> None:
        """See `Cluster.scale`. All new replicas start at once.

        The newest leave first. A ReplicaSet does so too, only that it compares ages on a
        logarithmic scale and picks at random among those that are much alike.
        """
        if replicas < 0:
            raise LabError(f"cannot scale to {replicas} replicas")
        async with self._scaling:
            self.api.put("deployments", OWNERS["deployment"], {"spec": {"replicas": replicas}})
            await self._add(replicas - len(self._ready()))
            for process in self._ready()[replicas:][::-1]:
                self._remove(process)

    async def ready(self) -> Sequence[Replica]:
        """See `Cluster.ready`."""
        return [process.replica for process in self._ready()]

    async def replicas(self) -> Sequence[Replica]:
        """See `Cluster.replicas`."""
        return [process.replica for process in self._processes.values()]

    async def drained(self) -> None:
        """Return once all replicas that were sent SIGTERM are gone."""
        while self._leaving:
            await asyncio.wait(self._leaving)

    def terminate(self, name: str) -> None:
        """Send one replica SIGTERM, as `scale` does."""
        process = self._find(name)
        if process.replica.state is not State.READY:
            raise LabError(f"{name} is {process.replica.state}")
        self._remove(process)

    async def kill(self, name: str) -> None:
        """Send one replica SIGKILL, and return once it is gone and out of DNS."""
        process = self._find(name)
        process.kill()
        await process.exited()

    def freeze(self, name: str) -> None:
        """Stop one replica without ending it."""
        self._find(name).freeze()

    def thaw(self, name: str) -> None:
        """Let a frozen replica go on."""
        self._find(name).thaw()

    def _ready(self) -> list[ReplicaProcess]:
        return [p for p in self._processes.values() if p.replica.state is State.READY]

    def _find(self, name: str) -> ReplicaProcess:
        process = self._processes.get(name)
        if process is None:
            raise LabError(f"there is no replica {name}")
        if process.replica.state is State.GONE:
            raise LabError(f"{name} is gone")
        return process

    async def _add(self, count: int) -> None:
        new: list[Replica] = []
        try:
            for _ in range(count):
                address = self._block.take(self.proxy.port)
                new.append(Replica(f"server-{next(self._numbers)}", address, self.proxy.port))
            async with asyncio.TaskGroup() as starting:
                for replica in new:
                    starting.create_task(self._start(replica))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the others were given up because of it
        finally:
            for replica in new:
                if replica.name not in self._processes:
                    self._block.give_back(replica.address)

    async def _start(self, replica: Replica) -> None:
        slow = self._slow_options if replica.name == FIRST else {}
        process = ReplicaProcess(self.guard, replica, {**self._options, **slow}, self._changed)
        self._processes[replica.name] = process
        try:
            await process.start(self._start_limit)
        except BaseException:
            if process.replica.started_at is None:
                del self._processes[replica.name]
            raise

    def _remove(self, process: ReplicaProcess) -> None:
        process.terminate()
        leaving = asyncio.create_task(process.exited(self._grace))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _changed(self, replica: Replica) -> None:
        ready = [process.replica.address for process in self._ready()]
        if ready != self._published:
            self._published = ready
            self.zone.set(HEADLESS, ready)
            self.proxy.set((address, self.proxy.port) for address in ready)
        self._tell_api()
        self._tell_pod(replica)
        if replica.state is State.GONE:
            self._block.give_back(replica.address)
        self._on_change(replica)

    def _tell_api(self) -> None:
        endpoints = [
            endpoint(
                process.replica.address,
                ready=process.replica.state is State.READY,
                serving=process.replica.state in {State.READY, State.TERMINATING},
                terminating=process.replica.state is State.TERMINATING,
            )
            for process in self._processes.values()
            if process.replica.state is not State.GONE
        ]
        if endpoints != self._endpoints:
            self._endpoints = endpoints
            for service in (SERVICE, HEADLESS):
                self.api.slice(service.partition(".")[0], self.proxy.port, *endpoints)

    def _tell_pod(self, replica: Replica) -> None:
        ready, name = replica.state is State.READY, replica.name
        if replica.state is State.GONE:
            if self._pods.pop(name, None):
                self.api.delete("pods", name)
            return
        content = pod(
            replica.address,
            ready=ready,
            changed=replica.ready_at or replica.started_at or 0,
            deleted=replica.terminating_at,
            owner=("ReplicaSet", OWNERS["replicaset"]),
        )
        if self._pods.get(name) != content:
            self._pods[name] = content
            self.api.put("pods", name, content, LABELS)

    def _memory(self) -> dict[str, Json]:
        """Return what each replica's process has in memory now."""
        now = time.time_ns()
        found = {name: process.memory() for name, process in self._processes.items()}
        return {name: metrics(now, memory) for name, memory in found.items() if memory is not None}

    async def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            await process.exited()
        await self.drained()
