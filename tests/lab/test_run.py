"""`lab run`: every experiment, in processes as users start them."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab.experiments import EXPERIMENTS

NAMES = [experiment.name for experiment in EXPERIMENTS]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "run", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(240)
def test_all_experiments_come_out_as_expected_and_leave_no_process(tmp_path: Path) -> None:
    process = start("all", cwd=tmp_path)
    assert process.stdout is not None
    family: set[psutil.Process] = set()
    printed = []
    for line in process.stdout:  # each paragraph is a moment to look who is there
        printed.append(line)
        family.update(psutil.Process(process.pid).children(recursive=True))
    _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    text = "".join(printed)
    assert text.count("│ yes ") == len(NAMES)
    assert len(family) > 10
    assert [one for one in family if one.is_running()] == []
    for name, calls in {one.name: one.calls for one in EXPERIMENTS}.items():
        result = json.loads((tmp_path / "build/demo" / f"{name}.json").read_text("utf-8"))
        totals = result["totals"]
        attributed = sum(backend["calls"] for backend in result["backends"].values())
        assert totals["due"] == totals["sent"] + totals["dropped"] == calls
        assert totals["sent"] == totals["ok"] + totals["failed"]
        assert totals["sent"] == attributed + result["unattributed"]["calls"]
        assert name in text


def calling(process: subprocess.Popen[str]) -> bool:
    """Tell whether the load generator has been started."""
    family = psutil.Process(process.pid).children(recursive=True)
    return any("loadgen" in child.cmdline() for child in family if child.is_running())


@pytest.mark.parametrize("during", ["start", "load"])
def test_a_stop_ends_everything(during: str, tmp_path: Path) -> None:
    process = start("scale-static", "scale-discovery", cwd=tmp_path)
    assert process.stdout is not None
    assert "scale-static" in process.stdout.readline()
    while during == "load" and not calling(process):
        assert process.poll() is None
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "lab: stopped\n")
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "there is no experiment 'nothing'"),
        ([], 2, "Missing argument"),
        (["all", "-o", "file/below"], 1, "cannot write to file/below: Not a directory"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = start(*arguments, cwd=tmp_path)
    output, errors = process.communicate()
    assert process.returncode == code
    assert output == ""
    assert errors.startswith(f"lab: error: {message}")
    assert errors.count("\n") == 1
