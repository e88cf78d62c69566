"""The content of a result's file.

The file is JSON, described by `result.schema.json` (`loadgen schema`). `run` writes it and `report` reads
it; nothing else joins the two. `summary` is derived from the rest, for people and scripts.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import resources

import fastjsonschema

from loadgen import observedjson
from loadgen.cells import Cells
from loadgen.events import Event
from loadgen.histogram import Histogram
from loadgen.result import Backend, Evidence, Json, Outcome, Part, Replica, Result, Timeline, Totals

FORMAT = "grpc-spread/result"
VERSION = 1


def to_json(result: Result, summary: Json) -> Json:
    """Return a result file's content, with this summary."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "versions": result.versions,
        "plan": result.plan,
        "pacing": result.pacing,
        "shards": [
            {
                "index": shard.index,
                "count": shard.count,
                "started_ns": shard.started,
                "duration_ns": shard.duration,
            }
            for shard in result.shards
        ],
        "started": datetime.fromtimestamp(result.started / 1e9, UTC).isoformat(),
        "started_ns": result.started,
        "duration_ns": result.duration,
        "partial": result.partial,
        "totals": _plain(result.totals),
        "messages": {"out": result.messages_out, "in": result.messages_in},
        "summary": summary,
        "backends": {name: _backend_json(one) for name, one in result.backends.items()},
        "unattributed": _backend_json(result.unattributed),
        "latency": _histogram_json(result.latency),
        "service_time": _histogram_json(result.service),
        "lag": _histogram_json(result.lag),
        "failed_latency": _histogram_json(result.failed_latency),
        "outcomes": [_plain(outcome) for outcome in result.outcomes],
        "timeline": {
            "interval_ns": result.timeline.interval,
            "start_ns": result.timeline.start,
            "sent": result.timeline.sent,
            "failed": result.timeline.failed,
            "dropped": result.timeline.dropped,
            "backends": result.timeline.backends,
            "failures": result.timeline.failures,
            "latency": result.timeline.latency.encode(),
            "latencies": {name: cells.encode() for name, cells in result.timeline.latencies.items()},
        },
        "events": [{"at_ns": event.at, "name": event.name, **event.attributes} for event in result.events],
        "events_left_out": result.events_left_out,
        "evidence": _plain(result.evidence),
        **({} if result.replicas is None else {"replicas": [_plain(one) for one in result.replicas]}),
        **({} if result.warmup is None else {"warmup": _plain(result.warmup)}),
        **({} if result.observed is None else {"observed": observedjson.to_json(result.observed)}),
    }


def from_json(content: object) -> Result:
    """Return the result in a file's content; raises ValueError saying where it is not one."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'is not a result: it has no "format": "{FORMAT}"')
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"has format version {version}, newer than this loadgen's {VERSION}: update loadgen")
    try:
        _validator()(content)
        result = _read(content)
    except fastjsonschema.JsonSchemaValueException as error:
        raise ValueError(f"is not a whole result: {error.message}") from None
    if not result.adds_up():
        raise ValueError("is damaged: its counts do not add up")
    if not result.timeline.is_even():
        raise ValueError("is damaged: the lists of its timeline are not of one length")
    return result


def _read(content: Json) -> Result:
    return Result(
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
        backends={name: _backend_of(one, f"backends.{name}") for name, one in content["backends"].items()},
        latency=_histogram_of(content["latency"], "latency"),
        service=_histogram_of(content["service_time"], "service_time"),
        lag=_histogram_of(content["lag"], "lag"),
        failed_latency=_histogram_of(content["failed_latency"], "failed_latency"),
        outcomes=[Outcome(**outcome) for outcome in content["outcomes"]],
        timeline=_timeline_of(content["timeline"]),
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
        observed=observedjson.from_json(content["observed"]) if "observed" in content else None,
    )


def _timeline_of(content: Json) -> Timeline:
    rows = len(content["sent"])
    made = Timeline(
        content["interval_ns"],
        content["start_ns"],
        content["sent"],
        content["failed"],
        content["dropped"],
        content["backends"],
        content.get("failures", {}),
        _cells_of(content["latency"], rows, "latency") if "latency" in content else Cells.of([{}] * rows),
    )
    coarse = len(made.coarse())
    for name, text in content.get("latencies", {}).items():
        made.latencies[name] = _cells_of(text, coarse, f"latencies.{name}")
    return made


def _cells_of(text: str, rows: int, where: str) -> Cells:
    try:
        return Cells.decode(text, rows)
    except ValueError as error:
        raise ValueError(f"is damaged: timeline.{where} is no counts of cells ({error})") from None


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
        "address": backend.address,
        "known_ns": backend.known,
        "connected_ns": backend.connected,
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
        content.get("address"),
        content.get("known_ns"),
        content.get("connected_ns"),
    )


def schema() -> Json:
    """Return the JSON Schema (draft 7) of a result file."""
    content: Json = json.loads(resources.files("loadgen").joinpath("result.schema.json").read_text("utf-8"))
    return content


@cache
def _validator() -> Callable[[object], object]:
    compiled: Callable[[object], object] = fastjsonschema.compile(schema(), use_default=False)
    return compiled
