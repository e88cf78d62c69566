"""Results out of the cluster."""

import json
from pathlib import Path

import pytest

from tests.e2e.kube import COLLECT, CommandError, Release, call, preset


def test_a_cluster_ip_leaves_replicas_idle_and_collect_shows_them(release: Release, tmp_path: Path):
    baseline = preset("clusterip-baseline")
    release.install(*baseline, "--set", "loadgen.enabled=false")
    release.upgrade(*baseline)
    job = release.report().job
    file = tmp_path / "result.json"
    text = call(*COLLECT, job, "-n", release.namespace, "-o", str(file))
    result = json.loads(file.read_text("utf-8"))
    replicas = result["replicas"]
    assert {one["pod"] for one in replicas} == release.names("pods") - {
        one["metadata"]["name"] for one in release.get("pods") if "job-name" in one["metadata"]["labels"]
    }
    assert sorted(one["calls"] for one in replicas) == [0, 0, 3000]
    assert all(one["id"] and one["ready_at"] < result["started_ns"] for one in replicas)
    assert text.count("  idle") == 2
    assert "Verdict" in text
    assert "grpc-spread-result" not in text


def test_collect_of_no_job(namespace: str):
    with pytest.raises(CommandError, match=f"there is no Job none in namespace {namespace}"):
        call(*COLLECT, "none", "-n", namespace)
