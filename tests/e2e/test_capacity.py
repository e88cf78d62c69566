"""Capacity tests of a service: thresholds, a search, and a method of somebody else's."""

import json
from pathlib import Path

import pytest

from tests.e2e.kube import CHART, COLLECT, CommandError, Release, call

OPEN = ",".join(
    f"loadgen.config.{one}" for one in ("concurrency=null", "rps=100", "total=null", "duration=5s")
)
THRESHOLDS = 'loadgen.config.threshold=["p99<1us","error_rate<1%"]'


@pytest.mark.parametrize("shards", [1, 2])
def test_a_crossed_threshold_fails_the_trial_with_99(release: Release, shards: int):
    release.helm(
        "install", CHART, "--set", f"headless=true,loadgen.parallelism={shards},{OPEN}",
        "--set-json", THRESHOLDS,
    )  # fmt: skip
    job, complete = release.ended()
    # one judges itself, of several none can: what must hold is said of all of them together
    assert complete == (shards > 1)
    with pytest.raises(CommandError, match=r"thresholds crossed: p99<1us: .* seen$"):
        call(*COLLECT, job, "-n", release.namespace)
    (code, *_) = {
        one["state"]["terminated"]["exitCode"]
        for pod in release.get("pods")
        if pod["metadata"]["labels"].get("job-name") == job
        for one in pod["status"]["containerStatuses"]
    }
    assert code == (99 if shards == 1 else 0)


def test_a_search_finds_what_the_servers_sustain(release: Release, tmp_path: Path):
    # 3 replicas, each 4 calls at a time of 100 ms: 120 calls/s
    servers = {"server": {"slots": 4, "delay": "100ms"}, "headless": True}
    search = {"mode": "search", "search": {"from": 60, "step": "3s", "precision": "10%"}}
    config = {"threshold": ["p99<500ms"]}
    release.helm("install", CHART, values={**servers, "loadgen": {**search, "config": config}})
    job, _ = release.ended(patience=280)
    file = tmp_path / "search.json"
    text = call(*COLLECT, job, "-n", release.namespace, "-o", str(file))
    found = json.loads(file.read_text("utf-8"))
    print(text)
    assert found["format"] == "grpc-spread/search"
    assert 0.8 * 120 < found["rate"] < 1.05 * 120
    assert "calls/s passed and" in text


def test_a_method_of_a_service_that_does_not_say_who_answers(release: Release):
    values = {
        "headless": True,
        "loadgen": {"config": {"call": "grpc.health.v1.Health/Check", "data": {"service": ""}}},
    }
    release.helm("install", CHART, values=values)
    report = release.report()
    print(report.calls, report.rules)
    assert report.succeeded, report.log
    assert sorted(report.calls) == [1000, 1000, 1000]
    # addresses are those of pods, so each replica has its calls
    assert [one["calls"] for one in report.result["replicas"]] == [1000, 1000, 1000]
