"""The part of a result file that is derived from the rest, for people and scripts."""

from collections.abc import Sequence
from typing import Any

from loadgen import overtime, replicas, thresholds
from loadgen.histogram import Histogram
from loadgen.phases import phases
from loadgen.result import Result
from loadgen.spread import Spread
from loadgen.thresholds import Check
from loadgen.verdict import judge

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


def of(result: Result, checks: Sequence[Check] | None = None) -> dict[str, Any]:
    """Return rate and throughput (calls/s), times in seconds, the spread, thresholds and the verdict.

    `checks` are what became of thresholds, by default of those of the plan.
    """
    checks = thresholds.judge(result) if checks is None else checks
    spread = Spread.of(result)
    return {
        "rate": round(result.rate(), 3),
        "throughput": round(result.throughput(), 3),
        "latency_s": _seconds(result.latency),
        "service_time_s": _seconds(result.service),
        "lag_s": _seconds(result.lag),
        "spread": {
            "backends": spread.backends,
            "least": spread.least,
            "most": spread.most,
            "peak_to_mean": round(spread.peak_to_mean, 4),
            "variation": round(spread.variation, 4),
            "idle": spread.idle,
        },
        "shards": {
            "count": max(shard.count for shard in result.shards),
            "missing": result.missing(),
            "skew_s": result.skew() / 1e9,
        },
        "over_time": {**overtime.summary(result), "phases": _phases(result)},
        **({} if result.observed is None else {"observed": replicas.summary(result)}),
        "thresholds": [check.to_json() for check in checks],
        "passed": thresholds.passed(checks),
        "verdict": [{"rule": finding.rule, "text": finding.text} for finding in judge(result)],
    }


def _phases(result: Result) -> list[dict[str, Any]] | None:
    found = phases(result)
    return None if found is None else [phase.to_json() for phase in found]


def _seconds(histogram: Histogram) -> dict[str, float]:
    return {
        "mean": histogram.mean() / 1e9,
        "min": histogram.min / 1e9,
        "max": histogram.max / 1e9,
        **{f"p{percent:g}": histogram.percentile(percent) / 1e9 for percent in PERCENTILES},
    }
