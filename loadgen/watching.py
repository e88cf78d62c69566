"""Discovery `watch`: the Kubernetes API tells of each change of a Service's EndpointSlices."""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from loadgen.api import GONE, TOO_MANY, Api, ApiError
from loadgen.discovery import Backends, Outage, literal
from loadgen.endpoints import MalformedError, Port, Slice, Slices
from loadgen.errors import LoadgenError, NoAccessError, NoAnswerError, PlanError, ResolutionError
from loadgen.ledger import Ledger
from loadgen.target import DnsName

JOIN = 0.05  # seconds between two updates: what changes meanwhile is one
WATCH = (25, 35)  # seconds until a watch is renewed, so that a dead one is found
BACKOFF = (0.1, 3.0)  # seconds: after the first failure, and at the most
PATIENCE = 60.0  # seconds: longer than that it is not left alone, whatever its Retry-After says
BRIEF = 1.0  # seconds: a watch that ends sooner is not renewed at once, time after time

REFUSED = (401, 403)

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A Service's name, and its namespace, "" where that is the client's own."""

    name: str
    namespace: str

    @classmethod
    def parse(cls, host: str) -> Self:
        """Take NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc..., as DNS has it; raises PlanError."""
        name, *rest = host.lower().rstrip(".").split(".")
        namespace = rest[0] if rest else ""
        known = all(_LABEL.fullmatch(one) for one in (name, *rest))
        if not known or (len(rest) > 1 and rest[1] != "svc"):
            raise PlanError(
                "--discovery watch needs the name of a Service (NAME, NAME.NAMESPACE or"
                f" NAME.NAMESPACE.svc...), not {host}"
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
        self._selector = f"kubernetes.io/service-name={service.name}"
        self._slices_at = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._service_at = f"/api/v1/namespaces/{namespace}/services/{service.name}"
        self._slices = Slices()
        self._may_watch = False
        self._skipped = ""

    @classmethod
    def of(cls, name: DnsName) -> Self:
        """Connect to the cluster; raises PlanError where there is none, or the name is no Service's."""
        service = ServiceName.parse(name.host)
        return cls(Api.connect(), service, name.port)

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
            service = await self._service()
            items, version = await self._api.list(self._slices_at, self._selector)
            if not self._may_watch:
                async with self._api.watch(self._slices_at, self._selector, version, 1):
                    self._may_watch = True
        except ApiError as error:
            raise self._explained(error) from None
        slices.replace(self._read(items, None))
        addresses = slices.addresses(self._port)
        if not addresses:
            raise self._nothing(service, slices)
        return literal(addresses)

    async def _service(self) -> dict[str, Any]:
        """Read the Service, for the name of its port."""
        service = await self._api.get(self._service_at)
        try:
            self._port = Port.of(service, self._number)
        except MalformedError as error:
            raise ApiError(str(error)) from None
        return service

    def _explained(self, error: ApiError) -> LoadgenError:
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
        follower = asyncio.create_task(self._follow(Outage(ledger), changed, ledger))
        follower.add_done_callback(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if follower.done():
                    follower.result()
                addresses = self._slices.addresses(self._port)
                if addresses and addresses != known.addresses:
                    known = literal(addresses)
                    again_at = loop.time() + JOIN
                    yield known
                    await asyncio.sleep(max(0.0, again_at - loop.time()))
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    async def _follow(self, outage: Outage, changed: asyncio.Event, ledger: Ledger) -> None:
        """Keep the slices as they are in the API, for ever."""
        loop = asyncio.get_running_loop()
        version = ""
        failures = 0
        while True:
            began, after = loop.time(), 0.0
            try:
                if not version:
                    await self._service()
                    items, version = await self._api.list(self._slices_at, self._selector)
                    self._slices.replace(self._read(items, ledger))
                    await self._settle(outage, changed)
                version = await self._watch(version, outage, changed)
            except MalformedError as error:
                self._skip(str(error), ledger)
                version = ""  # what it was to tell is in a list
                failures += 1
            except ApiError as error:
                if error.status not in {None, TOO_MANY, *REFUSED}:
                    version = ""  # whatever the API has against going on from there, a list is a fresh start
                if error.status != GONE:
                    outage.begin(self._explained(error).message)
                failures += 1
                after = min(error.after, PATIENCE)
            else:
                failures = failures + 1 if loop.time() - began < BRIEF else 0
            if failures:
                await asyncio.sleep(max(pause(failures), after))

    async def _watch(self, version: str, outage: Outage, changed: asyncio.Event) -> str:
        """Take the events of one watch until it ends; returns the version to go on from.

        A watch that was open and breaks off has ended too: the next one tells whether the API is there.
        Raises MalformedError where what it says is lost.
        """
        opened = False
        seconds = random.randint(*WATCH)  # noqa: S311
        try:
            async with self._api.watch(self._slices_at, self._selector, version, seconds) as lines:
                opened = True
                await self._settle(outage, changed)
                async for line in lines:
                    version = self._take(line)
                    await self._settle(outage, changed)
        except ApiError as error:
            if not opened or error.status is not None:
                raise
        return version

    def _take(self, line: bytes) -> str:
        """Take one event; returns its version.

        Raises MalformedError, and ApiError where it is the API's error.
        """
        try:
            event = json.loads(line)
            kind, content = event["type"], event["object"]
            if kind == "ERROR":
                code = content.get("code")
                raise ApiError(f"the Kubernetes API ends the watch: {content.get('message')}", code or 500)
            if kind != "BOOKMARK":
                self._slices.apply(kind, content)
            version = content["metadata"]["resourceVersion"]
            if not isinstance(version, str):
                raise MalformedError(f"malformed event: its version is {version}"[:200])
            return version
        except MalformedError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"malformed event: {type(error).__name__}: {error}"[:200]) from None

    async def _settle(self, outage: Outage, changed: asyncio.Event) -> None:
        """See what there is now: without an address the last ones stay, and why is noted."""
        if self._slices.addresses(self._port):
            outage.end()
            changed.set()
            return
        try:
            service = await self._service()
        except ApiError as error:
            outage.begin(self._explained(error).message)
            return
        if self._slices.addresses(self._port):  # its port has another name now
            outage.end()
            changed.set()
        else:
            outage.begin(self._nothing(service, self._slices).message)

    def _read(self, items: list[Any], ledger: Ledger | None) -> list[Slice]:
        found = []
        for one in items:
            try:
                found.append(Slice.read(one))
            except MalformedError as error:
                if ledger is not None:
                    self._skip(str(error), ledger)
        return found

    def _skip(self, reason: str, ledger: Ledger) -> None:
        """Note what could not be read, unless it was noted last."""
        if self._skipped != reason:
            ledger.event("discovery.skipped", reason=reason)
        self._skipped = reason


def pause(failures: int) -> float:
    """Return how long to wait after so many failures, in seconds; no two load generators wait alike."""
    first, most = BACKOFF
    doubled = first * float(2 ** min(failures - 1, 10))
    return min(most, doubled) * random.uniform(0.5, 1.0)  # noqa: S311
