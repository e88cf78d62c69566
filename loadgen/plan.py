"""What a run is asked to do: one frozen, checked set of options."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import durationpy

from loadgen.errors import PlanError
from loadgen.parameters import Connections

COMPRESSIONS = ("gzip", "deflate")
POLICIES = ("pick_first", "round_robin")
DISCOVERIES = ("static", "dns", "poll")
DEFAULT_TOTAL = 200
DEFAULT_POLL_INTERVAL = 1_000_000_000

_DURATIONS = (
    *("duration", "interval", "poll_interval", "ready_timeout", "timeout"),
    *("keepalive_time", "keepalive_timeout"),
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
    backend_from: str = "field:id"
    tls: bool = False
    """Also where it is False, the other options of TLS switch it on: see `secure`."""
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    token_file: str | None = None
    """A path; as with `token_env`, a variable's name, the token itself is not part of the plan."""
    token_env: str | None = None
    keepalive_time: int | None = None
    keepalive_timeout: int | None = None
    compression: str | None = None
    retry: int | None = None
    retry_codes: str | None = None

    def __post_init__(self) -> None:
        """Raise PlanError where options contradict each other."""
        self._check_load()
        self._check_channel()
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

    def _check_channel(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise PlanError("--cert and --key need each other")
        if self.insecure_skip_verify and self.cacert is not None:
            raise PlanError("--cacert verifies, --insecure-skip-verify does not: leave one out")
        if self.token_file is not None and self.token_env is not None:
            raise PlanError("--token-file and --token-env both give the token: leave one out")
        if self.token and any(key == "authorization" for key, _ in self.metadata):
            raise PlanError(f"--metadata authorization and {self.token} exclude each other: leave one out")
        if self.keepalive_timeout is not None and self.keepalive_time is None:
            raise PlanError("--keepalive-timeout needs --keepalive-time")
        if self.retry_codes is not None and self.retry is None:
            raise PlanError("--retry-codes needs --retry")

    @property
    def secure(self) -> bool:
        """Whether to use TLS."""
        return (
            self.tls
            or self.insecure_skip_verify
            or any(one is not None for one in (self.cacert, self.cert, self.server_name))
        )

    @property
    def token(self) -> str | None:
        """The option that gives a token, if one does."""
        if self.token_file is not None:
            return "--token-file"
        return None if self.token_env is None else "--token-env"

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
