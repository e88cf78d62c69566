"""The same open load by this load generator and by ghz, in turn, on the same servers."""

import json
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy import load
from benchmarks.accuracy.load import SECOND, ms
from benchmarks.document import HOLDS, OPEN, Figure, table
from benchmarks.replica import Replica

RATE, LENGTH, PAIRS = 200, 10, 5
SERVERS = {
    "20 ms delay": ("--delay", "20ms"),
    # with a delay too, else most calls are the clients' own cost; 15 % meet a stall, p90 among them
    "20 ms delay, 0.3 s stall every 2 s": ("--delay", "20ms", "--stall-for", "300ms", "--stall-every", "2s"),
    "no delay": (),
}
UNJUDGED = "no delay"  # there the clients' own cost is all there is
PERCENTILES = (50, 90, 95, 99)
WITHIN = 0.03
PROTO = Path(__file__).parents[2] / "proto" / "service.proto"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run saw: answered calls per second, and percentiles in seconds."""

    rate: float
    percentiles: dict[int, float]

    def figures(self) -> dict[str, float]:
        """Return all of it by name."""
        return {**{f"p{percent}": value for percent, value in self.percentiles.items()}, "rate": self.rate}


def ours(address: str, calls: int) -> Seen:
    """Make the load with loadgen."""
    result = load.run(address, "--rps", str(RATE), "-n", str(calls))
    return Seen(result.throughput(), {percent: load.latency(result, percent) for percent in PERCENTILES})


def ghz(program: str, address: str, calls: int) -> Seen:
    """Make the load with ghz; raises CalledProcessError where it fails."""
    # the proto file, as ghz's reflection finds no service that has no package
    command = [program, "--insecure", "--proto", str(PROTO), "--call", "Service.Get", "--async"]
    command += ["--rps", str(RATE), "-n", str(calls), "--connections", "1", "-O", "json", address]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["statusCodeDistribution"] == {"OK": calls}, report["statusCodeDistribution"]
    latencies = {one["percentage"]: one["latency"] / SECOND for one in report["latencyDistribution"]}
    return Seen(report["rps"], {percent: latencies[percent] for percent in PERCENTILES})


def measure(*, short: bool) -> str:
    """Measure for some 6 minutes, or 70 s."""
    program = shutil.which("ghz")
    if program is None:
        return "Skipped: there is no `ghz` on PATH."
    pairs, calls = (2, RATE * 4) if short else (PAIRS, RATE * LENGTH)
    figures = []
    for name, options in SERVERS.items():
        mine: list[Seen] = []
        theirs: list[Seen] = []
        with Replica(*options) as server:
            for number in range(pairs):
                # in turn, and the first of a pair by turns: neither always has the warmer machine
                for first in (number % 2 == 0, number % 2 == 1):
                    if first:
                        theirs.append(ghz(program, server.address, calls))
                    else:
                        mine.append(ours(server.address, calls))
        figures += [
            compared(name, key, [one.figures()[key] for one in mine], [one.figures()[key] for one in theirs])
            for key in mine[0].figures()
        ]
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return table(
        figures,
        f"ghz {(version.stdout + version.stderr).strip()}: {pairs} pairs a server, {calls} calls at {RATE}/s"
        " over one connection each; medians, with the least and the most of the runs in brackets. A"
        " difference is the median of the pairs'; it may be 3 % or the spread of ghz's own runs (most -"
        " least, of their median), whichever is more.",
    )


def compared(server: str, key: str, mine: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Return the row that puts one figure of ours beside ghz's, pair by pair."""
    difference = statistics.median(a / b for a, b in zip(mine, theirs, strict=True)) - 1
    spread = (max(theirs) - min(theirs)) / statistics.median(theirs)
    allowed = max(WITHIN, spread)
    if server == UNJUDGED:
        apart = statistics.median(a - b for a, b in zip(mine, theirs, strict=True))
        verdict, limit = OPEN, "for comparison"
        delta = f"{difference:+.1%}" if key == "rate" else f"{difference:+.1%}, {apart * 1e3:+.2f} ms"
    else:
        limit = f"± {allowed:.1%}"
        over = abs(difference) - allowed
        verdict = HOLDS if over <= 0 else f"{over * 100:.1f} % {'above' if difference > 0 else 'below'}"
        delta = f"{difference:+.1%}"
    shown = [_ranged(values, per_second=key == "rate") for values in (mine, theirs)]
    return Figure(f"{server}: {key}", f"ghz's {shown[1]}, {limit}", f"{shown[0]}, {delta}", verdict)


def _ranged(values: Sequence[float], *, per_second: bool) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    if per_second:
        return f"{middle:.1f}/s ({low:.1f} to {high:.1f})"
    return f"{ms(middle)} ({low * 1e3:.3g} to {high * 1e3:.3g})"
