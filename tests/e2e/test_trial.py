"""A trial: load makes memory, and the replicas that are added for it must get calls."""

import time

import pytest

from tests.e2e.kube import ROOT, CommandError, Release, call

PRESET = ("-f", str(ROOT / "values/keda-memory.yaml"))


def has_keda() -> bool:
    try:
        call("kubectl", "get", "crd", "scaledobjects.keda.sh")
    except CommandError:
        return False
    return True


@pytest.mark.trial
@pytest.mark.timeout(480)
def test_keda_adds_replicas_and_each_of_them_gets_calls(release: Release):
    if not has_keda():
        pytest.skip("KEDA is not installed")
    # the server first: KEDA's webhook may not have seen a Deployment that comes with its ScaledObject
    servers = ("autoscaling.mode=none", "replicaCount=1", "loadgen.enabled=false")
    release.install(*PRESET, "--set", ",".join(servers))
    start = time.monotonic()
    release.upgrade(*PRESET, "--set", "loadgen.config.duration=3m")
    report = release.report(patience=330)
    pods = [one for one in release.get("pods") if "job-name" not in one["metadata"]["labels"]]
    print(f"{len(pods)} replicas, {report.calls} calls, after {time.monotonic() - start:.0f} s")
    assert report.succeeded, report.log
    assert report.failed == 0
    assert len(pods) > 1
    assert len(report.calls) == len(pods), report.log
    assert min(report.calls) > 0
    assert sum(report.calls) == 18_000
    assert [one for pod in pods for one in pod["status"]["containerStatuses"] if one["restartCount"]] == []
