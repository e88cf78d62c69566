"""Installing, upgrading, removing."""

import re
import time
from collections.abc import Callable

import pytest

from tests.e2e.kube import CHART, CommandError, Release, call

KINDS = "deployments,services,jobs,configmaps,serviceaccounts,pdb,hpa,pods,endpointslices"


def eventually(look: Callable[[], set[str]], wanted: set[str]) -> set[str]:
    """Return what is there once it is as wanted, or after a minute."""
    end = time.monotonic() + 60
    while (there := look()) != wanted and time.monotonic() < end:
        time.sleep(0.5)
    return there


def autoscalers(release: Release) -> set[str]:
    """Return the HPAs that scale the release, whoever made them."""
    names = release.kubectl("get", "hpa", "-o", "name").split()
    return {name.partition("/")[2] for name in names if release.name in name}


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


@pytest.mark.usefixtures("keda")
def test_one_release_through_every_autoscaler(release: Release):
    servers = ("--set", "loadgen.enabled=false,headless=true,replicaCount=2,autoscaling.minReplicas=2")
    scaled = f"{release.name}-grpc-spread"
    release.install(*servers)
    release.upgrade(*servers, "--set", "autoscaling.mode=hpa")
    assert autoscalers(release) == {scaled}
    release.upgrade(*servers, "--set", "autoscaling.mode=keda")
    assert release.names("scaledobjects") == {scaled}
    assert eventually(lambda: autoscalers(release), {f"keda-hpa-{scaled}"}) == {f"keda-hpa-{scaled}"}
    release.upgrade(*servers)
    assert release.names("scaledobjects") == set()
    assert eventually(lambda: autoscalers(release), set()) == set()
    assert release.get("deployments")[0]["spec"]["replicas"] == 2
    # removed while KEDA is at work, its own HPA goes too
    release.upgrade(*servers, "--set", "autoscaling.mode=keda")
    assert eventually(lambda: autoscalers(release), {f"keda-hpa-{scaled}"}) == {f"keda-hpa-{scaled}"}
    release.helm("uninstall", "--wait")
    kinds = f"{KINDS},scaledobjects"
    assert eventually(lambda: release.names(kinds) | autoscalers(release), set()) == set()


def test_nothing_is_left(release: Release):
    release.install("--set", "headless=true")
    release.report()
    assert release.names(KINDS)
    release.helm("uninstall", "--wait")
    assert eventually(lambda: release.names(KINDS), set()) == set()


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


@pytest.mark.parametrize(
    "values",
    [
        # where it listens nobody can reach it: the pods run and never become ready
        pytest.param("headless=true,server.host=127.0.0.1", id="loopback"),
        pytest.param("headless=false,server.image.tag=misspelt", id="image"),
    ],
)
def test_servers_that_never_become_ready_end_the_job_once(release: Release, values: str):
    release.helm("install", CHART, "--set", f"{values},loadgen.config.ready_timeout=5s")
    report = release.report()
    print(report.log)
    assert (report.exit_code, report.found) == (1, None)
    assert re.search(rf"^loadgen: error: {release.name}\S*:9090: waited 5 s for .*: 0 connected", report.log)
    (pod,) = [one for one in release.get("pods") if "job-name" in one["metadata"]["labels"]]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    servers = [one for one in release.get("pods") if "job-name" not in one["metadata"]["labels"]]
    assert len(servers) == 3
    for one in servers:
        assert not one["status"]["containerStatuses"][0]["ready"]


def test_the_namespace_of_these_tests_refuses_what_is_not_restricted(namespace: str):
    with pytest.raises(CommandError, match=r'violates PodSecurity "restricted:latest": privileged'):
        call("kubectl", "-n", namespace, "run", "privileged", "--image=localhost/none:1", "--privileged")


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
