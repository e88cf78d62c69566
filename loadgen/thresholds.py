"""Thresholds: what must hold of a result, such as `p99<50ms` or `error_rate<0.1%`.

A threshold is a metric, a comparison and a limit. What has no value (a percentile where no call succeeded,
idle backends where nobody knows how many there are) is no pass: it counts as crossed, and says why.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from loadgen import goal, replicas
from loadgen.histogram import Histogram
from loadgen.result import Json, Result
from loadgen.spread import Spread

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
TIMES = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
LATENCIES = ("mean", "max", "min")
RATIOS = ("error_rate",)
COUNTS = ("failed", "dropped", "backends", "idle_backends")
RATES = ("rate", "throughput")
EACH = "each."
"""Before a metric of latency: every backend must meet it, the worst is named."""

_FORM = re.compile(r"\s*([^<>=!\s]*)\s*([<>=!]+)\s*(.*?)\s*", re.DOTALL)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?|100)", re.ASCII)
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?"
_METRICS = ("p50", "p90", "p95", "p99", "p99.9", *LATENCIES, *RATIOS, *COUNTS, *RATES, "peak_to_mean")
_KNOWN = (*_METRICS, *(f"{EACH}{name}" for name in _METRICS[: 5 + len(LATENCIES)]))


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold. `str()` of it is as it is written."""

    metric: str
    comparison: str
    limit: float
    """In the metric's unit: ns, calls, calls/s or a ratio; with `of_target` a share of the target rate."""
    words: str
    """The limit as it was written."""
    of_target: bool = False

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.words}"

    @property
    def of_time(self) -> bool:
        """Whether its limit and what is seen are ns."""
        return _is_time(self.metric.removeprefix(EACH))

    @property
    def of_each(self) -> bool:
        """Whether every backend must meet it."""
        return self.metric.startswith(EACH)

    @property
    def percentile(self) -> float | None:
        """Return which percentile of all calls it is about, if it is about one."""
        found = _PERCENTILE.fullmatch(self.metric)
        return None if found is None else float(found[1])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the threshold; raises ValueError saying what is wrong with it."""
        found = _FORM.fullmatch(text)
        if found is None or not found[1] or not found[3]:
            raise ValueError(
                f"{text!r} is no threshold: write METRIC, a comparison and a limit, as in p99<50ms"
            )
        metric, comparison, words = found[1], found[2], "".join(found[3].split())
        if metric.startswith("backend."):
            metric = EACH + metric.removeprefix("backend.")
        _check_metric(metric)
        if comparison not in COMPARISONS:
            raise ValueError(f"{comparison!r} in {text!r} is no comparison: use <, <=, >, >= or ==")
        limit, of_target = _limit(metric.removeprefix(EACH), words, text)
        return cls(metric, comparison, limit, words, of_target)


def _is_time(metric: str) -> bool:
    return metric in LATENCIES or (_PERCENTILE.fullmatch(metric) is not None and float(metric[1:]) > 0)


def _check_metric(metric: str) -> None:
    bare = metric.removeprefix(EACH)
    if _is_time(bare):
        return
    if bare in _METRICS:
        if bare == metric:
            return
        raise ValueError(
            f"{metric!r} is not known of each backend: {EACH} goes before a latency, as in each.p99"
        )
    near = difflib.get_close_matches(metric, _KNOWN, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(_METRICS)}"
    raise ValueError(f"{metric!r} is no metric: {hint}")


def _limit(metric: str, words: str, text: str) -> tuple[float, bool]:
    """Return the limit in the metric's unit, and whether it is a share of the target rate."""
    if _is_time(metric):
        return _matched(
            rf"({_NUMBER})({'|'.join(TIMES)})", words, text, "a time with its unit, such as 50ms"
        ), False
    if metric in RATIOS:
        share = _matched(rf"({_NUMBER})(%?)", words, text, "a share, such as 0.1%")
        if share > 1:
            raise ValueError(f"{words!r} in {text!r} is more than all: write a share, such as 0.1%")
        return share, False
    if metric in COUNTS:
        return _matched(r"(\d+)()", words, text, "a whole number"), False
    if metric == "rate":
        part = re.fullmatch(rf"(?:({_NUMBER})(%?)\*)?target", words, re.ASCII)
        if part is not None:
            return float(part[1] or 1) * (0.01 if part[2] else 1), True
        wants = "calls per second or a share of the target rate, such as 0.99*target"
        return _matched(rf"({_NUMBER})(/s)?", words, text, wants), False
    return _matched(rf"({_NUMBER})(/s)?", words, text, "a number"), False


def _matched(form: str, words: str, text: str, wants: str) -> float:
    found = re.fullmatch(form, words, re.ASCII if "µ" not in words else 0)
    if found is None:
        raise ValueError(f"{words!r} in {text!r} is not {wants}")
    size = 0.01 if found[2] == "%" else TIMES.get(found[2] or "", 1)
    return float(found[1]) * size


