"""Merging many large results: time, memory, and that nothing is lost by it.

Run as a program it is the measured process: it merges the files it is given and prints what that took.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.document import HOLDS, OPEN, Figure, table, within
from loadgen import merging, resultfile, resultjson, summary
from loadgen.calls import Calls
from loadgen.cells import Cells
from loadgen.engines import Connections
from loadgen.histogram import Histogram
from loadgen.ledger import Ledger
from loadgen.load import pacer_of
from loadgen.plan import Plan
from loadgen.recorder import Recorder
from loadgen.result import Backend, Outcome, Result, Timeline, Totals
from loadgen.shard import WHOLE, Shard
from loadgen.snapshot import snapshot

SHARDS = 100
ROWS = 100_000  # calls drawn for a shard
EACH = 100  # calls that each of them stands for: 1e9 in all
BACKENDS = 3
LENGTH = 90  # seconds of load
SECOND = 1_000_000_000
STARTED = 1_800_000_000 * SECOND
TIME, MEMORY = 1.0, 200.0  # s, MiB
MEBIBYTE = 1 << 20


def rows(shard: int, number: int) -> "np.typing.NDArray[np.int64]":
    """Draw a shard's calls: due, sent, done, backend, outcome, messages out and in, a row each."""
    random = np.random.default_rng(shard)
    due = np.sort(random.integers(0, LENGTH * SECOND, number))
    sent = due + random.exponential(2e5, number).astype(np.int64)
    done = sent + random.lognormal(14, 1, number).astype(np.int64)
    outcome = (random.random(number) < 0.001).astype(np.int64)
    backend = np.where(outcome, 0, random.integers(1, BACKENDS + 1, number))
    made = np.stack([due, sent, done, backend, outcome, np.ones_like(due), 1 - outcome], axis=1)
    return made.astype(np.int64)


