"""The report on the terminal, in the order that ghz made familiar."""

import textwrap
from collections.abc import Iterator, Sequence

from loadgen import thresholds
from loadgen.attribution import PEER
from loadgen.report import overtime, replicas
from loadgen.report.units import duration
from loadgen.result import Backend, Result
from loadgen.spread import Spread
from loadgen.summary import PERCENTILES
from loadgen.thresholds import Check
from loadgen.verdict import judge

WIDTH = 100
BAR = 30
BINS = 10


def render(result: Result, checks: Sequence[Check] | None = None) -> str:
    """Return the report of one result, without a newline at its end.

    `checks` are what became of thresholds, by default of those of the plan.
    """
    parts = (
        _summary(result),
        _backends(result),
        replicas.table(result),
        _balance(result),
        overtime.chart(result),
        overtime.stable(result),
        replicas.memory(result),
        replicas.changes(result),
        overtime.delays(result),
        overtime.events(result),
        _histogram(result),
        _percentiles(result),
        _codes(result),
        _errors(result),
        _thresholds(result, thresholds.judge(result) if checks is None else checks),
        _verdict(result),
    )
    return "\n\n".join("\n".join(lines) for lines in (list(part) for part in parts) if lines)


def _bar(share: float) -> str:
    return "■" * round(share * BAR)


def _summary(result: Result) -> Iterator[str]:
    totals, latency = result.totals, result.latency
    yield "Summary" + (f" (partial: {result.partial})" if result.partial else "")
    rows = [
        ("Target", str(result.plan["target"])),
        *([("Call", str(result.plan["call"]))] if "call" in result.plan else []),
        (
            "Load",
            f"{result.pacing}, {result.evidence.policy}, discovery {result.evidence.discovery}"
            + (", cold" if result.evidence.cold else ""),
        ),
        *_shards(result),
        *_warmup(result),
        ("Count", f"{totals.sent} sent, {totals.ok} ok, {totals.failed} failed"),
    ]
    if totals.dropped:
        rows.append(("Dropped", f"{totals.dropped} of {totals.due} due"))
    rows.append(("Total", duration(result.duration)))
    if latency.count:
        rows += [
            ("Slowest", duration(latency.max)),
            ("Fastest", duration(latency.min)),
            ("Average", duration(latency.mean())),
        ]
    if (result.messages_out, result.messages_in) != (totals.sent, totals.ok):
        rows.append(("Messages", f"{result.messages_out} out, {result.messages_in} in"))
    rows.append(("Calls/s", f"{result.rate():.1f} sent, {result.throughput():.1f} ok"))
    if result.open:
        lag = result.lag
        rows.append(("Lag", f"p50 {duration(lag.percentile(50))}, p99 {duration(lag.percentile(99))}"))
    if result.evidence.connections is not None:
        lost = result.evidence.connections_lost
        rows.append(
            (
                "Connections",
                f"{result.evidence.connections} made" + (f", {lost} lost" if lost else ""),
            )
        )
    if "retry" in result.plan:
        retries = result.evidence.retries
        rows.append(("Retries", "cannot be known" if retries is None else f"at least {retries}"))
    for name, text in rows:
        yield f"  {name + ':':<13}{text}"


def _shards(result: Result) -> Iterator[tuple[str, str]]:
    count, there = max(shard.count for shard in result.shards), len(result.shards)
    if there == 1:
        if count > 1:
            yield "Shard", f"{result.shards[0].index} of 0 to {count - 1}: its part of the load"
        return
    missing = result.missing()
    lacking = f" ({', '.join(map(str, missing))} missing)" if missing else ""
    of = f"{there} of {count}{lacking}" if count > 1 else f"{there} runs"
    yield "Shards", f"{of}, started within {duration(result.skew())}"


def _warmup(result: Result) -> Iterator[tuple[str, str]]:
    warmup = result.warmup
    if warmup is not None:
        dropped = f", {warmup.dropped} dropped" if warmup.dropped else ""
        length = result.plan.get("warmup", "")
        counts = f"{warmup.sent} sent, {warmup.failed} failed{dropped}"
        yield "Warm-up", f"{counts} in the first {length}, which no other figure counts"


