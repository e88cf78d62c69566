"""How the client learns of backends.

`dns` leaves it to gRPC's own resolver, which looks a name up when a connection is lost, and never
because time has passed; new channels look it up anew. `static` looks up once, `poll` again and again.
`watch`, which asks the Kubernetes API, is in `loadgen.watching`.
"""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver

from loadgen.errors import ResolutionError
from loadgen.ledger import Ledger
from loadgen.target import DnsName, Uri

LOOKUP_TIMEOUT = 5.0  # seconds
JITTER = 0.1  # of an interval: load generators that started together must not ask together for ever
GRPC_DEFAULT_DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Backends:
    """What a channel is made for."""

    uri: str
    """A gRPC target."""
    addresses: tuple[str, ...] | None
    """The addresses in it, sorted, as `IP:PORT`; None where gRPC itself finds them out."""


class Discovery(Protocol):
    """A way to learn of backends."""

    kind: str

    async def lookup(self) -> Backends:
        """Return the backends there are now; raises ResolutionError where there are none."""
        ...

    def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None] | None:
        """Return the backends whenever channels must be made for them, without end; None where they stay."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Outage:
    """Notes when backends can no longer be learnt of, once for each reason, and when they can again."""

    def __init__(self, ledger: Ledger, of: str = "discovery", **about: str) -> None:
        """`of` begins the events' names; `about` is in each of them."""
        self._ledger = ledger
        self._of = of
        self._about = about
        self._reason = ""

    def begin(self, reason: str) -> None:
        """Note the reason, unless it is the one that was noted last."""
        if self._reason != reason:
            self._ledger.event(f"{self._of}.failed", None, reason=reason, **self._about)
        self._reason = reason

    def end(self) -> None:
        """Note that it is over, if there was one."""
        if self._reason:
            self._ledger.event(f"{self._of}.recovered", None, **self._about)
        self._reason = ""


async def resolve(name: DnsName) -> tuple[str, ...]:
    """Return the addresses of a name, sorted, as `IP:PORT`: IPv4 ones, or IPv6 where there are none.

    Raises ResolutionError saying what the resolver said.
    """
    if name.server:
        found = await _ask(name)
    else:
        found = await _ask_system(name)
    return tuple(sorted(f"[{one}]:{name.port}" if ":" in one else f"{one}:{name.port}" for one in found))


async def _ask(name: DnsName) -> list[str]:
    host, _, port = name.server.rpartition(":")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [host.strip("[]") or name.server]
    resolver.port = int(port) if host else GRPC_DEFAULT_DNS_PORT
    resolver.lifetime = LOOKUP_TIMEOUT
    for kind in ("A", "AAAA"):
        try:
            answer = await resolver.resolve(name.host, kind, search=False)
        except dns.resolver.NoAnswer:
            continue
        except dns.resolver.NXDOMAIN:
            raise ResolutionError(f"{name.host} does not exist in DNS (NXDOMAIN)") from None
        except dns.resolver.NoNameservers:
            raise ResolutionError(
                f"{name.host} could not be looked up: {name.server} refused or failed"
            ) from None
        except (dns.exception.Timeout, OSError):
            raise ResolutionError(
                f"{name.host} could not be looked up: no answer from {name.server}"
            ) from None
        except dns.exception.DNSException as error:
            raise ResolutionError(f"{name.host} could not be looked up: {error}") from None
        return [record.to_text() for record in answer]
    raise ResolutionError(f"{name.host} has no address in DNS")


async def _ask_system(name: DnsName) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            found = await loop.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ResolutionError(f"{name.host} cannot be resolved: {error.strerror}") from None
    except (TimeoutError, UnicodeError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else "not a host name"
        raise ResolutionError(f"{name.host} cannot be resolved: {reason}") from None
    four = {str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET}
    six = {str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET6}
    return list(four or six)


def literal(addresses: tuple[str, ...]) -> Backends:
    """Return backends with these addresses, at least one, all of one family."""
    scheme = "ipv6" if addresses[0].startswith("[") else "ipv4"
    return Backends(f"{scheme}:{','.join(addresses)}", addresses)


def jittered(seconds: float) -> float:
    """Return a time that differs from this one by up to `JITTER` of it."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


class Dns:
    """gRPC's own resolver; with `rotation` (ns) in new channels so often, give or take a tenth."""

    kind = "dns"

    def __init__(self, uri: Uri, rotation: int | None = None) -> None:
        self._backends = Backends(uri.text, uri.literal or None)
        self._rotation = rotation

    async def lookup(self) -> Backends:
        """Return the name itself: gRPC looks it up."""
        return self._backends

    def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None] | None:
        """Give the name again where channels rotate; else None: gRPC updates its channel itself."""
        return None if self._rotation is None else self._rotate(self._rotation / 1e9)

    async def _rotate(self, every: float) -> AsyncGenerator[Backends, None]:
        while True:
            await asyncio.sleep(jittered(every))
            yield self._backends

    async def close(self) -> None:
        """Hold nothing."""


class Static:
    """One lookup, before the load."""

    kind = "static"

    def __init__(self, name: DnsName) -> None:
        self._name = name

    async def lookup(self) -> Backends:
        """Return what the name resolves to now."""
        return literal(await resolve(self._name))

    def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None] | None:
        """Return None: whatever becomes of the backends, the addresses stay."""
        return None

    async def close(self) -> None:
        """Hold nothing."""


class Poll(Static):
    """A lookup every `interval` ns, give or take a tenth; one that fails changes nothing but is noted."""

    kind = "poll"

    def __init__(self, name: DnsName, interval: int) -> None:
        super().__init__(name)
        self._interval = interval / 1e9

    async def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None]:
        """Give each answer that differs from the one before."""
        loop = asyncio.get_running_loop()
        outage = Outage(ledger)
        next_at = loop.time() + jittered(self._interval)
        while True:
            await asyncio.sleep(max(0.0, next_at - loop.time()))
            next_at = max(next_at + jittered(self._interval), loop.time())
            try:
                found = await self.lookup()
            except ResolutionError as error:
                outage.begin(error.message)
                continue
            outage.end()
            if found != known:
                known = found
                ledger.event("discovery.changed", backends=list(found.addresses or ()))
                yield found
