"""What a run leaves behind: the result, and the content of its file.

The file is JSON, described by `result.schema.json` (`loadgen schema`). `run` writes it and `report` reads
it; nothing else joins the two. Everything that reports are made of is kept in a form that adds up, so
results of several shards can be merged; `summary` is derived from it for people and scripts.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Self

import fastjsonschema

from loadgen import goal
from loadgen.events import Event
from loadgen.histogram import Histogram

FORMAT = "grpc-spread/result"
VERSION = 1

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

    def to_json(self, summary: Json) -> Json:
        """Return the file's content, with this summary."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "versions": self.versions,
            "plan": self.plan,
            "pacing": self.pacing,
            "shards": [
                {
                    "index": shard.index,
                    "count": shard.count,
                    "started_ns": shard.started,
                    "duration_ns": shard.duration,
                }
                for shard in self.shards
            ],
            "started": datetime.fromtimestamp(self.started / 1e9, UTC).isoformat(),
            "started_ns": self.started,
            "duration_ns": self.duration,
            "partial": self.partial,
            "totals": _plain(self.totals),
            "messages": {"out": self.messages_out, "in": self.messages_in},
            "summary": summary,
            "backends": {name: _backend_json(one) for name, one in self.backends.items()},
            "unattributed": _backend_json(self.unattributed),
            "latency": _histogram_json(self.latency),
            "service_time": _histogram_json(self.service),
            "lag": _histogram_json(self.lag),
            "failed_latency": _histogram_json(self.failed_latency),
            "outcomes": [_plain(outcome) for outcome in self.outcomes],
            "timeline": {
                "interval_ns": self.timeline.interval,
                "start_ns": self.timeline.start,
                "sent": self.timeline.sent,
                "failed": self.timeline.failed,
                "dropped": self.timeline.dropped,
                "backends": self.timeline.backends,
            },
            "events": [{"at_ns": event.at, "name": event.name, **event.attributes} for event in self.events],
            "events_left_out": self.events_left_out,
            "evidence": _plain(self.evidence),
            **({} if self.replicas is None else {"replicas": [_plain(one) for one in self.replicas]}),
            **({} if self.warmup is None else {"warmup": _plain(self.warmup)}),
        }

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Return the result in a file's content; raises ValueError saying where it is not one."""
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f'is not a result: it has no "format": "{FORMAT}"')
        version = content.get("version")
        if isinstance(version, int) and version > VERSION:
            raise ValueError(
                f"has format version {version}, newer than this loadgen's {VERSION}: update loadgen"
            )
        try:
            _validator()(content)
            result = cls._read(content)
        except fastjsonschema.JsonSchemaValueException as error:
            raise ValueError(f"is not a whole result: {error.message}") from None
        if not result._adds_up():
            raise ValueError("is damaged: its counts do not add up")
        return result

    def _adds_up(self) -> bool:
        totals, backends = self.totals, [*self.backends.values(), self.unattributed]
        return (
            totals.add_up
            and (self.warmup is None or self.warmup.add_up)
            and totals.sent == sum(one.calls for one in backends)
            and totals.ok == sum(one.calls for one in self.outcomes if one.code == "OK")
            and totals.failed == sum(one.calls for one in self.outcomes if one.code != "OK")
        )

    @classmethod
    def _read(cls, content: Json) -> Self:
        timeline = content["timeline"]
        return cls(
            plan=content["plan"],
            pacing=content["pacing"],
            versions=content["versions"],
            shards=[
                Part(shard["index"], shard["count"], shard["started_ns"], shard["duration_ns"])
                for shard in content["shards"]
            ],
            started=content["started_ns"],
            duration=content["duration_ns"],
            partial=content["partial"],
            totals=Totals(**content["totals"]),
            messages_out=content["messages"]["out"],
            messages_in=content["messages"]["in"],
            unattributed=_backend_of(content["unattributed"], "unattributed"),
            backends={
                name: _backend_of(one, f"backends.{name}") for name, one in content["backends"].items()
            },
            latency=_histogram_of(content["latency"], "latency"),
            service=_histogram_of(content["service_time"], "service_time"),
            lag=_histogram_of(content["lag"], "lag"),
            failed_latency=_histogram_of(content["failed_latency"], "failed_latency"),
            outcomes=[Outcome(**outcome) for outcome in content["outcomes"]],
            timeline=Timeline(
                timeline["interval_ns"],
                timeline["start_ns"],
                timeline["sent"],
                timeline["failed"],
                timeline["dropped"],
                timeline["backends"],
            ),
            events=[
                Event(
                    event["at_ns"],
                    event["name"],
                    {key: value for key, value in event.items() if key not in {"at_ns", "name"}},
                )
                for event in content["events"]
            ],
            events_left_out=content["events_left_out"],
            evidence=Evidence(**content["evidence"]),
            replicas=[Replica(**one) for one in content["replicas"]] if "replicas" in content else None,
            warmup=Totals(**content["warmup"]) if "warmup" in content else None,
        )


def _plain(thing: Totals | Outcome | Evidence | Replica) -> Json:
    return {name: getattr(thing, name) for name in thing.__slots__}


def _histogram_json(histogram: Histogram) -> Json:
    return {
        "count": histogram.count,
        "sum_ns": histogram.sum,
        "min_ns": histogram.min,
        "max_ns": histogram.max,
        "hdr": histogram.encode(),
    }


def _histogram_of(content: Json, where: str) -> Histogram:
    try:
        histogram = Histogram.decode(
            content["hdr"],
            total=content["sum_ns"],
            low=content["min_ns"],
            high=content["max_ns"],
        )
    except ValueError as error:
        raise ValueError(f"is damaged: {where}.hdr is no HdrHistogram ({error})") from None
    if histogram.count != content["count"]:
        raise ValueError(f"is damaged: {where}.hdr counts {histogram.count} values, not {content['count']}")
    return histogram


def _backend_json(backend: Backend) -> Json:
    return {
        "calls": backend.calls,
        "ok": backend.ok,
        "failed": backend.failed,
        "first_call_ns": backend.first_call,
        "last_call_ns": backend.last_call,
        "latency": None if backend.latency is None else _histogram_json(backend.latency),
    }


def _backend_of(content: Json, where: str) -> Backend:
    return Backend(
        content["calls"],
        content["ok"],
        content["failed"],
        content["first_call_ns"],
        content["last_call_ns"],
        None if content["latency"] is None else _histogram_of(content["latency"], f"{where}.latency"),
    )


def schema() -> Json:
    """Return the JSON Schema (draft 7) of a result file."""
    content: Json = json.loads(resources.files("loadgen").joinpath("result.schema.json").read_text("utf-8"))
    return content


@cache
def _validator() -> Callable[[object], object]:
    compiled: Callable[[object], object] = fastjsonschema.compile(schema(), use_default=False)
    return compiled
