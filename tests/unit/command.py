"""`loadgen` in a process of its own, and what the tests ask of its result."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jsonschema

from loadgen import resultjson
from loadgen.cells import Cells
from loadgen.resultjson import schema

PATIENCE = 60.0
"""Seconds after which a test gives up: far longer than anything here takes."""
ROOT = Path(__file__).parents[2]


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the environment with no other LOADGEN_* variables than these."""
    return {k: v for k, v in os.environ.items() if not k.startswith("LOADGEN_")} | variables


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr that are not about progress."""
        return [line for line in self.err.splitlines() if not line.startswith("loadgen: calling ")]


def loadgen(*arguments: str, cwd: Path | None = None, **variables: str) -> Ended:
    """Run `python -m loadgen` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "loadgen", *arguments],
        capture_output=True,
        text=True,
        env=environment(variables),
        cwd=cwd or ROOT,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Load:
    """`loadgen run` on its way. Leaving the context ends and reaps it."""

    def __init__(self, *arguments: str, stdin: str | None = None, **variables: str) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name, "result.json")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadgen", "run", *arguments, "-o", str(self._path)],
            stdin=None if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(variables),
            cwd=ROOT,
        )
        self._stdin = stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass
        self._directory.cleanup()

    def say(self) -> str:
        """Wait for the next line on stderr."""
        assert self.process.stderr
        return self.process.stderr.readline()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(self._stdin, timeout=PATIENCE)
        return Ended(self.process.returncode, out, err)

    def written(self) -> str:
        """Return the result file's text."""
        return self._path.read_text()

    def result(self, code: int = 0) -> dict[str, Any]:
        """Wait for its end with this exit code; returns the result, which has been checked."""
        ended = self.end()
        assert ended.code == code, ended.err
        assert "Traceback" not in ended.err
        return checked(self._path.read_text())


def run(*arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    """Run `loadgen run` to its end with this exit code; returns the result, which has been checked."""
    with Load(*arguments, **variables) as load:
        return load.result(code)


def checked(text: str) -> dict[str, Any]:
    """Return a result file's content after checking what holds for every result."""
    content: dict[str, Any] = json.loads(text)
    jsonschema.validate(content, schema(), cls=jsonschema.Draft7Validator)
    totals, backends = content["totals"], content["backends"].values()
    every = [*backends, content["unattributed"]]
    assert totals["due"] == totals["sent"] + totals["dropped"]
    assert totals["sent"] == totals["ok"] + totals["failed"]
    assert sum(one["calls"] for one in every) == totals["sent"]
    assert sum(one["ok"] for one in every) == totals["ok"] == content["latency"]["count"]
    assert sum(one["failed"] for one in every) == totals["failed"] == content["failed_latency"]["count"]
    assert sum(one["calls"] for one in content["outcomes"]) == totals["sent"] == content["lag"]["count"]
    warmup = content.get("warmup")
    assert (warmup is not None) == ("warmup" in content["plan"])
    if warmup is not None:
        assert warmup["due"] == warmup["sent"] + warmup["dropped"]
        assert warmup["sent"] == warmup["ok"] + warmup["failed"]
    timeline = content["timeline"]
    for what in ("sent", "failed", "dropped"):
        assert sum(timeline[what]) == totals[what]
        assert len(timeline[what]) == len(timeline["sent"])
    durations = Cells.decode(timeline["latency"], len(timeline["sent"]))
    assert durations.counts.sum(axis=1).tolist() == timeline["sent"]
    assert {name: sum(counts) for name, counts in timeline["failures"].items()} == {
        name: one["failed"]
        for name, one in content["backends"].items()
        if one["failed"] and content["plan"].get("backend_from") != "peer"
    }
    assert [time is None for time in content["summary"]["over_time"]["p99_s"]] == [
        not sent for sent in timeline["sent"]
    ]
    assert {name: sum(counts) for name, counts in timeline["backends"].items()} == {
        name: one["calls"] for name, one in content["backends"].items()
    }
    assert [event["at_ns"] for event in content["events"]] == sorted(e["at_ns"] for e in content["events"])
    resultjson.from_json(content)
    return content


def rules(content: dict[str, Any]) -> set[str]:
    """Return the names of the verdict's findings."""
    return {finding["rule"] for finding in content["summary"]["verdict"]}


def events(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the events of this name."""
    return [event for event in content["events"] if event["name"] == name]
