"""Backends that are slower than the others: which ones, by how much, and when that is no chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.histogram import Histogram
from loadgen.result import Result

TIMES = 2.0  # as slow as the others: less is not worth a word
GAP = 5_000_000  # ns, likewise
PRECISION = 1.002  # equal latencies may differ by 0.1 % of each in histograms
CALLS, TAIL_CALLS = 30, 500  # that succeeded, of a backend: quartiles, or a p95 and p99, say nothing of fewer


@dataclass(frozen=True, slots=True)
class Slow:
    """A backend that is slow, beside the fast ones. Times are ns."""

    backend: str
    latency: Histogram
    others: int
    """The fast ones, at least half of all."""
    median: float
    """Of the slowest of them, as the next."""
    p99: float
    tail: bool
    """Only its slowest calls are slow: its median is like theirs."""


def find(result: Result) -> list[Slow]:
    """Return the slow backends, the slowest first.

    Half of the backends, those with the lowest medians (or p95), are what the others are held to. A backend
    is slow where its lower quartile is above their upper ones, or its p95 above their p99, and where ratio
    and difference are worth a word. Of backends that are alike, so many calls come so far apart by chance in
    less than one of a thousand runs, whatever their distribution is.
    """
    known = [
        (name, one.latency)
        for name, one in result.backends.items()
        if one.latency is not None and one.latency.count >= CALLS
    ]
    return _slow(known, 50, (25, 75), tail=False) or _slow(
        [one for one in known if one[1].count >= TAIL_CALLS], 95, (95, 99), tail=True
    )


def _slow(
    known: Sequence[tuple[str, Histogram]], by: float, apart: tuple[float, float], *, tail: bool
) -> list[Slow]:
    ranked = sorted(known, key=lambda one: one[1].percentile(by))
    fast = [histogram for _, histogram in ranked[: (len(ranked) + 1) // 2]]
    if len(ranked) < 2:
        return []
    usual = max(one.percentile(99 if tail else 50) for one in fast)
    bound = PRECISION * max(one.percentile(apart[1]) for one in fast)
    return [
        Slow(
            name,
            latency,
            len(fast),
            max(one.percentile(50) for one in fast),
            max(one.percentile(99) for one in fast),
            tail,
        )
        for name, latency in reversed(ranked[len(fast) :])
        if latency.percentile(apart[0]) > bound and latency.percentile(by) >= max(TIMES * usual, usual + GAP)
    ]
