"""Discovery by the Kubernetes API."""

import asyncio
import statistics
import time

from lab.replicas import Replica
from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import CHART, Release
from tests.e2e.load import JobLoad

PLAN = {
    "rps": 200,
    "duration": "30s",
    "lb_policy": "round_robin",
    "discovery": "watch",
    "health_check": True,
    "expect_backends": 3,
}


async def test_it_follows_replicas_and_loses_no_call(release: Release, other: Release):
    async with KubernetesCluster(release) as cluster:
        first = {one.name for one in await cluster.ready()}
        load = await JobLoad.start(other, cluster.target(headless=True), PLAN)
        await load.began()
        await asyncio.sleep(3)
        await cluster.scale(2)
        await asyncio.sleep(3)
        await cluster.scale(5)
        report = await load.report()
        replicas = await cluster.replicas()
    result = report.result
    told = [{**event, "at_s": event["at_ns"] / 1e9} for event in result["events"]]
    assert (report.failed, result["totals"]["dropped"]) == (0, 0), (result["outcomes"], told)
    added = [one for one in replicas if one.name not in first]
    assert len(added) == 3
    late = [_late(one, result) for one in added]
    print(f"from ready to the first call: {', '.join(f'{one * 1000:.0f} ms' for one in late)}")
    for one in told:
        print(one)
    print(f"median {statistics.median(late) * 1000:.0f} ms; {report.calls} calls")
    assert statistics.median(late) < 1
    assert [one for one in told if one["name"].startswith("discovery.")] == []
    assert "replicas_changed" in report.rules


def _late(replica: Replica, result: dict) -> float:
    """Return the seconds from when the watch told of the replica's being ready to its first call."""
    first = result["backends"][replica.id]["first_call_ns"]
    return (result["started_ns"] + first - replica.ready_at) / 1e9


def test_the_chart_alone_spreads_evenly_without_a_headless_service(release: Release):
    """By two load generators, with rights that the chart gives them."""
    release.install("--set", "loadgen.config.discovery=watch,loadgen.parallelism=2")
    report = release.report()
    assert report.succeeded, report.log
    assert report.failed == 0
    assert report.calls == [1000, 1000, 1000]
    assert report.rules[0] == "even"


async def test_without_rights_it_says_what_is_missing(release: Release, other: Release):
    async with KubernetesCluster(release) as cluster:
        values = {
            "server": {"enabled": False},
            "loadgen": {
                "rbac": {"create": False},
                "config": {"target": cluster.target(headless=True), "discovery": "watch"},
            },
        }
        start = time.monotonic()
        await asyncio.to_thread(other.helm, "install", CHART, values=values)
        report = await asyncio.to_thread(other.report)
    took = time.monotonic() - start
    print(f"{report.log} (after {took:.1f} s)")
    account = f"system:serviceaccount:{other.namespace}:{other.name}-grpc-spread-loadgen"
    assert report.exit_code == 1
    assert f"{account} may not get services in namespace {other.namespace}" in report.log
    assert "get, list and watch on endpointslices.discovery.k8s.io and get on services" in report.log
    assert "Traceback" not in report.log
