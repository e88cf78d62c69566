"""Engines: what makes the calls that fall due."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from loadgen.discovery import Backends
from loadgen.peers import Peer


@dataclass(frozen=True, slots=True)
class Connectivity:
    """How far an engine's channels have come."""

    known: int | None
    """Addresses that the client knows; None where gRPC does not tell (pick_first tries one by one)."""
    connected: int
    """Addresses with a connection."""
    failing: int
    """Addresses that could not be connected to."""
    reason: str
    """Why one of them failed, or ""."""
    early: bool = True
    """Connections are made before calls; otherwise there is nothing to wait for."""

    @property
    def settled(self) -> bool:
        """Each known address is connected or has failed, and one at least is connected."""
        if not self.early:
            return True
        return self.connected > 0 and (self.known is None or self.connected + self.failing >= self.known)


@dataclass(frozen=True, slots=True)
class Connections:
    """What an engine's connections were over a run."""

    addresses: list[str] | None
    """Addresses in use at the end; None where gRPC does not tell."""
    seen: list[str] | None
    """Addresses known at some time."""
    made: int
    lost: int
    peers: Mapping[str, Peer] | None = None
    """Calls by address; None where they cannot be counted."""
    attempts: int | None = None
    """Attempts at calls, as far as they were seen: at least so many; None where that cannot be known."""


class Engine(Protocol):
    """Makes calls: `update`, `connectivity` until that suits, `run` while `update` goes on, `close`."""

    async def update(self, backends: Backends) -> None:
        """Use these backends from now on; calls that are in flight end where they are."""
        ...

    async def connectivity(self) -> Connectivity:
        """Connect, if that has not begun, and tell how far it is."""
        ...

    async def explain(self, reason: str) -> str:
        """Tell why nothing is connected, or ""; `reason` is what connectivity told."""
        ...

    async def run(self) -> None:
        """Take calls from the ledger and make them until nothing more falls due and none is in flight."""
        ...

    def cancel(self) -> None:
        """End at once what is in flight: each such call counts as failed."""
        ...

    def connections(self) -> Connections:
        """Tell what was seen of connections so far."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
