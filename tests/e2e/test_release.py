"""Installing, upgrading, removing."""

import time

import pytest

from tests.e2e.kube import CHART, PRESETS, CommandError, Release, call

KINDS = "deployments,services,jobs,configmaps,serviceaccounts,pdb,hpa,pods,endpointslices"


def test_an_upgrade_runs_the_load_again_only_where_it_changed(release: Release):
    release.install("--set", "headless=true")
    first = release.names("jobs")
    release.report()
    release.upgrade("--set", "headless=true", "--set", "server.annotations.note=unrelated")
    assert release.names("jobs") == first
    release.upgrade("--set", "headless=true", "--set", "runId=2")
    assert not release.names("jobs") & first


def test_replicas_and_autoscaler_and_back(release: Release):
    servers = ("--set", "loadgen.enabled=false", "--set", "headless=true")
    release.install(*servers)
    for replicas in (5, 2):
        release.upgrade(*servers, "--set", f"replicaCount={replicas}")
        assert release.get("deployments")[0]["status"]["readyReplicas"] == replicas
    release.upgrade(*servers, "--set", "autoscaling.mode=hpa", "--set", "autoscaling.minReplicas=2")
    assert release.names("hpa") == {f"{release.name}-grpc-spread"}
    release.upgrade(*servers)
    assert release.names("hpa") == set()
    assert release.get("deployments")[0]["spec"]["replicas"] == 3


def test_nothing_is_left(release: Release):
    release.install("--set", "headless=true")
    release.report()
    assert release.names(KINDS)
    release.helm("uninstall", "--wait")
    end = time.monotonic() + 60
    while (left := release.names(KINDS)) and time.monotonic() < end:
        time.sleep(1)
    assert left == set()


def test_a_service_that_is_not_there_ends_the_job_once(release: Release):
    release.helm(
        "install", CHART, "--set", "server.enabled=false,loadgen.config.target=nobody:9090",
        "--set", "loadgen.config.ready_timeout=5s",
    )  # fmt: skip
    report = release.report()
    assert not report.succeeded
    assert report.found is None
    assert "nobody" in report.log
    pods = release.get("pods")
    assert len(pods) == 1, "it was tried again"
    ended = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 1
    assert "nobody" in ended["message"]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_cluster_takes_a_preset(release: Release, preset):
    manifests = release.helm("template", CHART, "-f", str(preset))
    release.kubectl(
        "apply", "--server-side", "--dry-run=server", "--field-manager=test", "-f", "-", text=manifests
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("headles=true", "'headles' not allowed"),
        ("lbPolicy=bogus", "at '/lbPolicy': value must be one of"),
        ("replicaCount=-1", "at '/replicaCount': minimum: got -1"),
        ("autoscaling.mode=keda,autoscaling.minReplicas=0", "autoscaling.minReplicas is 0"),
        ("autoscaling.mode=hpa,autoscaling.minReplicas=9", "autoscaling.maxReplicas is 5, less than"),
        (
            "autoscaling.mode=hpa,server.resources.requests.memory=null",
            "server.resources.requests.memory, which",
        ),
        ("server.drain.timeoutSeconds=90", "server.drain takes up to 97 s"),
        ("server.resources.limits.memory=much", "'much' does not match pattern"),
        ("loadgen.config.totl=3", "'totl' not allowed"),
    ],
)
def test_a_wrong_value_installs_nothing(release: Release, values, says):
    with pytest.raises(CommandError) as caught:
        release.install("--set", values)
    assert says in str(caught.value)
    assert release.name not in call("helm", "list", "--all-namespaces", "--short")
    assert release.names(KINDS) == set()
