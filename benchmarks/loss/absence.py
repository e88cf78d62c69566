"""The Kubernetes API is away while replicas change."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.document import Figure, table, within
from benchmarks.loss.load import REPLICAS, Json, load, lost, stopped
from lab.cluster import LocalCluster
from lab.replicas import SECOND

RATE = 200.0  # calls/s
AWAY = 60.0  # seconds
LIMIT = 5.0  # seconds to have caught up
SETTLED = 1.0
PATIENCE = 30.0


@dataclass(frozen=True)
class Seen:
    """What came of one absence."""

    result: Json
    caught_up: float | None
    """Seconds from when the API was back to when each replica that is there had been called; None: never."""
    before: int
    """Replicas that came meanwhile and were called before it was back."""


def measure(*, short: bool) -> str:
    """Measure for some 80 s, or 25 s."""
    away = 6.0 if short else AWAY
    seen = asyncio.run(absent(away))
    totals = seen.result["totals"]
    told = [event["name"] for event in seen.result["events"] if event["name"].startswith("discovery.")]
    return table(
        [
            Figure(
                "calls failed or dropped",
                f"0 of {totals['due']}",
                str(lost(seen.result)),
                within(0, lost(seen.result), 0),
            ),
            Figure(
                "caught up after it was back",
                f"within {LIMIT:g} s",
                "never" if seen.caught_up is None else f"{seen.caught_up:.2f} s",
                within(0, PATIENCE if seen.caught_up is None else seen.caught_up, LIMIT, unit=" s"),
            ),
        ],
        f"{away:g} s without the API under {RATE:g} calls/s, `round_robin`, health checks. Of {REPLICAS}"
        f" replicas two were replaced meanwhile and one was added; {seen.before} of those that came were"
        f" called before it was back. The result tells of {', '.join(f'`{name}`' for name in told)}.",
    )


async def absent(away: float) -> Seen:
    """Take the API away for so many seconds, replace two replicas of three meanwhile and add one."""
    loop = asyncio.get_running_loop()
    async with LocalCluster(REPLICAS) as cluster, load(cluster, rps=RATE, health_check=True) as made:
        await asyncio.sleep(SETTLED)
        end = loop.time() + away
        await cluster.api.stop()
        for one in (await cluster.ready())[:2]:
            await cluster.scale(REPLICAS + 1)
            cluster.terminate(one.name)
        await cluster.scale(REPLICAS + 1)
        await cluster.drained()
        await asyncio.sleep(max(0.0, end - loop.time()))
        back = time.time_ns()
        await cluster.api.start()
        await asyncio.sleep(LIMIT + SETTLED)
        there = await cluster.ready()
        result = await stopped(made)
    first = {
        one.id: (result["started_ns"] + result["backends"][one.id]["first_call_ns"] - back) / SECOND
        for one in there
        if one.id in result["backends"]
    }
    caught_up = max(first.values()) if len(first) == len(there) else None
    new = {one.id for one in there if (one.ready_at or 0) > result["started_ns"]}
    return Seen(result, caught_up, sum(at < 0 for who, at in first.items() if who in new))
