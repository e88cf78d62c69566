"""How calls fall on three replicas."""

import time

from tests.e2e.kube import Release, preset

TOTAL = 3000


def even(calls: list[int]) -> bool:
    return len(calls) == 3 and sum(calls) == TOTAL and max(calls) - min(calls) <= 0.02 * TOTAL


def test_one_value_alone_spreads_evenly_within_a_minute(release: Release):
    start = time.monotonic()
    release.install("--set", "headless=true")
    report = release.report()
    took = time.monotonic() - start
    print(f"{report.calls} after {took:.1f} s")
    assert report.succeeded, report.log
    assert even(report.calls), report.log
    assert report.failed == 0
    assert took < 60


def test_a_cluster_ip_sends_all_to_one(release: Release):
    baseline = preset("clusterip-baseline")
    # all replicas are there before the first call: it is not that the others came late
    release.install(*baseline, "--set", "loadgen.enabled=false")
    assert release.get("deployments")[0]["status"]["readyReplicas"] == 3
    release.upgrade(*baseline)
    report = release.report()
    assert report.calls == [TOTAL]
    assert report.rules[0] == "connection_balanced"


def test_one_release_through_headless_on_off_on(release: Release):
    release.install("--set", "headless=true")
    assert even(release.report().calls)
    headless = {
        one["metadata"]["name"] for one in release.get("services") if one["spec"]["clusterIP"] == "None"
    }
    assert headless == {f"{release.name}-grpc-spread-headless"}
    pods = release.names("pods")

    release.upgrade("--set", "headless=false")
    assert release.report().calls == [TOTAL]
    assert release.names("services") == {f"{release.name}-grpc-spread"}

    release.upgrade("--set", "headless=true")
    assert even(release.report().calls)
    # the servers were left alone
    assert len(pods & release.names("pods")) == 3


def test_one_release_through_policies_and_back(release: Release):
    release.install("--set", "headless=true")
    assert even(release.report().calls)
    release.upgrade("--set", "headless=true,lbPolicy=pick_first")
    report = release.report()
    assert report.calls == [TOTAL]
    assert report.rules[0] == "pick_first"
    release.upgrade("--set", "headless=true")
    assert even(release.report().calls)


def test_the_test_of_the_chart_passes(release: Release):
    release.install("--set", "headless=true", "--set", "loadgen.enabled=false")
    assert "Phase:          Succeeded" in release.helm("test", "--timeout", "1m")
