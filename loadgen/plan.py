"""What a run is asked to do: one frozen, checked set of options."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import durationpy

from loadgen.errors import PlanError
from loadgen.parameters import Connections

POLICIES = ("pick_first", "round_robin")
DISCOVERIES = ("static", "dns", "poll")
DEFAULT_TOTAL = 200
DEFAULT_POLL_INTERVAL = 1_000_000_000

_DURATIONS = ("duration", "interval", "poll_interval", "ready_timeout", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of `loadgen run`: flags, environment and plan file all fill it. Durations are ns."""

    target: str
    concurrency: int | None = None
    total: int | None = None
    duration: int | None = None
    interval: int | None = None
    rps: float | None = None
    max_in_flight: int | None = None
    lb_policy: str = "pick_first"
    connections: int = 1
    """Channels with connections of their own; 0: one for every call."""
    discovery: str = "dns"
    poll_interval: int | None = None
    expect_backends: int | None = None
    ready_timeout: int = 10_000_000_000
    cold: bool = False
    health_check: bool = False
    timeout: int = 20_000_000_000
    """Deadline of each call; 0: none."""
    metadata: tuple[tuple[str, str], ...] = ()
    backend_from: str = "field:id"

    def __post_init__(self) -> None:
        """Raise PlanError where options contradict each other."""
        self._check_load()
        if self.poll_interval is not None and self.discovery != "poll":
            raise PlanError("--poll-interval needs --discovery poll")
        if self.cold and self.expect_backends is not None:
            raise PlanError("--cold starts at once, --expect-backends waits: leave one out")
        if self.lb_policy == "pick_first" and (self.expect_backends or 0) > 1:
            raise PlanError(
                "--expect-backends above 1 needs --lb-policy round_robin: pick_first connects to one backend"
            )
        if self.connections == Connections.PER_CALL and (self.expect_backends or 0) > 1:
            raise PlanError("--expect-backends above 1 cannot be seen with --connections per-call")
        if self.health_check and self.lb_policy == "pick_first":
            raise PlanError("--health-check needs --lb-policy round_robin: pick_first ignores it")

    def _check_load(self) -> None:
        if self.rps is None:
            if self.max_in_flight is not None:
                raise PlanError("--max-in-flight is for open load (--rps): use --concurrency for closed load")
            return
        if self.interval is not None:
            raise PlanError("--rps sets when calls start, --interval too: leave one out")
        if self.concurrency is not None:
            raise PlanError(
                "--rps starts calls whatever is in flight: use --max-in-flight, not --concurrency"
            )

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """How many calls and how long (ns), whichever ends first; 200 calls where neither was said."""
        if self.total is None and self.duration is None:
            return DEFAULT_TOTAL, None
        return self.total, self.duration

    def to_json(self) -> dict[str, Any]:
        """Return it as the keys of a plan file, without what was not said and without metadata values."""
        content: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            if field.name in _DURATIONS:
                value = durationpy.to_str(timedelta(microseconds=value / 1000), extended=False)
            elif field.name == "connections" and value == Connections.PER_CALL:
                value = "per-call"
            elif field.name == "metadata":
                value = [f"{key}:..." for key, _ in value]
            content[field.name] = value
        return content
