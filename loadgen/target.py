"""Where to call and what: the parsed target, and each call's request."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from loadgen.descriptors import GET, Method
from loadgen.errors import PlanError

Metadata = Sequence[tuple[str, str | bytes]]
Request = bytes | Iterable[bytes]
"""A serialised message, or those of a stream."""

_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds")


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name to look up. `server` is the DNS server's HOST:PORT, or "" for the system's resolver."""

    server: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Uri:
    """A gRPC target (https://grpc.github.io/grpc/core/md_doc_naming.html)."""

    text: str
    """As gRPC takes it."""
    name: DnsName | None
    """What to look up, for `dns` targets with a host name."""
    literal: tuple[str, ...] = ()
    """The addresses themselves, as `IP:PORT`, where the target consists of them."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take HOST:PORT or any gRPC URI; raises PlanError saying what to write instead."""
        text = text.strip()
        if re.match(r"https?://", text):
            bare = re.sub(r"^https?://", "", text).rstrip("/")
            raise PlanError(f"target {text!r} is a web address: write {bare}")
        scheme, colon, rest = text.partition(":")
        if not colon or scheme not in _SCHEMES:
            if re.match(r"[a-z][a-z0-9+.-]*://", text):
                raise PlanError(f"target {text!r} has an unknown scheme: gRPC knows {', '.join(_SCHEMES)}")
            return cls._dns(text, server="")
        if scheme == "dns":
            authority = ""
            if rest.startswith("//"):
                authority, _, rest = rest[2:].partition("/")
            return cls._dns(rest, authority)
        if not rest:
            raise PlanError(f"target {text!r} names nothing behind {scheme}:")
        return cls(text, None, tuple(rest.split(",")) if scheme in {"ipv4", "ipv6"} else ())

    @classmethod
    def _dns(cls, name: str, server: str) -> Self:
        host, colon, port = name.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or (":" in host and not bracketed):
            raise PlanError(f"target {name!r} has no port: write {name or 'HOST'}:PORT")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise PlanError(f"target {name!r}: {port!r} is no port (1 to 65535)")
        if not host or re.search(r"[\s/]", host):
            raise PlanError(f"target {name!r}: {host!r} is no host name")
        address = host.strip("[]")
        if bracketed or re.fullmatch(r"[0-9.]+", host):
            return cls(f"dns://{server}/{name}", None, (name,))
        return cls(f"dns://{server}/{name}", DnsName(server, address, int(port)))


@dataclass(frozen=True, slots=True)
class Target:
    """What every call sends, and where. The default is the service that grpc-spread's own server answers."""

    uri: Uri
    method: Method = GET
    payload: Request = b""
    """The serialised request, or a stream's: Get's is empty."""
    metadata: Metadata = ()
    vary: Callable[[int], tuple[Request, Metadata]] | None = None
    """Gives both for the call of this number, where they are not always the same."""

    def request(self, number: int) -> tuple[Request, Metadata]:
        """Return what call `number` sends, and its metadata: the same objects where they are constant."""
        if self.vary is not None:
            return self.vary(number)
        return self.payload, self.metadata