def _backends(result: Result) -> Iterator[str]:
    rows = sorted(result.backends.items(), key=lambda item: (item[1].first_call or 0, item[0]))
    if result.unattributed.calls:
        rows.append(("(unattributed)", result.unattributed))
    if not rows:
        return
    width = max(len("Backend"), *(len(name) for name, _ in rows))
    by = " (by address)" if result.plan.get("backend_from") == PEER else ""
    yield f"Distribution per backend{by}"
    yield f"  {'Backend':<{width}}  {'calls':>8}   share  {'failed':>6}  {'p50':>8}  {'p99':>8}"
    for name, backend in rows:
        yield f"  {name:<{width}}  {_row(backend, result.totals.sent)}".rstrip()


def _row(backend: Backend, sent: int) -> str:
    share = backend.calls / sent if sent else 0.0
    p50, p99 = "-", "-"
    if backend.latency is not None and backend.latency.count:
        p50 = duration(backend.latency.percentile(50))
        p99 = duration(backend.latency.percentile(99))
    return f"{backend.calls:>8}  {share:>5.1%}  {backend.failed:>6}  {p50:>8}  {p99:>8}  {_bar(share)}"


def _balance(result: Result) -> Iterator[str]:
    spread = Spread.of(result)
    if not spread.backends:
        return
    yield "Balance"
    yield f"  {'Backends:':<16}{spread.backends}" + (f", and {spread.idle} idle" if spread.idle else "")
    mean = spread.most / spread.peak_to_mean
    apart = spread.most - spread.least
    yield f"  {'Max - min:':<16}{apart} calls ({apart / mean:.1%} of the mean)"
    yield f"  {'Peak to mean:':<16}{spread.peak_to_mean:.3f}"


def _histogram(result: Result) -> Iterator[str]:
    bins = result.latency.bins(BINS)
    if not bins:
        return
    most = max(count for _, count in bins)
    width = len(str(most)) + 2
    yield "Latency histogram"
    for upper, count in bins:
        yield f"  {duration(upper):>8}  {f'[{count}]':<{width}}  {_bar(count / most)}".rstrip()


def _percentiles(result: Result) -> Iterator[str]:
    if not result.latency.count:
        return
    yield "Latency percentiles"
    for percent in PERCENTILES:
        yield f"  {percent:>5g} % in {duration(result.latency.percentile(percent))}"


def _codes(result: Result) -> Iterator[str]:
    counts: dict[str, int] = {}
    for outcome in result.outcomes:
        counts[outcome.code] = counts.get(outcome.code, 0) + outcome.calls
    if counts:
        yield "Status codes"
    for code, count in counts.items():
        yield f"  {code:<20}{count}"


def _errors(result: Result) -> Iterator[str]:
    errors = [outcome for outcome in result.outcomes if outcome.code != "OK"]
    if errors:
        yield "Errors"
    for outcome in errors:
        yield f"  {outcome.calls} x {outcome.code}: {outcome.message or '(no message)'}"


def _thresholds(result: Result, checks: Sequence[Check]) -> Iterator[str]:
    if checks:
        yield "Thresholds"
        yield from table(checks)
    elif result.missing() and result.plan.get("threshold"):
        yield "Thresholds"
        yield "  Not judged: this is a part of the load. `loadgen collect` and `merge` judge the whole."


def table(checks: Sequence[Check]) -> Iterator[str]:
    """Give the lines of a table of what became of thresholds."""
    width = max(len("Threshold"), *(len(check.threshold) for check in checks))
    yield f"  {'Threshold':<{width}}  {'limit':>9}  {'seen':>9}"
    for check in checks:
        limit, seen = _value(check, check.limit), _value(check, check.seen)
        note = f"  ({check.note})" if check.note else ""
        verdict = "ok" if check.passed else "CROSSED"
        yield f"  {check.threshold:<{width}}  {limit:>9}  {seen:>9}  {verdict}{note}"


def _value(check: Check, value: float | None) -> str:
    if value is None:
        return "-"
    if check.of_time:
        return duration(value)
    return (
        f"{value * 100:.4g}%"
        if check.of_ratio
        else f"{value:.10g}"
        if value == round(value)
        else f"{value:.6g}"
    )


def crossed(checks: Sequence[Check]) -> str:
    """Return what is wrong in one line: the thresholds that were crossed, and what was seen."""
    return "; ".join(
        f"{check.threshold}: {_value(check, check.seen) + ' seen' if check.seen is not None else 'no value'}"
        + (f" ({check.note})" if check.note else "")
        for check in checks
        if not check.passed
    )


def _verdict(result: Result) -> Iterator[str]:
    yield "Verdict"
    for finding in judge(result):
        yield textwrap.fill(
            finding.text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
