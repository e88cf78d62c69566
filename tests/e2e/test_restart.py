"""Replacing the servers under load."""

import asyncio
import time

import pytest

from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import Json, Release
from tests.e2e.load import JobLoad

PLAN = {
    "rps": 200,
    "duration": "30s",
    "lb_policy": "round_robin",
    "health_check": True,
    "expect_backends": 3,
}


@pytest.mark.parametrize(
    "found", [{"discovery": "poll", "poll_interval": "1s"}, {"discovery": "watch"}], ids=str
)
async def test_a_rolling_restart_under_load_loses_no_call(release: Release, other: Release, found: Json):
    async with KubernetesCluster(release) as cluster:
        old = {one.name for one in await cluster.ready()}
        load = await JobLoad.start(other, cluster.target(headless=True), PLAN | found)
        await load.began()
        deployment = f"deployment/{release.name}-grpc-spread"
        await asyncio.to_thread(release.kubectl, "rollout", "restart", deployment)
        await asyncio.to_thread(release.kubectl, "rollout", "status", deployment, "--timeout=1m")
        rolled_out = time.time_ns()
        report = await load.report()
        replicas = await cluster.replicas()
    result = report.result
    start = result["started_ns"]
    for one in replicas:
        backend = result["backends"].get(one.id, {"calls": 0})
        times = (one.ready_at, one.terminating_at, one.exited_at)
        shown = ", ".join("-" if at is None else f"{(at - start) / 1e9:.2f}" for at in times)
        print(f"{one.name}: {backend['calls']} calls, ready, leaving, gone at {shown} s")
    print(f"rolled out at {(rolled_out - start) / 1e9:.1f} s, {result['totals']}, {result['outcomes']}")
    new = [one for one in replicas if one.name not in old]
    assert len(new) == 3
    # the old ones drained while calls were made
    gone = [one.exited_at for one in replicas if one.name in old]
    assert max(rolled_out, *(at or rolled_out for at in gone)) < start + result["duration_ns"]
    # what was called when, and what the client saw, is what explains a lost call
    told = [{**event, "at_s": event["at_ns"] / 1e9} for event in result["events"]]
    lost = (result["outcomes"], told, result["timeline"]["failed"])
    assert (report.failed, result["totals"]["dropped"]) == (0, 0), lost
    assert [one.name for one in new if not result["backends"].get(one.id)] == []
    assert result["totals"]["sent"] == 6000


async def test_of_a_killed_replica_only_the_calls_in_flight_are_lost(release: Release, other: Release):
    """By SIGKILL: each call takes 50 ms."""
    settings = ("--set", "server.delay=50ms,server.resources.limits.memory=128Mi")
    plan = PLAN | {"discovery": "watch", "duration": "10s", "timeout": "2s"}
    async with KubernetesCluster(release, *settings) as cluster:
        load = await JobLoad.start(other, cluster.target(headless=True), plan)
        await load.began()
        await cluster.kill((await cluster.ready())[0].name)
        report = await load.report()
    result = report.result
    totals, failed = result["totals"], result["failed_latency"]
    print(f"{totals}, the oldest that failed {failed['max_ns'] / 1e6:.0f} ms old, {result['outcomes']}")
    assert (totals["sent"], totals["dropped"]) == (2000, 0)
    answered = sum(one["calls"] for one in result["backends"].values())
    assert answered + result["unattributed"]["calls"] == totals["sent"]
    # as many as came to one of three replicas while the oldest of them was under way
    assert totals["failed"] <= PLAN["rps"] / 3 * failed["max_ns"] / 1e9 + 2
    assert max(failed["max_ns"], result["latency"]["max_ns"]) < 2e9
