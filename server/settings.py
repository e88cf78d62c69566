"""All that can be set about a replica."""

from dataclasses import dataclass

from server.faults import Faults

SECOND = 1_000_000_000
"""In nanoseconds, the unit of all durations here."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `python -m server` was told. Durations are int nanoseconds."""

    host: str
    port: int
    """0: any free one, as for `metrics_port`."""
    metrics_port: int
    name: str
    address: str | None
    """None: the host and port that were bound."""
    faults: Faults
    max_connection_age: int | None
    """None: gRPC's default, without an end; as for its grace."""
    max_connection_age_grace: int | None
    drain_delay: int
    drain_timeout: int
    log_level: str
