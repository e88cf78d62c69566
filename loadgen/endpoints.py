"""EndpointSlices (discovery.k8s.io/v1): what of a Service's slices can be called."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

FAMILIES = ("IPv4", "IPv6")
"""In order of preference: of a dual-stack Service one family is used, or each replica would count twice."""


class MalformedError(ValueError):
    """What came from the API is not what it should be."""


@dataclass(frozen=True, slots=True)
class Port:
    """Which of a slice's ports to call."""

    number: int
    """As the target has it."""
    name: str | None
    """Of the Service's port with that number, "" where it has none; None: slices have the number itself."""

    @classmethod
    def of(cls, service: Mapping[str, Any], number: int) -> Self:
        """Return the port that the Service has under this number, or else the number itself.

        Raises MalformedError.
        """
        try:
            ports = [
                (one.get("port"), one.get("name")) for one in service["spec"].get("ports") or () if _tcp(one)
            ]
        except (AttributeError, KeyError, TypeError) as error:
            raise MalformedError(f"malformed Service: {type(error).__name__}: {error}"[:200]) from None
        return next(
            (cls(number, str(name or "")) for port, name in ports if port == number), cls(number, None)
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: its endpoints that are ready, all with the same ports."""

    name: str
    family: str
    ports: tuple[tuple[str, int | None], ...]
    """Names and numbers; a port without a number stands for all, and so does a slice without ports."""
    ready: tuple[str, ...]

    @classmethod
    def read(cls, content: Any) -> Self:
        """Take what the API gave; raises MalformedError."""
        try:
            ports = [
                (str(one.get("name") or ""), _number(one.get("port")))
                for one in content.get("ports") or ()
                if _tcp(one)
            ]
            if content.get("ports") and not ports:
                return cls(
                    name_of(content), str(content["addressType"]), (), ()
                )  # nothing that gRPC can call
            family = str(content["addressType"])
            ready = tuple(
                _address(one["addresses"][0], family)  # "consumers should use the first" of them
                for one in content.get("endpoints") or ()
                if family in FAMILIES and _usable(one.get("conditions") or {})
            )
            return cls(name_of(content), family, tuple(ports), ready)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"malformed EndpointSlice: {type(error).__name__}: {error}"[:200]) from None

    def addresses(self, port: Port) -> set[str]:
        """Return `IP:PORT` of each ready endpoint, where the slice has the port."""
        if not self.ports:
            numbers = {port.number}
        elif port.name is None:
            numbers = {port.number} if {port.number, None} & {number for _, number in self.ports} else set()
        else:
            numbers = {number or port.number for name, number in self.ports if name == port.name}
        form = "[{}]:{}" if self.family == "IPv6" else "{}:{}"
        return {form.format(address, number) for address in self.ready for number in numbers}


class Slices:
    """All slices of one Service, as of the last event."""

    def __init__(self) -> None:
        self._known: dict[str, Slice] = {}

    def __len__(self) -> int:
        return len(self._known)

    def replace(self, slices: Iterable[Slice]) -> None:
        """Take the content of a list."""
        self._known = {one.name: one for one in slices}

    def apply(self, kind: str, content: Any) -> None:
        """Take one event of a watch; raises MalformedError and is as before then."""
        if kind == "DELETED":
            try:
                self._known.pop(name_of(content), None)
            except (AttributeError, KeyError, TypeError) as error:
                raise MalformedError(f"malformed event: {type(error).__name__}: {error}"[:200]) from None
        elif kind in {"ADDED", "MODIFIED"}:
            found = Slice.read(content)
            self._known[found.name] = found
        else:
            raise MalformedError(f"unknown event: {kind}"[:200])

    def addresses(self, port: Port) -> tuple[str, ...]:
        """Return the addresses to call, sorted: of one family."""
        for family in FAMILIES:
            each = [one.addresses(port) for one in self._known.values() if one.family == family]
            if found := set[str]().union(*each):
                return tuple(sorted(found))
        return ()

    def has(self, port: Port) -> bool:
        """Return whether a slice has the port, ready or not, or there is no slice that could tell."""
        return not self._known or any(
            not one.ports
            or any(
                number is None or (number == port.number if port.name is None else name == port.name)
                for name, number in one.ports
            )
            for one in self._known.values()
        )


def name_of(content: Any) -> str:
    """Return an object's name."""
    return str(content["metadata"]["name"])


def _tcp(port: Mapping[str, Any]) -> bool:
    return (port.get("protocol") or "TCP") == "TCP"


def _number(port: Any) -> int | None:
    return None if port is None else int(port)


def _address(text: Any, family: str) -> str:
    address = ipaddress.ip_address(str(text))
    if address.version != int(family.removeprefix("IPv")):
        raise ValueError(f"{text} is no {family} address")
    return str(address)


def _usable(conditions: Mapping[str, Any]) -> bool:
    """Return whether new calls may go there: `ready` is true where it is not said.

    One that terminates is ready only where a Service publishes addresses that are not; it is left then too.
    """
    return conditions.get("ready") is not False and conditions.get("terminating") is not True
