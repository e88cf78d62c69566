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
