"""What a run is asked to do: one frozen, checked set of options."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import durationpy

from loadgen import policies, stages, template
from loadgen.attribution import AUTO, NONE, PEER
from loadgen.descriptors import split
from loadgen.errors import PlanError
from loadgen.goal import TOTAL as DEFAULT_TOTAL
from loadgen.parameters import Connections
from loadgen.stages import Stage
from loadgen.thresholds import Threshold

ARRIVALS = ("constant", "poisson")
COMPRESSIONS = ("gzip", "deflate")
POLICIES = tuple(policies.POLICIES)
DISCOVERIES = ("static", "dns", "poll", "watch")
FALLBACKS = ("poll",)
DEFAULT_POLL_INTERVAL = 1_000_000_000

DATA_ORDERS = ("turn", "random")

_DURATIONS = (
    *("duration", "interval", "poll_interval", "ready_timeout", "timeout", "warmup"),
    *("rotate_connections", "dns_min_time_between_resolutions"),
    *("keepalive_time", "keepalive_timeout", "stream_interval", "stream_cancel_after"),
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
    arrival: str | None = None
    """One of ARRIVALS; None: constant."""
    seed: int | None = None
    """Of everything left to chance; None: another for each run."""
    stages: tuple[Stage, ...] | None = None
    warmup: int | None = None
    max_in_flight: int | None = None
    lb_policy: str = "pick_first"
    lb_config: str | None = None
    """The policy's own configuration, as JSON."""
    hash_header: str | None = None
    """The metadata key whose value ring_hash goes by."""
    connections: int = 1
    """Channels with connections of their own; 0: one for every call."""
    discovery: str = "dns"
    discovery_fallback: str | None = None
    """Used in place of `watch` where the Kubernetes API cannot be asked; None: that is an error."""
    poll_interval: int | None = None
    rotate_connections: int | None = None
    dns_min_time_between_resolutions: int | None = None
    expect_backends: int | None = None
    ready_timeout: int = 10_000_000_000
    cold: bool = False
    health_check: bool = False
    observe: bool = False
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
    stream_interval: int | None = None
    stream_messages: int | None = None
    stream_cancel_after: int | None = None
    threshold: tuple[Threshold, ...] = ()
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
        self._check_target()
        self._check_channel()
        if self.seed is not None and self.chance is None and self.data_elsewhere is None:
            raise PlanError(
                f"--seed needs --arrival poisson, --data-order random or {template.RANDOM}:"
                " nothing else is left to chance"
            )
        self._check_discovery()
        self._check_policy()
        if self.cold and self.expect_backends is not None:
            raise PlanError("--cold starts at once, --expect-backends waits: leave one out")
        if self.connections == Connections.PER_CALL and (self.expect_backends or 0) > 1:
            raise PlanError("--expect-backends above 1 cannot be seen with --connections per-call")

    def _check_policy(self) -> None:
        policy = policies.of(self.lb_policy)
        policy.configured(self.lb_config)
        if not policy.connects_early and self.expect_backends is not None:
            raise PlanError(
                f"--expect-backends waits before the first call, and {policy.name} connects when calls come:"
                " leave it out"
            )
        if not policy.connects_to_all and (self.expect_backends or 0) > 1:
            raise PlanError(
                "--expect-backends above 1 needs --lb-policy round_robin or weighted_round_robin:"
                f" {policy.name} connects to one backend"
            )
        if self.health_check and not policy.health:
            raise PlanError(
                f"--health-check needs --lb-policy round_robin or another one that heeds it: {policy.name}"
                " ignores it"
            )
        if self.connections == Connections.PER_CALL and policy is policies.WEIGHTED_ROUND_ROBIN:
            raise PlanError(
                "--connections per-call forgets the loads reported, which weighted_round_robin goes by: use"
                " --lb-policy round_robin"
            )
        self._check_hash_header(policy)

    def _check_hash_header(self, policy: policies.Policy) -> None:
        if policy is not policies.RING_HASH:
            if self.hash_header is not None:
                raise PlanError("--hash-header needs --lb-policy ring_hash")
            return
        if self.hash_header is None:
            raise PlanError("--lb-policy ring_hash needs --hash-header, the metadata key that it goes by")
        if self.hash_header not in {key for key, _ in self.metadata}:
            raise PlanError(
                f"--hash-header {self.hash_header} is in no --metadata, so calls would go anywhere: give it"
                f" with --metadata '{self.hash_header}:user-{{{{randint 1 100}}}}' or the like"
            )

    def _check_discovery(self) -> None:
        if self.discovery_fallback is not None and self.discovery != "watch":
            raise PlanError("--discovery-fallback needs --discovery watch: no other needs rights")
        if self.poll_interval is not None and "poll" not in {self.discovery, self.discovery_fallback}:
            raise PlanError("--poll-interval needs --discovery poll")
        if self.dns_min_time_between_resolutions is not None and self.discovery != "dns":
            raise PlanError(
                "--dns-min-time-between-resolutions is for gRPC's own resolver: it needs --discovery dns"
            )
        if self.rotate_connections is None:
            return
        if self.discovery != "dns":
            raise PlanError(
                f"--rotate-connections needs --discovery dns: {self.discovery} would connect to the addresses"
                " that it knows already"
            )
        if self.connections == Connections.PER_CALL:
            raise PlanError(
                "--rotate-connections and --connections per-call exclude each other: leave one out"
            )

    def _check_load(self) -> None:
        if self.stages is not None:
            self._check_stages(self.stages)
        if self.arrival is not None and not self.open:
            raise PlanError("--arrival is for open load: give --rps or --stages too")
        check_thresholds(self.threshold, is_open=self.open)
        if not self.open:
            if self.max_in_flight is not None:
                raise PlanError(
                    "--max-in-flight is for open load (--rps, --stages): use --concurrency for closed load"
                )
            return
        flag = "--rps" if self.stages is None else "--stages"
        if self.interval is not None:
            raise PlanError(f"{flag} sets when calls start, --interval too: leave one out")
        if self.concurrency is not None:
            raise PlanError(
                f"{flag} starts calls whatever is in flight: use --max-in-flight, not --concurrency"
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
        for one in self.threshold:
            if one.of_each and self.attribution in {PEER, NONE}:
                raise PlanError(
                    f"--threshold {one} needs to know who answered each call: say where a reply tells it with"
                    " --backend-from field:NAME or metadata:KEY"
                )

    @property
    def attribution(self) -> str:
        """Return where a call's backend is read from: what `auto` stands for, or else what was said."""
        if self.backend_from != AUTO:
            return self.backend_from
        if self.call is None or split(self.call) == ("Service", "Get"):
            return "field:id"
        return NONE if self.connections == Connections.PER_CALL else PEER

    @property
    def chance(self) -> str | None:
        """Return what is left to chance, as far as the plan alone tells: data may be in a file."""
        if self.arrival == "poisson":
            return "--arrival poisson"
        if self.data_order == "random":
            return "--data-order random"
        texts = (self.data or "", *(value for _, value in self.metadata))
        return template.RANDOM if any(map(template.is_random, texts)) else None

    @property
    def data_elsewhere(self) -> str | None:
        """Return the file that holds the data, if one does."""
        if self.data is not None and self.data.startswith("@"):
            return self.data.removeprefix("@")
        return self.data_file

    def _check_stages(self, asked: Sequence[Stage]) -> None:
        for flag, given in (("--rps", self.rps), ("--duration", self.duration), ("--total", self.total)):
            if given is not None:
                raise PlanError(f"--stages says how fast and how long, {flag} too: leave one out")
        whole = stages.length(asked)
        if self.warmup is not None and self.warmup >= whole:
            raise PlanError(
                f"--warmup is the first part of --stages, which take {whole / 1e9:g} s: nothing is left then"
            )

    @property
    def open(self) -> bool:
        """Whether calls fall due by the clock, whatever is in flight."""
        return self.rps is not None or self.stages is not None

    @property
    def length(self) -> int | None:
        """How long it makes calls after the warm-up (ns), where time limits that."""
        return self.duration if self.stages is None else stages.length(self.stages) - (self.warmup or 0)

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
            elif field.name == "lb_config":
                value = json.loads(value)
            elif field.name == "data" and not value.startswith("@"):
                value = f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:16]}"
            elif field.name == "stages":
                value = stages.write(value)
            elif field.name == "threshold":
                value = [str(one) for one in value]
            content[field.name] = value
        return content


def check_thresholds(thresholds: Sequence[Threshold], *, is_open: bool) -> None:
    """Raise PlanError where one is about a target rate and the load has none."""
    for one in thresholds:
        if one.of_target and not is_open:
            raise PlanError(
                f"--threshold {one} needs open load (--rps, --stages): closed load has no rate to aim for"
            )
