"""Several load generators in one Job."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from loadgen import logged, merging, resultjson
from loadgen.result import Result
from tests.e2e.kube import CHART, COLLECT, CommandError, Release, call

SHARDS = ("--set", "headless=true", "--set", "loadgen.parallelism=4")
OPEN = "loadgen.config.concurrency=null,loadgen.config.rps=200,loadgen.config.total=null"
SKEW = 0.25  # seconds between the first shard's start and the last one's


def shards(release: Release, job: str) -> dict[int, dict[str, Any]]:
    """Return the Job's pods by the number of their shard."""
    pods = [one for one in release.get("pods") if one["metadata"]["labels"].get("job-name") == job]
    return {int(one["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]): one for one in pods}


def own_result(release: Release, pod: dict[str, Any]) -> Result:
    log = release.kubectl("logs", "--tail=-1", pod["metadata"]["name"])
    return resultjson.from_json(logged.find(log.splitlines()))


def exit_code(pod: dict[str, Any]) -> int:
    code: int = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    return code


def test_four_start_together_and_their_merged_result_is_their_sum(release: Release, tmp_path: Path):
    release.install(*SHARDS, "--set", OPEN, "--set", "loadgen.config.duration=10s")
    job, _ = release.ended()
    file = tmp_path / "result.json"
    text = call(*COLLECT, job, "-n", release.namespace, "-o", str(file))
    merged = json.loads(file.read_text("utf-8"))
    parts = [own_result(release, pod) for _, pod in sorted(shards(release, job).items())]
    assert [part.totals.sent for part in parts] == [500] * 4
    assert merged["totals"] == {"due": 2000, "sent": 2000, "ok": 2000, "failed": 0, "dropped": 0}
    whole = resultjson.from_json(merged)
    whole.replicas = None
    assert whole == merging.merge(parts)
    assert sum(one["calls"] for one in merged["replicas"]) == 2000
    skew = merged["summary"]["shards"]["skew_s"]
    print(f"started within {skew * 1000:.1f} ms")
    assert skew <= SKEW
    assert "Shards:      4 of 4" in text


def calling(release: Release, pod: str) -> None:
    """Wait until this pod's load has begun."""
    release.kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=60s")
    end = time.monotonic() + 60
    while "loadgen: calling " not in release.kubectl("logs", pod):
        assert time.monotonic() < end, release.kubectl("logs", pod)
        time.sleep(0.2)


def test_a_shard_that_fails_leaves_three_whole_results(release: Release, tmp_path: Path):
    # Python wants 640 here at least, so it does not start in shard 0, where it is 0639: the hardest of the
    # four to lose, as the others wait for it
    index = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}}
    env = [
        {"name": "INDEX", "valueFrom": index},
        {"name": "PYTHONINTMAXSTRDIGITS", "value": "$(INDEX)639"},
    ]
    begun = time.monotonic()
    release.helm(
        "install", CHART, *SHARDS, "--set", OPEN, "--set", "loadgen.config.duration=5s",
        "--set-json", f"loadgen.extraEnv={json.dumps(env)}",
    )  # fmt: skip
    job, _ = release.ended()
    print(f"over after {time.monotonic() - begun:.0f} s")
    pods = shards(release, job)
    assert [exit_code(pods[index]) for index in range(4)] == [1, 0, 0, 0]
    file = tmp_path / "result.json"
    says = rf"shard 0 \(pod {job}-0-\w+\) has no result in its log; it exited with 1 and said last: "
    with pytest.raises(CommandError, match=says):
        call(*COLLECT, job, "-n", release.namespace, "-o", str(file))
    merged = json.loads(file.read_text("utf-8"))
    assert merged["summary"]["shards"]["missing"] == [0]
    assert merged["totals"] == {"due": 750, "sent": 750, "ok": 750, "failed": 0, "dropped": 0}


def test_a_shard_that_is_deleted_is_missed(release: Release, tmp_path: Path):
    release.install(*SHARDS, "--set", OPEN, "--set", "loadgen.config.duration=15s")
    (job,) = release.names("jobs")
    pod = shards(release, job)[2]["metadata"]["name"]
    calling(release, pod)
    release.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    release.ended()
    file = tmp_path / "result.json"
    with pytest.raises(CommandError, match="shard 2 has no pod: it was not started, or was deleted"):
        call(*COLLECT, job, "-n", release.namespace, "-o", str(file))
    merged = json.loads(file.read_text("utf-8"))
    assert merged["summary"]["shards"]["missing"] == [2]
    assert merged["totals"]["ok"] == 3 * 750


def test_the_pod_says_how_it_went(release: Release):
    release.install("--set", "headless=true")
    report = release.report()
    (pod,) = shards(release, report.job).values()
    message = json.loads(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
    assert (message["sent"], message["failed"], message["verdict"][0]) == (3000, 0, "even")
