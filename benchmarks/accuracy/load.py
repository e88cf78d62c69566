"""Loads made by the load generator's own command line, and their results."""

import json
import os
import subprocess
import sys

from loadgen import resultjson
from loadgen.result import Result

SECOND = 1_000_000_000


def run(address: str, *options: str) -> Result:
    """Run `loadgen run` to its end; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "loadgen", "run", address, "-q", "-o", "-", *options]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("LOADGEN_")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return resultjson.from_json(json.loads(done.stdout))


def capacity(address: str, concurrency: int, calls: int) -> float:
    """Return the calls per second of a closed load with so many callers."""
    return run(address, "-c", str(concurrency), "-n", str(calls)).throughput()


def latency(result: Result, percent: float) -> float:
    """Return a percentile of the latency, in seconds."""
    return result.latency.percentile(percent) / SECOND


def lag(result: Result, percent: float) -> float:
    """Return a percentile of how late calls were started, in seconds."""
    return result.lag.percentile(percent) / SECOND


def ms(seconds: float) -> str:
    """Return a time as text, in milliseconds."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds * 1e3:.1f} ms"
