"""`make bench-policies`: three replicas, one of them slow, under each policy, into docs/policies.md."""

import os
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import document
from benchmarks.accuracy.load import SECOND, ms, run
from benchmarks.noise import Noise
from benchmarks.replica import Replica
from loadgen.result import Result

DOCUMENT = Path(__file__).parents[2] / "docs" / "policies.md"
PART = "slow-replica"
RATE = 120
SLOTS = 4
FAST, SLOW = 10, 125  # ms
LENGTH, WARMUP = 20, 10  # s
SLOW_NAME = "slow"
QUICK = '"blackoutPeriod": "0s"'
USERS = "user:{{randint 1 1000}}"


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a policy, and the place of the slow replica in the addresses."""

    name: str
    options: tuple[str, ...]
    slow_first: bool = False


WEIGHTED = ("--lb-policy", "weighted_round_robin", "--lb-config")
CASES = (
    Case("`pick_first`, a fast one comes first", ("--lb-policy", "pick_first")),
    Case("`pick_first`, the slow one comes first", ("--lb-policy", "pick_first"), slow_first=True),
    Case("`round_robin`", ("--lb-policy", "round_robin")),
    Case("`weighted_round_robin`, reports per call", (*WEIGHTED, f"{{{QUICK}}}")),
    Case(
        "`weighted_round_robin`, out of band every second",
        (*WEIGHTED, f'{{{QUICK}, "enableOobLoadReport": true, "oobReportingPeriod": "1s"}}'),
    ),
    Case(
        "`ring_hash`, 1000 users",
        ("--lb-policy", "ring_hash", "--hash-header", "user", "-m", USERS, "--seed", "1"),
    ),
)
HEAD = "| policy | slow replica's share | p50 | p99 | its p99 | others' p99 | failed |\n" + "|---" * 7 + "|"


def addresses(replicas: Sequence[str], *, slow_first: bool) -> str:
    """Return the target of these, of which the last is the slow one."""
    return "ipv4:" + ",".join(replicas[::-1] if slow_first else replicas)


def row(case: Case, result: Result) -> str:
    """Return a case's row of Markdown."""
    slow = result.backends.get(SLOW_NAME)
    others = [one.latency for name, one in result.backends.items() if name != SLOW_NAME and one.latency]
    its = slow.latency.percentile(99) / SECOND if slow and slow.latency and slow.latency.count else None
    worst = max((one.percentile(99) / SECOND for one in others if one.count), default=None)
    p50, p99 = (result.latency.percentile(percent) / SECOND for percent in (50, 99))
    share = (slow.calls if slow else 0) / result.totals.sent
    failed = result.totals.failed + result.totals.dropped
    times = map(_time, (p50, p99, its, worst))
    cells = (case.name, f"{share:.1%}", *times, str(failed))
    return f"| {' | '.join(cells)} |"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "(no call)"
    return ms(seconds) if seconds < 1 else f"{seconds:.1f} s"


def measure(*, short: bool) -> str:
    """Run all cases, one after the other, each on replicas of its own."""
    length, warmup = (6, 4) if short else (LENGTH, WARMUP)
    rows = [HEAD]
    for case in CASES:
        with ExitStack() as stack:
            replicas = [
                stack.enter_context(
                    Replica("--delay", f"{delay}ms", "--slots", str(SLOTS), "--orca", "both", "--name", name)
                ).address
                for name, delay in (("fast-1", FAST), ("fast-2", FAST), (SLOW_NAME, SLOW))
            ]
            result = run(
                addresses(replicas, slow_first=case.slow_first),
                *("--rps", str(RATE), "-z", f"{length}s", "--warmup", f"{warmup}s"),
                *("--backend-from", "metadata:replica-name", "-t", "0s", *case.options),
            )
        rows.append(row(case, result))
        click.echo(rows[-1], err=True)
    capacity = [SLOTS * 1000 / delay for delay in (FAST, SLOW)]
    return "\n".join(rows) + (
        f"\n\n{RATE} calls/s for {length} s after a warm-up of {warmup} s, without a deadline. A fast replica"
        f" takes {FAST} ms for a call and can do {capacity[0]:.0f} calls/s, the slow one takes {SLOW} ms and"
        f" can do {capacity[1]:.0f}."
    )


@click.command()
@click.option("--short", is_flag=True, help="A look in 1 minute in place of 5: nothing is written.")
@click.option("--no-write", is_flag=True, help="Print the table only.")
def main(short: bool, no_write: bool) -> None:
    """Measure and write the table of docs/policies.md."""
    began, noise = time.monotonic(), Noise()
    block = measure(short=short)
    block += (
        f"\n\nMeasured {datetime.now(UTC):%Y-%m-%d} in {time.monotonic() - began:.0f} s by Python"
        f" {platform.python_version()} on {os.cpu_count()} cores; {noise}."
    )
    click.echo(block)
    if not short and not no_write:
        DOCUMENT.write_text(document.replaced(DOCUMENT.read_text("utf-8"), PART, block), "utf-8")


if __name__ == "__main__":
    main()
