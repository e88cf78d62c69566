"""Watches a Service beside the load: when each endpoint became ready, by a clock that is not the load's."""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from lightkube import AsyncClient, KubeConfig
from lightkube.models.discovery_v1 import Endpoint
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.types import on_error_retry

from loadgen.discovery import resolve
from loadgen.errors import ResolutionError
from loadgen.target import DnsName

GLANCE = 0.02  # seconds between two questions to DNS
PORT = 9090
LABEL = "kubernetes.io/service-name"


class Witness:
    """Of one headless Service: times are wall-clock, ns since 1970, by address without a port.

    An address that leaves is forgotten, as another pod may get it; so ask before the next one leaves.
    """

    def __init__(self, service: str, namespace: str) -> None:
        self._service = service
        self._namespace = namespace
        self._slices: dict[str, set[str]] = {}
        self._changed = asyncio.Condition()
        self.ready: dict[str, int] = {}
        """When an EndpointSlice first named it as ready."""
        self.in_dns: dict[str, int] = {}
        """When the cluster's DNS first named it, as far as its server can be reached from here."""

    async def __aenter__(self) -> Self:
        self._client = AsyncClient(KubeConfig.from_env().get(), namespace=self._namespace, trust_env=False)
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._ask())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def until(self, number: int, limit: float = 60.0) -> set[str]:
        """Return the addresses once so many are ready; raises TimeoutError."""
        async with asyncio.timeout(limit), self._changed:
            while len(self.ready) != number:
                if self._tasks[0].done():
                    self._tasks[0].result()
                await self._changed.wait()
            return set(self.ready)

    async def _watch(self) -> None:
        client, namespace = self._client, self._namespace
        try:
            there = client.list(EndpointSlice, namespace=namespace, labels={LABEL: self._service})
            async for one in there:
                await self._see("ADDED", one)
            slices = client.watch(
                EndpointSlice,
                namespace=namespace,
                labels={LABEL: self._service},
                resource_version=there.resourceVersion,
                on_error=on_error_retry,
            )
            async for kind, found in slices:
                await self._see(kind, found)
        finally:
            await self._tell()

    async def _see(self, kind: str, found: EndpointSlice) -> None:
        now = time.time_ns()
        name = str(found.metadata and found.metadata.name)
        ready = {one.addresses[0] for one in found.endpoints or () if _usable(one)}
        self._slices[name] = set() if kind == "DELETED" else ready
        addresses = set().union(*self._slices.values())
        for gone in self.ready.keys() - addresses:
            del self.ready[gone]
            self.in_dns.pop(gone, None)
        for new in addresses - self.ready.keys():
            self.ready[new] = now
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _ask(self) -> None:
        """Ask the cluster's own DNS server, past any cache of this machine."""
        service = await self._client.get(Service, "kube-dns", namespace="kube-system")
        server = str(service.spec and service.spec.clusterIP)
        name = DnsName(f"{server}:53", f"{self._service}.{self._namespace}.svc.cluster.local", PORT)
        while True:
            with suppress(ResolutionError):
                for address in await resolve(name):
                    host = address.rpartition(":")[0]
                    if host in self.ready:
                        self.in_dns.setdefault(host, time.time_ns())
            await asyncio.sleep(GLANCE)


def _usable(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.ready) and not conditions.terminating
