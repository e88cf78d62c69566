"""What recording a call costs, and that memory does not grow with calls.

Run as a program it is the measured process: ledger and recorder of a run, and an engine that answers at once.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.document import OPEN, Figure, table, within
from loadgen.calls import Calls
from loadgen.ledger import Ledger
from loadgen.pacing import Constant
from loadgen.recorder import Recorder

CALLS = 10_000_000
ALONE = 500_000  # calls of the run that finishes each by itself
FIRST_READING = 100_000  # calls after which memory is read for the first time
RATE = 10_000  # calls/s by the clock of the run, which is not the machine's: it is 17 minutes of load
BACKENDS = 3
COST, GROWTH = 3.0, 1.0  # us a call, MiB
MEBIBYTE = 1 << 20
PAGE = 4096


def run(calls: int, at_once: int) -> dict[str, float]:
    """Make so many calls, of which `at_once` fall due and end together; CPU us a call, memory in bytes."""
    step = at_once * 1_000_000_000 // RATE
    ticks: Iterator[int] = iter(range(0, 1 << 62, step))
    clock = [0]
    recorder = Recorder()
    ledger = Ledger(
        Constant(RATE, total=calls, duration=None), recorder, max_in_flight=at_once, clock=lambda: clock[0]
    )
    backends = [ledger.backend(f"backend-{number}") for number in range(BACKENDS)]
    taking = recording = 0
    early = 0
    batch = Calls()
    # latencies of 1 to 40 ms, as a fold's cost may hang on how they are spread
    answers = [1_000_000 + number * 7_919_317 % 39_000_000 for number in range(1009)]
    made = 0
    while not ledger.over:
        clock[0] = next(ticks)
        start = time.thread_time_ns()
        due = ledger.take()
        middle = time.thread_time_ns()
        now = clock[0]
        for number, at in enumerate(due.at, due.first):
            batch.add(at, now, now + answers[number % 1009], backends[number % BACKENDS], 0)
        ledger.finish(batch)
        batch.clear()
        end = time.thread_time_ns()
        taking += middle - start
        recording += end - middle
        made += len(due.at)
        if not early and made >= FIRST_READING:
            early = resident()
    assert ledger.ok == calls
    recorder.flush()
    assert recorder.calls() == recorder.latency.count == calls
    return {
        "take_us": taking / calls / 1e3,
        "record_us": recording / calls / 1e3,
        "early": early,
        "late": resident(),
    }


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE


def measure(*, short: bool) -> str:
    """Measure for some 20 s, or 6 s."""
    calls = CALLS // 10 if short else CALLS
    figures = []
    for at_once, number in ((100, calls), (10, calls // 10), (1, ALONE)):
        command = [sys.executable, "-m", "benchmarks.accuracy.recording", str(number), str(at_once)]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        together = (
            f"{number:,} calls, {at_once} at a time" if at_once > 1 else f"{number:,} calls, one by one"
        )
        if at_once == 100:
            growth = (seen["late"] - seen["early"]) / MEBIBYTE
            figures.append(
                Figure(
                    f"{together}: memory",
                    f"grows by at most {GROWTH:g} MiB",
                    f"{seen['early'] / MEBIBYTE:.1f} MiB after {FIRST_READING:,} calls,"
                    f" {growth:+.2f} MiB at the end",
                    within(-math.inf, growth, GROWTH, unit=" MiB"),
                )
            )
        judged = within(0, seen["record_us"], COST, unit=" us")
        figures.append(
            Figure(
                f"{together}: recording",
                f"at most {COST:g} us a call" if at_once > 1 else "for comparison",
                f"{seen['record_us']:.2f} us, and {seen['take_us']:.2f} us to take it",
                judged if at_once > 1 else OPEN,
            )
        )
    return table(
        figures,
        "CPU time of the one thread: add, finish and fold, the loop around them and reading the clock"
        " included.",
    )


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
