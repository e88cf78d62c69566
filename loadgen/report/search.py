"""The report of a search on the terminal."""

import textwrap
from collections.abc import Iterator

from loadgen.report.text import WIDTH, crossed
from loadgen.report.units import duration
from loadgen.searchfile import Found
from loadgen.step import GROWTH, Step


def render(found: Found) -> str:
    """Return the report, without a newline at its end."""
    parts = (_head(found), _steps(found), _answer(found))
    return "\n\n".join("\n".join(part) for part in parts)


def _head(found: Found) -> Iterator[str]:
    yield "Search" + (f" (partial: {found.partial})" if found.partial else "")
    yield f"  Target:      {found.plan['target']}"
    yield f"  Thresholds:  {', '.join(map(str, found.limits))}"
    yield f"  Precision:   {found.precision:.1%}"


def _steps(found: Found) -> Iterator[str]:
    yield "Steps"
    yield f"  {'calls/s':>9}  {'sent':>8}  {'failed':>6}  {'p50':>8}  {'p99':>8}  {'backlog':>8}"
    for step in found.steps:
        yield f"  {row(step)}"


def row(step: Step) -> str:
    """Return a step in a line: of its last try, and what became of it."""
    last = step.tries[-1]
    totals, latency = last.result.totals, last.result.latency
    p50, p99 = (duration(latency.percentile(percent)) if latency.count else "-" for percent in (50, 99))
    end = "passed" if step.passed else f"failed: {why_not(step)}"
    tries = f" ({len(step.tries)} tries)" if len(step.tries) > 1 else ""
    return (
        f"{step.rate:>9.1f}  {totals.sent:>8}  {totals.failed:>6}  {p50:>8}  {p99:>8}  {last.growth:>+8.1%}"
        f"  {end}{tries}"
    )


def why_not(step: Step) -> str:
    """Return why a step did not pass, in a few words."""
    last = next(one for one in reversed(step.tries) if not one.passed)
    reasons = [crossed(last.crossed)] if last.crossed else []
    if last.growth > GROWTH:
        reasons.append("a backlog grew")
    if last.client:
        reasons.append("the load generator was late")
    return "; ".join(reasons)


def _answer(found: Found) -> Iterator[str]:
    yield "Answer"
    yield from textwrap.wrap(_words(found), WIDTH, initial_indent="  ", subsequent_indent="  ")


def _words(found: Found) -> str:
    if found.rate is None:
        return "No rate passed: even the lowest that was tried did not keep the thresholds."
    passed = f"{found.rate:.1f} calls/s passed"
    if found.client:
        return (
            f"At least that: {passed}. Above it the load generator itself was late, so the service's limit is"
            " not known: give it --workers or more CPU."
        )
    if found.failed is None:
        return f"{passed}, the highest rate that was to be tried: the limit lies above it."
    doubtful = [rate for rate in (found.rate, found.failed) if not found.step(rate).sure]
    unsure = (
        f" Chance may have decided at {' and '.join(f'{rate:.1f}' for rate in doubtful)}: longer steps"
        " (--step) make it sure."
        if doubtful
        else " Both are sure to 95 %."
    )
    return f"{passed} and {found.failed:.1f} calls/s failed ({why_not(found.step(found.failed))}).{unsure}"
