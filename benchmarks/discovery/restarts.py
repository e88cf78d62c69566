"""What is lost when replicas are replaced, and when one is killed."""

import asyncio
import math

from benchmarks.document import HOLDS, Figure, table, within
from lab.replicas import State
from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import Json, Release
from tests.e2e.load import JobLoad

RATE = 600  # calls/s
REPLICAS = 3
RESTARTS = 8
DELAY = 0.05  # seconds that the server takes for a call, where one is killed: so that calls are in flight
DEADLINE = 2.0  # seconds
SETTLED = 3.0  # seconds before and after a kill

PLAN = {
    "rps": RATE,
    "duration": "15m",
    "lb_policy": "round_robin",
    "discovery": "watch",
    "health_check": True,
    "expect_backends": REPLICAS,
    "timeout": f"{DEADLINE:g}s",
}


def measure(namespace: str, *, short: bool) -> str:
    """Return the table; raises AssertionError where a load was not made."""
    times = 1 if short else RESTARTS
    restarted, took = asyncio.run(_restarts(namespace, times))
    killed = asyncio.run(_kill(namespace))
    totals = restarted["totals"]
    oldest = killed["failed_latency"]["max_ns"] / 1e9
    in_flight = math.ceil(RATE / REPLICAS * oldest) + 1
    slowest = max(killed[name]["max_ns"] for name in ("latency", "failed_latency")) / 1e9
    known = (
        killed["totals"]["sent"]
        == sum(one["calls"] for one in killed["backends"].values()) + (killed["unattributed"]["calls"])
    )
    return table(
        [
            Figure(
                f"{times} rolling restarts: calls failed or dropped",
                f"0 of {totals['due']}",
                f"{totals['failed'] + totals['dropped']}",
                within(0, totals["failed"] + totals["dropped"], 0),
            ),
            Figure(
                "SIGKILL: calls failed",
                f"at most the {in_flight} in flight on it, the oldest for {oldest * 1000:.0f} ms",
                f"{killed['totals']['failed']} of {killed['totals']['sent']}",
                within(0, killed["totals"]["failed"], in_flight),
            ),
            Figure(
                "SIGKILL: calls that are not accounted for",
                "0",
                "0" if known else "some",
                HOLDS if known else "backends and unattributed are not all",
            ),
            Figure(
                "SIGKILL: slowest call",
                f"deadline, {DEADLINE:g} s",
                f"{slowest * 1000:.0f} ms",
                within(0, slowest, DEADLINE + 0.1, unit=" s"),
            ),
        ],
        f"{REPLICAS} replicas under {RATE} calls/s, `round_robin`, discovery `watch`, health checks, no"
        f" retries. The restarts took {took:.0f} s in all and replaced {times * REPLICAS} replicas. One more"
        " was killed, as its container took more memory than its limit. A call took"
        f" {DELAY * 1000:g} ms there, and as many calls were in flight on the replica as come to it in the"
        " time for which the oldest of those that failed had been under way, at most.",
    )


async def _restarts(namespace: str, times: int) -> tuple[Json, float]:
    server, client = Release("restarted", namespace), Release("load-restarts", namespace)
    loop = asyncio.get_running_loop()
    try:
        async with KubernetesCluster(server) as cluster:
            load = await JobLoad.start(client, cluster.target(headless=True), PLAN)
            await load.began()
            deployment = f"deployment/{server.name}-grpc-spread"
            began = loop.time()
            for _ in range(times):
                await asyncio.to_thread(server.kubectl, "rollout", "restart", deployment)
                await asyncio.to_thread(server.kubectl, "rollout", "status", deployment, "--timeout=2m")
            took = loop.time() - began
            # the last ones still drain
            await cluster.servers.until(
                lambda seen: sum(one.state is State.GONE for one in seen) == times * REPLICAS,
                "the replaced replicas to be gone",
            )
            await load.stop()
            return (await load.report()).result, took
    finally:
        for release in (client, server):
            await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")


async def _kill(namespace: str) -> Json:
    server, client = Release("killed", namespace), Release("load-kill", namespace)
    settings = ("--set", f"server.delay={DELAY:g}s,server.resources.limits.memory=128Mi")
    try:
        async with KubernetesCluster(server, *settings) as cluster:
            load = await JobLoad.start(client, cluster.target(headless=True), PLAN)
            await load.began()
            await asyncio.sleep(SETTLED)
            await cluster.kill((await cluster.ready())[0].name)
            await asyncio.sleep(SETTLED)
            await load.stop()
            return (await load.report()).result
    finally:
        for release in (client, server):
            await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")