@dataclass(frozen=True, slots=True)
class Check:
    """What became of one threshold. Limit and what was seen are in the metric's unit, times in ns."""

    threshold: str
    limit: float | None
    """None where it is not known: a share of a rate that nobody aimed at."""
    seen: float | None
    passed: bool
    note: str | None = None
    """Which backend it was, or why there is no value."""
    of_time: bool = False
    of_ratio: bool = False

    def to_json(self) -> Json:
        """Return it as it stands in a result's summary: times in seconds."""
        size = 1e9 if self.of_time else 1
        return {
            "threshold": self.threshold,
            "limit": None if self.limit is None else self.limit / size,
            "seen": None if self.seen is None else self.seen / size,
            "passed": self.passed,
            "note": self.note,
        }


class _UnknownError(Exception):
    """There is no value; says why."""


def judge(result: Result, thresholds: Iterable[Threshold] | None = None) -> list[Check]:
    """Return what became of each threshold, by default of those of the result's plan.

    A part of a load, which lacks shards, is not judged by the plan: what must hold is said of the whole.
    """
    if thresholds is not None:
        return [_check(result, one) for one in thresholds]
    if result.missing():
        return []
    checks = []
    texts = result.plan.get("threshold")
    for text in texts if isinstance(texts, list) else ():
        try:
            checks.append(_check(result, Threshold.parse(str(text))))
        except ValueError:
            checks.append(Check(str(text), None, None, passed=False, note="this loadgen does not know it"))
    return checks


def passed(checks: Sequence[Check]) -> bool | None:
    """Return whether every threshold was kept; None where there was none."""
    return all(check.passed for check in checks) if checks else None


def _check(result: Result, threshold: Threshold) -> Check:
    kept = COMPARISONS[threshold.comparison]
    limit: float | None = None
    seen, note = None, None
    try:
        limit = threshold.limit * _target(result) if threshold.of_target else threshold.limit
        if threshold.of_each:
            seen, note = _worst(result, threshold)
        else:
            seen = _seen(result, threshold.metric)
    except _UnknownError as error:
        note = str(error)
    return Check(
        str(threshold),
        limit,
        seen,
        passed=seen is not None and limit is not None and kept(seen, limit),
        note=note,
        of_time=threshold.of_time,
        of_ratio=threshold.metric in RATIOS,
    )


def _target(result: Result) -> float:
    target = goal.of(result.plan).rate
    if target is None:
        raise _UnknownError("the load had no rate to aim for")
    return target * len(result.shards) / max(shard.count for shard in result.shards)


def _seen(result: Result, metric: str) -> float:
    """Return the metric's value; raises _UnknownError where it has none."""
    totals = result.totals
    if _is_time(metric):
        return _time(result.latency, metric)
    if metric == "error_rate":
        if not totals.sent:
            raise _UnknownError("no call was made")
        return totals.failed / totals.sent
    if metric == "peak_to_mean":
        if not result.backends:
            raise _UnknownError("no call said who answered it")
        return Spread.of(result).peak_to_mean
    if metric == "idle_backends":
        return _idle(result)
    values = {
        "failed": totals.failed,
        "dropped": totals.dropped,
        "rate": result.rate(),
        "throughput": result.throughput(),
        "backends": len(result.backends),
    }
    return values[metric]


def _time(histogram: Histogram, metric: str) -> float:
    if not histogram.count:
        raise _UnknownError("no call succeeded")
    if metric == "mean":
        return histogram.mean()
    if metric in LATENCIES:
        return histogram.max if metric == "max" else histogram.min
    return histogram.percentile(float(metric[1:]))


def _idle(result: Result) -> int:
    if (result.replicas, result.observed) != (None, None):  # somebody looked: better than to count addresses
        calls = [one.calls for one in replicas.present(result)]
        if calls and None not in calls:
            return calls.count(0)
    idle = Spread.of(result).idle
    if idle is None:
        raise _UnknownError("how many backends there are is not known")
    return idle


def _worst(result: Result, threshold: Threshold) -> tuple[float, str]:
    """Return the value of the backend that is furthest on the wrong side, and its name."""
    metric = threshold.metric.removeprefix(EACH)
    if not result.backends:
        raise _UnknownError("no call said who answered it")
    seen: dict[str, float] = {}
    for name, backend in sorted(result.backends.items()):
        if backend.latency is None:
            raise _UnknownError("calls were counted by address, which tells no backend's latency")
        if not backend.latency.count:
            raise _UnknownError(f"no call to {name} succeeded")
        seen[name] = _time(backend.latency, metric)
    if threshold.comparison.startswith(">"):
        worst = min(seen, key=lambda name: seen[name])
    elif threshold.comparison.startswith("<"):
        worst = max(seen, key=lambda name: seen[name])
    else:
        worst = max(seen, key=lambda name: abs(seen[name] - threshold.limit))
    return seen[worst], worst
