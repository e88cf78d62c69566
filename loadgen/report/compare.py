"""Results side by side: what differs from the first."""

from collections.abc import Callable, Sequence

from loadgen import replicas
from loadgen.report.units import duration, size
from loadgen.result import Result
from loadgen.spread import Spread
from loadgen.summary import PERCENTILES
from loadgen.verdict import judge

NAME = 32  # the most characters of a file's name, its end

Value = float | None
Row = tuple[str, Callable[[Result], Value], Callable[[float], str]]


def _count(value: float) -> str:
    return f"{value:.0f}"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _rate(value: float) -> str:
    return f"{value:.1f}"


def _latency(percent: float) -> Callable[[Result], Value]:
    return lambda result: result.latency.percentile(percent) if result.latency.count else None


def _error_rate(result: Result) -> Value:
    return result.totals.failed / result.totals.sent if result.totals.sent else None


def _idle(result: Result) -> Value:
    return Spread.of(result).idle


ROWS: tuple[Row, ...] = (
    ("sent", lambda result: result.totals.sent, _count),
    ("failed", lambda result: result.totals.failed, _count),
    ("dropped", lambda result: result.totals.dropped, _count),
    ("error rate", _error_rate, lambda value: f"{value:.2%}"),
    ("calls/s sent", Result.rate, _rate),
    ("calls/s ok", Result.throughput, _rate),
    ("mean", lambda result: result.latency.mean() if result.latency.count else None, duration),
    *((f"p{percent:g}", _latency(percent), duration) for percent in PERCENTILES),
    ("slowest", lambda result: result.latency.max if result.latency.count else None, duration),
    ("backends", lambda result: Spread.of(result).backends, _count),
    ("idle", _idle, _count),
    ("least", lambda result: Spread.of(result).least, _count),
    ("most", lambda result: Spread.of(result).most, _count),
    ("peak to mean", lambda result: Spread.of(result).peak_to_mean, _plain),
)

OBSERVED: tuple[Row, ...] = (
    ("idle replicas", lambda result: len(replicas.idle(result)) if result.observed else None, _count),
    ("most memory", lambda result: max(replicas.last_memory(result).values(), default=None), size),
    ("least memory", lambda result: min(replicas.last_memory(result).values(), default=None), size),
)
"""Of the replicas at the load's end, where somebody observed them."""


def render(names: Sequence[str], results: Sequence[Result]) -> str:
    """Return a table with a column a result; beside each figure is its difference from the first."""
    heads = ["", *(name if len(name) <= NAME else f"...{name[3 - NAME :]}" for name in names)]
    lines = [heads, ["Target", *(str(result.plan["target"]) for result in results)]]
    lines.append(["Load", *(result.pacing for result in results)])
    observed = any(result.observed is not None for result in results)
    for label, value, show in (*ROWS, *(OBSERVED if observed else ())):
        first, *others = (value(result) for result in results)
        lines.append([label, _shown(first, show), *(_beside(first, other, show) for other in others)])
    lines.append(["verdict", *(judge(result)[0].rule for result in results)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    rows = (
        "  ".join([line[0].ljust(widths[0]), *(map(str.rjust, line[1:], widths[1:]))]).rstrip()
        for line in lines
    )
    return "\n".join(rows)


def _shown(value: Value, show: Callable[[float], str]) -> str:
    return "-" if value is None else show(value)


def _beside(first: Value, other: Value, show: Callable[[float], str]) -> str:
    if first is None or other is None:
        return _shown(other, show)
    if first == other:
        difference = "="
    elif not first:
        difference = f"+{show(other)}"
    else:
        difference = f"{other / first - 1:+.1%}"
    return f"{show(other)} ({difference})"