def recorded(
    plan: Plan, shard: Shard, started: int, parts: "Iterable[np.typing.NDArray[np.int64]]"
) -> Result:
    """Return what a ledger and a recorder of their own make of these rows."""
    recorder = Recorder()
    ledger = Ledger(pacer_of(plan, shard), recorder, max_in_flight=1)
    recorder.begin(started)
    for number in range(1, BACKENDS + 1):
        ledger.backend(f"backend-{number}")
    ledger.outcome(14, "gone")
    for part in parts:
        ledger.due += len(part)
        ledger.sent += len(part)
        for chunk in np.array_split(part, max(1, len(part) // 4096)):
            calls = Calls()
            calls.rows.frombytes(chunk.tobytes())
            ledger.finish(calls)
    addresses = ["10.0.0.1:9090"]
    return snapshot(plan, ledger, recorder, Connections(addresses, addresses, 1, 0), addresses, shard)


def times(result: Result, factor: int) -> Result:
    """Return the result of as many more calls, each drawn one standing for `factor`."""

    def backend(one: Backend) -> Backend:
        return Backend(
            one.calls * factor,
            one.ok * factor,
            one.failed * factor,
            one.first_call,
            one.last_call,
            None if one.latency is None else of(one.latency),
        )

    def of(histogram: Histogram) -> Histogram:
        made = Histogram()
        for _ in range(factor):
            made.merge(histogram)
        return made

    def cells(counts: list[int]) -> list[int]:
        return [count * factor for count in counts]

    totals, timeline = result.totals, result.timeline
    return replace(
        result,
        totals=Totals(
            totals.due * factor,
            totals.sent * factor,
            totals.ok * factor,
            totals.failed * factor,
            totals.dropped * factor,
        ),
        messages_out=result.messages_out * factor,
        messages_in=result.messages_in * factor,
        unattributed=backend(result.unattributed),
        backends={name: backend(one) for name, one in result.backends.items()},
        latency=of(result.latency),
        service=of(result.service),
        lag=of(result.lag),
        failed_latency=of(result.failed_latency),
        outcomes=[Outcome(one.code, one.message, one.calls * factor) for one in result.outcomes],
        timeline=Timeline(
            timeline.interval,
            timeline.start,
            cells(timeline.sent),
            cells(timeline.failed),
            cells(timeline.dropped),
            {name: cells(counts) for name, counts in timeline.backends.items()},
            {name: cells(counts) for name, counts in timeline.failures.items()},
            Cells(timeline.latency.counts * factor),
            {name: Cells(one.counts * factor) for name, one in timeline.latencies.items()},
        ),
    )


def later(index: int) -> int:
    """Return how long after the first shard this one starts, in ns: no two start together."""
    return index * 1_000_003


def shard(index: int, number: int, each: int) -> Result:
    """Return what this shard of so many recorded."""
    return recorded(_plan(number), Shard(index, number), STARTED + later(index), [rows(index, each)])


def whole(number: int, each: int) -> Result:
    """Return what one recorder makes of the calls of all shards, by the first one's clock."""

    def moved() -> "Iterator[np.typing.NDArray[np.int64]]":
        for index in range(number):
            drawn = rows(index, each)
            drawn[:, :3] += later(index)
            yield drawn

    return recorded(_plan(number), WHOLE, STARTED, moved())


def _plan(number: int) -> Plan:
    return Plan(target="server:9090", rps=number * 1000.0, duration=LENGTH * SECOND)


def same(merged: Result, truth: Result) -> bool:
    """Tell whether both say the same of all calls; connections and shards are of another number."""
    alike = replace(truth, shards=merged.shards, evidence=merged.evidence)
    return merged == alike


def measure(*, short: bool) -> str:
    """Measure for some 20 s, or 3 s."""
    number, each = (20, 20_000) if short else (SHARDS, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.json") for index in range(number)]
        for index, path in enumerate(paths):
            many = times(shard(index, number, each), EACH)
            resultfile.ResultFile(path).write(resultjson.to_json(many, summary.of(many)))
        truth = times(whole(number, each), EACH)
        calls = truth.totals.sent
        merged = merging.merge(map(resultfile.read, paths))
        command = [sys.executable, "-m", "benchmarks.accuracy.merging", *map(str, paths)]
        runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
        size = sum(path.stat().st_size for path in paths) / MEBIBYTE
    best = min(runs, key=lambda run: float(run["all_s"]))
    took = float(best["all_s"])
    peak = max(float(run["peak_mib"]) for run in runs)
    return table(
        [
            Figure(
                f"{number} files, {calls:.3g} calls: merged",
                f"under {TIME:g} s",
                f"{took:.2f} s, of it reading {best['read_s']:.2f} s and merging {best['merge_s']:.2f} s",
                within(0, took, TIME, unit=" s"),
            ),
            Figure(
                "most memory at a time",
                f"under {MEMORY:g} MiB",
                f"{peak:.0f} MiB, of it {best['before_mib']:.0f} MiB before the first file",
                within(0, peak, MEMORY, unit=" MiB"),
            ),
            Figure(
                "beside one recorder of all calls",
                "equal",
                "equal" if same(merged, truth) else "different",
                HOLDS if same(merged, truth) else "they differ",
            ),
            Figure("files", "", f"{size:.1f} MiB in all", OPEN),
        ],
        f"The fastest of {len(runs)} processes that read and merge the files, one after the other, as"
        f" `loadgen merge` does; its start is left out. CPU time was {best['cpu_s']:.2f} s.",
    )


def main(paths: Sequence[str]) -> None:
    """Merge these files, and print what it took as JSON."""
    before = _peak()
    read = merge = 0.0
    began, cpu = time.perf_counter(), time.process_time()
    merged: Result | None = None
    for path in paths:
        start = time.perf_counter()
        one = resultfile.read(Path(path))
        middle = time.perf_counter()
        merged = one if merged is None else merging.merge([merged, one])
        end = time.perf_counter()
        read, merge = read + middle - start, merge + end - middle
    print(
        json.dumps(
            {
                "all_s": time.perf_counter() - began,
                "cpu_s": time.process_time() - cpu,
                "read_s": read,
                "merge_s": merge,
                "before_mib": before,
                "peak_mib": _peak(),
            }
        )
    )


def _peak() -> float:
    """Return the most resident memory so far in MiB; getrusage would tell the parent's if that is more."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
