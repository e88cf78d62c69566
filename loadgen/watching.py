"""Discovery `watch`: the Kubernetes API tells of each change of a Service's EndpointSlices."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from loadgen.api import Api, ApiError
from loadgen.discovery import Backends, Outage, literal
from loadgen.endpoints import MalformedError, Port, Slice, Slices
from loadgen.errors import LoadgenError, NoAccessError, NoAnswerError, PlanError, ResolutionError
from loadgen.following import Follower
from loadgen.ledger import Ledger
from loadgen.target import DnsName

OPTION = "--discovery watch"
JOIN = 0.05  # seconds between two updates: what changes meanwhile is one

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A Service's name, and its namespace, "" where that is the client's own."""

    name: str
    namespace: str

    @classmethod
    def parse(cls, host: str, option: str) -> Self:
        """Take NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc..., as DNS has it.

        Raises PlanError, which names the option that needs it.
        """
        name, *rest = host.lower().rstrip(".").split(".")
        namespace = rest[0] if rest else ""
        known = all(_LABEL.fullmatch(one) for one in (name, *rest))
        if not known or (len(rest) > 1 and rest[1] != "svc"):
            raise PlanError(
                f"{option} needs the name of a Service (NAME, NAME.NAMESPACE or"
                f" NAME.NAMESPACE.svc...) as target, not {host}"
            )
        return cls(name, namespace)


class Watch:
    """Lists the slices, and watches them from then on.

    Whatever fails, the last addresses stay in use and the failure is noted; only what cannot get well by
    itself ends a look-up before the load at once.
    """

    kind = "watch"

    def __init__(self, api: Api, service: ServiceName, port: int) -> None:
        self._api = api
        self._namespace = namespace = service.namespace or api.namespace
        self._name = service.name
        self._number = port
        self._port = Port(port, None)
        self._where = {"labelSelector": f"kubernetes.io/service-name={service.name}"}
        self._slices_at = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._service_at = f"/api/v1/namespaces/{namespace}/services/{service.name}"
        self.slices = Slices()
        self._may_watch = False

    @classmethod
    def of(cls, name: DnsName) -> Self:
        """Connect to the cluster; raises PlanError where there is none, or the name is no Service's."""
        service = ServiceName.parse(name.host, OPTION)
        return cls(Api.connect(OPTION), service, name.port)

    @property
    def _what(self) -> str:
        return f"Service {self._name} in namespace {self._namespace}"

    async def close(self) -> None:
        """Close the connection to the API."""
        await self._api.close()

    # Before the load

    async def lookup(self) -> Backends:
        """Return the endpoints that are ready now.

        Raises ResolutionError where that may yet change, and LoadgenError where it needs somebody's hand.
        """
        slices = Slices()
        try:
            service = await self.read_service()
            items, version = await self._api.list(self._slices_at, self._where)
            if not self._may_watch:
                async with self._api.watch(self._slices_at, self._where, version, 1):
                    self._may_watch = True
        except ApiError as error:
            raise self.explained(error) from None
        slices.replace(_read(items, lambda _: None))
        addresses = slices.addresses(self._port)
        if not addresses:
            raise self._nothing(service, slices)
        return literal(addresses)

    async def read_service(self) -> dict[str, Any]:
        """Read the Service, for the name of its port."""
        service = await self._api.get(self._service_at)
        try:
            self._port = Port.of(service, self._number)
        except MalformedError as error:
            raise ApiError(str(error)) from None
        return service

    def explained(self, error: ApiError) -> LoadgenError:
        """Return what to tell people of it."""
        if error.status == 404:
            return ResolutionError(f"there is no {self._what}")
        if error.status is None:
            return NoAnswerError(error.message)
        if error.status == 401:
            return NoAccessError(f"--discovery watch: the credentials are not accepted: {error.message}")
        if error.status != 403:
            return ResolutionError(error.message)
        found = re.search(r'User "([^"]+)"', error.message)
        who = found[1] if found else "the account"
        action = re.search(r'cannot (\w+) resource "(\w+)"', error.message)
        what = f"{action[1]} {action[2]}" if action else "do so"
        return NoAccessError(
            f"--discovery watch: {who} may not {what} in namespace {self._namespace}. It needs a Role there"
            " with get, list and watch on endpointslices.discovery.k8s.io and get on services, or use"
            " --discovery poll, which needs none (--discovery-fallback poll: only where this fails)"
        )

    def _nothing(self, service: dict[str, Any], slices: Slices) -> LoadgenError:
        """Say why there is no address."""
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return LoadgenError(
                f"{self._what} is an ExternalName for {spec.get('externalName')}: it has no endpoints to"
                " watch; call that name with --discovery poll"
            )
        if not spec.get("selector") and not len(slices):
            return LoadgenError(
                f"{self._what} has no selector and no EndpointSlices: nobody makes its endpoints known"
            )
        if self._port.name is None and not slices.has(self._port):
            ports = ", ".join(
                f"{one.get('port')} ({one['name']})" if one.get("name") else str(one.get("port"))
                for one in spec.get("ports") or ()
            )
            return LoadgenError(f"{self._what} has no port {self._number}; it has {ports or 'none'}")
        return ResolutionError(f"{self._what} has no ready endpoint")

    # During the load

    async def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None]:
        """Give the endpoints whenever they are others than before: at once, or `JOIN` after the last time."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        endpoints = _Endpoints(self, Outage(ledger), changed, ledger)
        following = Follower(self._api, self._slices_at, self._where, endpoints)
        follower = asyncio.create_task(following.run())
        follower.add_done_callback(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if follower.done():
                    follower.result()
                addresses = self.slices.addresses(self._port)
                if addresses and addresses != known.addresses:
                    known = literal(addresses)
                    again_at = loop.time() + JOIN
                    yield known
                    await asyncio.sleep(max(0.0, again_at - loop.time()))
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    async def settle(self, outage: Outage, changed: asyncio.Event) -> None:
        """See what there is now: without an address the last ones stay, and why is noted."""
        if self.slices.addresses(self._port):
            outage.end()
            changed.set()
            return
        try:
            service = await self.read_service()
        except ApiError as error:
            outage.begin(self.explained(error).message)
            return
        if self.slices.addresses(self._port):  # its port has another name now
            outage.end()
            changed.set()
        else:
            outage.begin(self._nothing(service, self.slices).message)


class _Endpoints:
    """The slices during the load."""

    def __init__(self, watch: Watch, outage: Outage, changed: asyncio.Event, ledger: Ledger) -> None:
        self._watch = watch
        self._outage = outage
        self._changed = changed
        self._ledger = ledger
        self._skipped = ""

    async def begin(self) -> None:
        await self._watch.read_service()

    def replace(self, items: list[Any]) -> None:
        self._watch.slices.replace(_read(items, self.skipped))

    def apply(self, kind: str, content: Any) -> None:
        self._watch.slices.apply(kind, content)

    async def settled(self) -> None:
        await self._watch.settle(self._outage, self._changed)

    def skipped(self, reason: str) -> None:
        """Note what could not be read, unless it was noted last."""
        if self._skipped != reason:
            self._ledger.event("discovery.skipped", reason=reason)
        self._skipped = reason

    def failed(self, error: ApiError) -> None:
        self._outage.begin(self._watch.explained(error).message)


def _read(items: list[Any], skipped: Callable[[str], None]) -> list[Slice]:
    found = []
    for one in items:
        try:
            found.append(Slice.read(one))
        except MalformedError as error:
            skipped(str(error))
    return found
