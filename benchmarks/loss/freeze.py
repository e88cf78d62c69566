"""A replica is frozen (SIGSTOP) under open load: its connections stay, and nothing is answered."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.document import OPEN, Figure, table, within
from benchmarks.loss.load import REPLICAS, Json, load, stopped
from lab.cluster import LocalCluster
from lab.replicas import SECOND

RATE = 150.0  # calls/s
DEADLINE = 1.0  # seconds
LIMIT = 3.0  # seconds within which it must be out of use
SETTLED = 2.0
TIMES = 3  # that each setting is tried
UNNOTICED = 20.0  # seconds without keepalive
QUIET_FOR = 40.0  # seconds
QUIET = 0.05  # calls/s of a load that leaves its connections alone

SETTINGS = (("10s", "2s"), ("1s", "1s"))
"""Keepalive time and timeout."""


@dataclass(frozen=True)
class Seen:
    """What came of one freeze."""

    result: Json
    last: float | None
    """Seconds from SIGSTOP to the last call that was sent to it; None: it was called to the end."""


def measure(*, short: bool) -> str:
    """Measure for some 3 minutes, or 40 s."""
    times, length = (1, 10.0) if short else (TIMES, QUIET_FOR)
    figures = []
    for every, patience in SETTINGS:
        seen = [asyncio.run(frozen(every, patience, 2 * LIMIT)) for _ in range(times)]
        last = [2 * LIMIT if one.last is None else one.last for one in seen]
        figures.append(
            Figure(
                f"every {every}, timeout {patience}: last call to it",
                f"within {LIMIT:g} s",
                f"{min(last):.2f} to {max(last):.2f} s; {_failed(seen)}",
                within(0, max(last), LIMIT, unit=" s"),
            )
        )
    without = asyncio.run(frozen(None, None, UNNOTICED))
    shown = f"still called {UNNOTICED:g} s later" if without.last is None else f"{without.last:.2f} s"
    figures.append(Figure("without keepalive: last call to it", OPEN, f"{shown}; {_failed([without])}", OPEN))
    for every, patience in SETTINGS:
        lost = asyncio.run(_quiet(every, patience, length))
        allowed = every == SETTINGS[0][0]
        figures.append(
            Figure(
                f"every {every}, on quiet connections: times that one was lost",
                "0" if allowed else OPEN,
                f"{lost} in {length:g} s",
                within(0, lost, 0) if allowed else OPEN,
            )
        )
    return table(
        figures,
        f"One of {REPLICAS} replicas is stopped under {RATE:g} calls/s, `round_robin`, discovery `watch`,"
        f" which is not told; each setting {times} times. Calls have a deadline of {DEADLINE:g} s, and those"
        f" sent to the stopped one are the ones that fail. The quiet load makes {QUIET:g} calls/s.",
    )


def _failed(seen: Sequence[Seen]) -> str:
    totals = [one.result["totals"] for one in seen]
    return f"{sum(one['failed'] for one in totals)} of {sum(one['sent'] for one in totals)} calls failed"


async def frozen(
    every: str | None, patience: str | None, wait: float, *, rate: float = RATE, settled: float = SETTLED
) -> Seen:
    """Freeze one replica under keepalive with these times, and let the load go on for so many seconds."""
    pings = {"keepalive_time": every, "keepalive_timeout": patience}
    plan = {key: value for key, value in pings.items() if value is not None}
    async with (
        LocalCluster(REPLICAS) as cluster,
        load(cluster, rps=rate, timeout=f"{DEADLINE:g}s", **plan) as made,
    ):
        await asyncio.sleep(settled)
        cluster.freeze((await cluster.ready())[0].name)
        at = time.time_ns()
        await asyncio.sleep(wait)
        result = await stopped(made)
    last = result["unattributed"]["last_call_ns"]
    assert last is not None, "no call failed"
    after = (result["started_ns"] + last - at) / SECOND
    until = (
        result["started_ns"] + max(one["last_call_ns"] for one in result["backends"].values()) - at
    ) / SECOND
    return Seen(result, None if after > until - 2 * REPLICAS / rate else after)


async def _quiet(every: str, patience: str, wait: float) -> int:
    """Return how many connections are lost to pings where there are hardly any calls."""
    async with LocalCluster(REPLICAS) as cluster:
        plan = {"keepalive_time": every, "keepalive_timeout": patience, "rps": QUIET}
        async with load(cluster, **plan) as made:
            await asyncio.sleep(wait)
            lost: int = (await stopped(made))["evidence"]["connections_lost"]
    return lost
