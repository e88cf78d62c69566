"""Things that happened during a run, beside its calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool | list[str] | None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Names are dotted: `connection.made`, `backend.added`, `run.stopping`."""

    at: int
    """When, in ns since the start of the run; negative before it."""
    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
