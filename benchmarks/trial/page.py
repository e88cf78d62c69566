"""The page's tables, of results."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from loadgen import replicas
from loadgen.report import overtime
from loadgen.report import replicas as report
from loadgen.report.units import duration, size
from loadgen.result import Result

HEAD = (
    "| client | replicas at the end | idle | busiest got | memory of each at the end | autoscaler saw at last"
    " | p99 | failed | even again |\n|---|---|---|---|---|---|---|---|---|"
)


def table(results: Mapping[str, Result]) -> str:
    """Return the settings side by side."""
    return "\n".join([HEAD, *(_row(name, one) for name, one in results.items())])


def note(results: Sequence[Result]) -> str:
    """Say when and how they were measured."""
    spans = sorted((one.started, one.started + one.duration) for one in results)
    apart = all(one[1] <= other[0] for one, other in pairwise(spans))
    lengths = sorted({str(one.plan["duration"]) for one in results})
    how = "one after the other" if apart else "at the same time, on the same nodes"
    day = datetime.fromtimestamp(spans[0][0] // 1_000_000_000, UTC)
    return f"Measured {day:%Y-%m-%d}: loads of {' and '.join(lengths)}, {how}."


def _row(name: str, result: Result) -> str:
    observed = result.observed
    if observed is None:
        raise ValueError(f"{name} was not observed")
    rows = replicas.intervals(result, 1)
    present, idle = replicas.present(result), replicas.idle(result)
    busiest = max((one.calls or 0 for one in present), default=0) / result.totals.sent
    memory = sorted(replicas.last_memory(result).values(), reverse=True)
    saw = [f"{one.current[-1][2]}% of {one.target}%" for one in observed.gauges.values() if one.current]
    cells = (
        name,
        str(rows[-1].ready),
        f"{len(idle)} of {len(present)}",
        f"{busiest:.0%}",
        " / ".join(size(one).removesuffix(" MiB") for one in memory) + " MiB",
        ", ".join(saw) or "-",
        duration(result.latency.percentile(99)),
        str(result.totals.failed),
        _even(result),
    )
    return f"| {' | '.join(cells)} |"


def _even(result: Result) -> str:
    """Say how long calls took to be even again after each scale-up."""
    times = [
        "never" if one.even_after is None else f"{one.even_after / 1e9:.1f} s"
        for one in replicas.changes(result)
        if one.came
    ]
    return ", ".join(times) or "-"


def over_time(result: Result) -> str:
    """Return what the text report says of the run over time."""
    parts = (
        report.table(result), overtime.chart(result), report.memory(result), report.changes(result),
    )  # fmt: skip
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))
