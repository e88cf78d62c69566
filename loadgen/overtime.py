"""What a result's timeline and events say of each interval; pure: a result in, rows out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from loadgen.result import Result

T = TypeVar("T")

STEPS = {"backend.known": 1, "backend.added": 1, "backend.removed": -1}


def parts(row: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Give `size` intervals at a time."""
    return (row[begin : begin + size] for begin in range(0, len(row), size))


def percentiles(result: Result, percent: float, size: int = 1) -> list[int | None]:
    """Return the latency (ns) that `percent` % of the calls in `size` intervals do not exceed, time by time.

    None where there was no call.
    """
    latency = result.timeline.latency
    return [latency.percentile(slice(begin, begin + size), percent) for begin in range(0, len(latency), size)]


def known(result: Result) -> list[int] | None:
    """Return how many backends discovery knew at each interval's end; None where that is not told.

    Of several shards each one's discovery counts: a backend is known as long as one of them knows it. gRPC's
    own resolver does not tell of backends that it has dropped.
    """
    changes = [event for event in result.events if event.name in STEPS]
    if not changes or result.events_left_out or result.evidence.discovery == "dns":
        return None
    timeline = result.timeline
    begin = timeline.start - result.started
    knowing: Counter[str] = Counter()
    made = []
    for row in range(len(timeline.sent)):
        while changes and changes[0].at < begin + (row + 1) * timeline.interval:
            event = changes.pop(0)
            knowing[str(event.attributes.get("address"))] += STEPS[event.name]
        made.append(sum(count > 0 for count in knowing.values()))
    return made


def of_backends(result: Result) -> dict[str, Any]:
    """Return percentiles of each backend's calls, in rows of several intervals, times in seconds."""
    timeline, rows = result.timeline, result.timeline.coarse()

    def each(percent: float) -> dict[str, list[float | None]]:
        return {
            name: _seconds([cells.percentile(slice(row, row + 1), percent) for row in range(len(cells))])
            for name, cells in timeline.latencies.items()
        }

    return {
        "start_s": (rows.start - result.started) / 1e9,
        "interval_s": rows.step / 1e9,
        "p50_s": each(50),
        "p99_s": each(99),
    }


def _seconds(times: list[int | None]) -> list[float | None]:
    return [None if time is None else time / 1e9 for time in times]


def summary(result: Result) -> dict[str, Any]:
    """Return the rows that are derived from timeline and events, times in seconds since the start."""
    return {
        "start_s": (result.timeline.start - result.started) / 1e9,
        "interval_s": result.timeline.interval / 1e9,
        "p50_s": _seconds(percentiles(result, 50)),
        "p99_s": _seconds(percentiles(result, 99)),
        "backends_known": known(result),
        "backends": of_backends(result),
    }
