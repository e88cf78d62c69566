"""What a run is asked to do: one frozen, checked set of options."""

import hashlib
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import durationpy

from loadgen.attribution import AUTO, NONE, PEER
from loadgen.descriptors import split
from loadgen.errors import PlanError
from loadgen.parameters import Connections

POLICIES = ("pick_first", "round_robin")
DISCOVERIES = ("static", "dns", "poll")
DEFAULT_TOTAL = 200
DEFAULT_POLL_INTERVAL = 1_000_000_000

DATA_ORDERS = ("turn", "random")

_DURATIONS = (
    *("duration", "interval", "poll_interval", "ready_timeout", "timeout"),
    *("stream_interval", "stream_cancel_after"),
)

_OF_CALL = (
    *("proto", "protoset", "data", "data_file"),
    *("stream_interval", "stream_messages", "stream_cancel_after"),
)


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
    backend_from: str = AUTO
    call: str | None = None
    """The method; None: the article's."""
    proto: tuple[str, ...] = ()
    import_path: tuple[str, ...] = ()
    protoset: tuple[str, ...] = ()
    data: str | None = None
    data_file: str | None = None
    data_order: str | None = None
    data_seed: int | None = None
    stream_interval: int | None = None
    stream_messages: int | None = None
    stream_cancel_after: int | None = None

    def __post_init__(self) -> None:
        """Raise PlanError where options contradict each other."""
        self._check_load()
        self._check_target()
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

    def _check_target(self) -> None:
        if self.call is not None:
            split(self.call)
        for name in _OF_CALL:
            if self.call is None and getattr(self, name) not in {None, ()}:
                raise PlanError(f"--{name.replace('_', '-')} needs --call, which says what it is for")
        if self.import_path and not self.proto:
            raise PlanError("--import-path is for --proto: name the file too")
        if self.data is not None and self.data_file is not None:
            raise PlanError("--data is what every call sends, --data-file a line for each: leave one out")
        if self.data_order is not None and self.data_file is None:
            raise PlanError("--data-order needs --data-file: what is given by --data is one payload")
        if self.backend_from == PEER and self.connections == Connections.PER_CALL:
            raise PlanError("--backend-from peer cannot be counted with --connections per-call")

    @property
    def attribution(self) -> str:
        """Return where a call's backend is read from: what `auto` stands for, or else what was said."""
        if self.backend_from != AUTO:
            return self.backend_from
        if self.call is None or split(self.call) == ("Service", "Get"):
            return "field:id"
        return NONE if self.connections == Connections.PER_CALL else PEER

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """How many calls and how long (ns), whichever ends first; 200 calls where neither was said."""
        if self.total is None and self.duration is None:
            return DEFAULT_TOTAL, None
        return self.total, self.duration

    def to_json(self) -> dict[str, Any]:
        """Return it as the keys of a plan file, without what was not said.

        Values of metadata and data are left out, as they may be secret; those of data can be told apart.
        """
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
            elif field.name == "backend_from":
                value = self.attribution
            elif field.name == "data" and not value.startswith("@"):
                value = f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:16]}"
            content[field.name] = value
        return content
