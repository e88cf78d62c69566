"""All that can be set about a replica."""

from dataclasses import dataclass

from server.faults import Faults
from server.tls import Files

SECOND = 1_000_000_000
"""In nanoseconds, the unit of all durations here."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory that Gets take."""

    per_call: int
    """In bytes, more than 0."""
    hold: int
    """For so long from its arrival on, a call's memory is held."""
    most: int | None
    """Bytes held at a time, at least `per_call`; None: no limit."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """Which ways load reports go to clients (gRFC A51)."""

    per_call: bool
    """With the trailing metadata of each Get."""
    out_of_band: bool
    """By a stream that a client asks for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `python -m server` was told. Durations are int nanoseconds."""

    host: str
    port: int
    """0: any free one, as for `metrics_port`."""
    metrics_port: int
    health_port: int | None
    """Plaintext, and for health alone; None: none of its own. 0 as above."""
    tls: Files | None
    """None: plaintext."""
    name: str
    address: str | None
    """None: the host and port that were bound."""
    faults: Faults
    footprint: Footprint | None
    """None: calls hold no memory."""
    orca: Reporting | None
    """None: no load reports."""
    max_connection_age: int | None
    """None: gRPC's default, without an end; as for its grace."""
    max_connection_age_grace: int | None
    drain_delay: int
    drain_timeout: int
    log_level: str
