"""`loadgen search`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen import logged, resultjson
from loadgen.searchfile import Found
from tests.server.replica import Replica
from tests.unit.command import ROOT, environment, loadgen


def test_a_limit_is_found_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    with Replica("--delay", "50ms", "--slots", "2") as replica:  # 40 calls/s
        ended = loadgen(
            "search", f"127.0.0.1:{replica.port}", "--from", "20", "--step", "1s", "--pause", "0s",
            "--precision", "25%", "--threshold", "p90<300ms", "-o", str(file), "--log-result",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    content = json.loads(file.read_text())
    assert 20 <= content["rate"] < content["failed"] <= content["rate"] * 1.25
    assert content["thresholds"] == ["p90<300ms", "error_rate<1%", "dropped==0"]
    assert [step["passed"] for step in content["steps"]].count(True) >= 1
    for step in content["steps"]:
        for one in step["tries"]:
            assert resultjson.from_json(one["result"]).totals.sent
    assert logged.find(ended.out.splitlines()) == content
    again = loadgen("report", str(file))
    assert again.code == 0, again.err
    assert again.out == ended.out.partition("grpc-spread-result")[0]
    assert f"  {content['rate']:.1f} calls/s passed and {content['failed']:.1f} calls/s failed" in again.out


def test_a_service_that_keeps_up_with_all_that_was_to_be_tried() -> None:
    with Replica() as replica:
        ended = loadgen(
            "search", f"127.0.0.1:{replica.port}", "--from", "20", "--to", "50", "--step", "400ms",
            "--pause", "0s",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "50.0 calls/s passed, the highest rate that was to be tried" in ended.out


def test_a_service_that_only_fails(tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    with Replica("--error-ratio", "1") as replica:
        ended = loadgen(
            "search", f"127.0.0.1:{replica.port}", "--from", "0.2", "--step", "200ms", "--pause", "0s",
            "-o", str(file),
        )  # fmt: skip
    (complaint,) = [line for line in ended.complaints if "error" in line and "passed" in line]
    assert (
        complaint == "loadgen: error: no rate passed: the lowest that was tried did not keep the thresholds"
    )
    assert ended.code == 1
    assert json.loads(file.read_text())["rate"] is None


def test_a_stop_reports_what_was_found() -> None:
    with Replica() as replica:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "loadgen", "search", f"127.0.0.1:{replica.port}"),
                *("--from", "20", "--step", "1s", "-o", "-"),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment({}), cwd=ROOT,
        )  # fmt: skip
        assert process.stderr
        assert process.stderr.readline().startswith("loadgen: 20.0 ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found = Found.from_json(json.loads(out))
    assert found.partial == "stopped by SIGINT"
    assert found.rate == 20


WRONG = {
    "backwards": (["--from", "9", "--to", "5"], "--to 5 is below --from 9"),
    "no precision": (["--precision", "0"], "'0' is no percentage from 0.1% to 50%"),
    "a precision that is a word": (["--precision", "fine"], "'fine' is no percentage"),
    "no step": (["--step", "0s"], "'0s' is too short"),
    "a load of its own": (["--rps", "5"], "No such option '--rps'"),
    "no metric": (["--threshold", "p99"], "is no threshold"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_a_search_that_makes_no_sense_is_refused(arguments: list[str], says: str) -> None:
    ended = loadgen("search", "127.0.0.1:1", *arguments)
    (line,) = ended.complaints
    assert line.startswith("loadgen: error: ")
    assert says in line
    assert ended.code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"format": "grpc-spread/search", "version": 1}, "is not a whole search: 'thresholds'"),
        ({"format": "grpc-spread/search", "version": 9}, "has format version 9, newer than"),
    ],
)
def test_a_file_that_is_no_whole_search(tmp_path: Path, content: object, says: str) -> None:
    file = tmp_path / "search.json"
    file.write_text(json.dumps(content))
    ended = loadgen("report", str(file))
    (line,) = ended.complaints
    assert f"{file} {says}" in line
    assert ended.code == 1


def test_a_search_is_reported_alone(tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    file.write_text(json.dumps({"format": "grpc-spread/search", "version": 1}))
    ended = loadgen("report", str(file), str(file))
    assert ended.code == 2
    assert "is reported alone" in ended.err
