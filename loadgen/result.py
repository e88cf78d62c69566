"""What a run leaves behind: the result.

Everything that reports are made of is kept in a form that adds up, so results of several shards can be
merged.
"""

from dataclasses import dataclass, field
from typing import Any

from loadgen import goal
from loadgen.cells import Cells
from loadgen.events import Event
from loadgen.histogram import Histogram
from loadgen.observed import Observed
from loadgen.timeline import COARSER

Json = dict[str, Any]


@dataclass(slots=True)
class Totals:
    """Calls of a part of the run: due = sent + dropped, sent = ok + failed + in flight, at its end 0."""

    due: int
    sent: int
    ok: int
    failed: int
    dropped: int

    @property
    def in_flight(self) -> int:
        """Calls that were sent and have not ended."""
        return self.sent - self.ok - self.failed

    @property
    def add_up(self) -> bool:
        """Whether they are those of a part that has ended."""
        return self.due == self.sent + self.dropped and not self.in_flight


@dataclass(slots=True)
class Backend:
    """What one backend did; times are ns since the start of the run.

    `latency` is of its ok calls; None where calls were counted by connection, which tells nothing of each.
    """

    calls: int
    ok: int
    failed: int
    first_call: int | None
    last_call: int | None
    latency: Histogram | None
    address: str | None = None
    """Where it is; None where that was not told."""
    known: int | None = None
    """When discovery told of its address; None where it did not, or the address is not known."""
    connected: int | None = None
    """When a connection to its address was made; None where that was not seen."""


@dataclass(slots=True)
class Outcome:
    """How many calls ended with this status code and message."""

    code: str
    message: str
    calls: int

    def order(self) -> tuple[bool, int, str, str]:
        """Return what outcomes are sorted by: OK first, then by number of calls."""
        return (self.code != "OK", -self.calls, self.code, self.message)


@dataclass(frozen=True, slots=True)
class Part:
    """A shard whose calls are in the result."""

    index: int
    count: int
    """Of all shards, whether their calls are in the result or not."""
    started: int
    """Wall-clock time of its start, ns since the Unix epoch."""
    duration: int
    """From then until its last call ended, in ns."""


