"""A replica is killed under open load: what was in flight on it fails, and nothing else."""

import asyncio
import math
import time
from dataclasses import dataclass

from benchmarks.document import HOLDS, Figure, table, within
from benchmarks.loss.load import REPLICAS, Json, adds_up, load, metric, slowest, stopped
from lab.cluster import LocalCluster
from lab.replicas import SECOND

RATE = 300.0  # calls/s
DELAY = 0.05  # seconds that a replica takes for a call, so that some are in flight
DEADLINE = 2.0  # seconds
KILLS = 5
SETTLED = 1.5  # seconds before and after a kill


@dataclass(frozen=True)
class Seen:
    """What came of some kills."""

    result: Json
    told: int
    """Calls in flight, as each replica's own gauge said right before it was killed."""
    bound: int
    """These, and those that came to it from when it was asked until it was sent SIGKILL."""


def measure(*, short: bool) -> str:
    """Measure for some 50 s, or 20 s."""
    kills = 1 if short else KILLS
    figures = []
    for discovery in ("watch", "poll"):
        seen = asyncio.run(killed(discovery, kills, rate=RATE))
        totals, late = seen.result["totals"], slowest(seen.result)
        known = adds_up(seen.result)
        figures += [
            Figure(
                f"`{discovery}`: calls failed",
                f"at most the {seen.bound} in flight",
                f"{totals['failed']} of {totals['sent']}",
                within(0, totals["failed"], seen.bound),
            ),
            Figure(
                f"`{discovery}`: calls not accounted for",
                "0",
                "0" if known else "some",
                HOLDS if known else "the counts differ",
            ),
            Figure(
                f"`{discovery}`: slowest call",
                f"deadline, {DEADLINE:g} s",
                f"{late * 1e3:.0f} ms",
                within(0, late, DEADLINE + 0.1, unit=" s"),
            ),
        ]
    return table(
        figures,
        f"{kills} times SIGKILL for one of {REPLICAS} replicas under {RATE:g} calls/s, without health checks"
        f" and retries; a replica takes {DELAY * 1e3:g} ms for a call. What was in flight is the sum of the"
        " replicas' own gauges, asked right before, and of the calls that came to them from then until they"
        " were sent it.",
    )


async def killed(discovery: str, kills: int, *, rate: float, settled: float = SETTLED) -> Seen:
    """Kill so many replicas, each replaced before the next; `settled` seconds before and after."""
    told = bound = 0
    polling = {"poll_interval": "500ms"} if discovery == "poll" else {}
    async with LocalCluster(REPLICAS, server_options={"delay": f"{DELAY:g}s"}) as cluster:
        plan = {"rps": rate, "timeout": f"{DEADLINE:g}s", "discovery": discovery, **polling}
        async with load(cluster, **plan) as made:
            for _ in range(kills):
                await asyncio.sleep(settled)
                victim = (await cluster.ready())[0]
                asked = time.time_ns()
                in_flight = int(await asyncio.to_thread(metric, victim, "server_calls_in_flight"))
                killing = asyncio.create_task(cluster.kill(victim.name))
                await asyncio.sleep(0)  # its first step sends the signal
                gone = time.time_ns()
                await killing
                told += in_flight
                bound += in_flight + math.ceil(rate / REPLICAS * (gone - asked) / SECOND) + 1
                await cluster.scale(REPLICAS)
            await asyncio.sleep(settled)
            return Seen(await stopped(made), told, bound)