@dataclass(slots=True)
class Timeline:
    """Calls per interval, by the time at which they were sent. All lists have one length."""

    interval: int
    """Length of a row in ns."""
    start: int
    """Wall-clock time of the first row's begin, ns since the Unix epoch; at most one row before the run."""
    sent: list[int]
    failed: list[int]
    dropped: list[int]
    backends: dict[str, list[int]]
    """Calls sent to each backend; failed ones that do not say who answered are in none."""
    failures: dict[str, list[int]] = field(default_factory=dict)
    """Calls that failed, of those sent to each backend: of backends that have some."""
    latency: Cells = field(default_factory=lambda: Cells.of(()))
    """done - due of all calls, by `loadgen.cells`."""
    latencies: dict[str, Cells] = field(default_factory=dict)
    """The same of the calls that each backend was sent, in rows of `COARSER` intervals: see `coarse`."""

    def is_even(self) -> bool:
        """Return whether all lists have one length."""
        lists = (self.sent, self.failed, self.dropped, *self.backends.values(), *self.failures.values())
        return {len(one) for one in lists} == {len(self.latency)}

    def coarse(self) -> range:
        """Return when (ns since the Unix epoch) each row of `latencies` begins.

        They lie on the grid of their own length, so the first may begin before `start`.
        """
        length = COARSER * self.interval
        end = self.start + len(self.sent) * self.interval
        return range(self.start // length * length, end if self.sent else 0, length)


@dataclass(slots=True)
class Evidence:
    """What the client knew of the service and did about it: what the verdict rests on."""

    discovery: str
    """`static`, `dns` or `poll`."""
    policy: str
    cold: bool
    """The load began on channels that had not connected."""
    addresses: list[str] | None
    """The addresses that the client used at the end; None where that cannot be known."""
    addresses_seen: list[str] | None
    """Every address that the client knew of at some time."""
    addresses_now: list[str] | None
    """What the name resolved to right after the run; None where it was not asked or did not resolve."""
    connections: int | None
    """Connections made over the run; None where that cannot be known."""
    connections_lost: int | None
    retries: int | None = None
    """Attempts that gRPC made again, at least so many; None where none were asked for, or not known."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A pod of the server, as `collect` found it after the run."""

    pod: str
    ip: str | None
    id: str | None
    """What it answers calls with; None where its log does not say."""
    ready_at: int | None
    """Wall-clock time, ns since the Unix epoch, exact to a second; None while it is not ready."""
    restarts: int
    oom_killed: bool
    calls: int | None
    """Calls of the run that it got; None where its id is not known."""


@dataclass(slots=True)
class Result:
    """One run, or several that were one load. Durations are ns."""

    plan: Json
    """What was asked of all shards together, as the keys of a plan file; without the values of metadata."""
    pacing: str
    versions: dict[str, str]
    shards: list[Part]
    """Whose calls these are, in order of their numbers; a run of its own is shard 0 of 1."""
    started: int
    """Wall-clock time of the first shard's start, after a warm-up; ns since the Unix epoch."""
    duration: int
    """From then until the last call ended."""
    partial: str | None
    """Why the run ended before its plan did, or None."""
    totals: Totals
    messages_out: int
    messages_in: int
    unattributed: Backend
    backends: dict[str, Backend]
    latency: Histogram
    """done - due, of calls that succeeded."""
    service: Histogram
    """done - sent, of calls that succeeded."""
    lag: Histogram
    """sent - due, of all calls."""
    failed_latency: Histogram
    """done - due, of calls that failed."""
    outcomes: list[Outcome]
    timeline: Timeline
    events: list[Event]
    events_left_out: int
    evidence: Evidence
    replicas: list[Replica] | None = None
    """The server's pods; None where nobody looked."""
    warmup: Totals | None = None
    """Calls that fell due before `started`: they are in no other figure. None where there was no warm-up."""
    observed: Observed | None = None
    """What was seen of the replicas beside the load; None where nobody looked."""

    @property
    def open(self) -> bool:
        """Whether calls fell due by the clock, whatever was in flight."""
        return "rps" in self.plan or "stages" in self.plan

    def missing(self) -> list[int]:
        """Return the shards whose calls are not in the result."""
        there = {shard.index for shard in self.shards}
        return [index for index in range(max(shard.count for shard in self.shards)) if index not in there]

    def skew(self) -> int:
        """Return the time from the first shard's start to the last one's."""
        return max(shard.started for shard in self.shards) - self.started

    def apart(self) -> bool:
        """Return whether there is no moment at which all shards ran."""
        ended = min(shard.started + shard.duration for shard in self.shards)
        return ended < max(shard.started for shard in self.shards)

    def rate(self) -> float:
        """Return calls sent per second: of the run, in open load of the time in which they were to be sent.

        So it is not low for the time that the last answers took, but for calls that were late or dropped.
        """
        window = self.duration
        if self.open:
            window = max(
                (one.last_call or 0 for one in (*self.backends.values(), self.unattributed)), default=0
            )
            window = max(window, 0 if self.partial else goal.of(self.plan).length or 0)
        return self.totals.sent * 1e9 / window if window else 0.0

    def throughput(self) -> float:
        """Return calls that succeeded per second of the run."""
        return self.totals.ok * 1e9 / self.duration if self.duration else 0.0

    def adds_up(self) -> bool:
        """Return whether its counts are those of calls that have all ended."""
        totals, backends = self.totals, [*self.backends.values(), self.unattributed]
        return (
            totals.add_up
            and (self.warmup is None or self.warmup.add_up)
            and totals.sent == sum(one.calls for one in backends)
            and totals.ok == sum(one.calls for one in self.outcomes if one.code == "OK")
            and totals.failed == sum(one.calls for one in self.outcomes if one.code != "OK")
        )
