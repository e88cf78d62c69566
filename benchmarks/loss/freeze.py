"""A replica is frozen (SIGSTOP) under open load: its connections stay, and nothing is answered."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.accuracy.document import OPEN, Figure, table, within
from benchmarks.loss.load import REPLICAS, Json, load, stopped
from lab.cluster import LocalCluster
from lab.replicas import SECOND

RATE = 150.0  # calls/s
DEADLINE = 1.0  # seconds
LIMIT = 3.0  # seconds within which it must be out of use
SETTLED = 2.0
QUIET = 0.05  # calls/s of a load that leaves its connections alone

SETTINGS: tuple[tuple[str | None, str | None, float | None], ...] = (
    ("1s", "1s", LIMIT),
    ("10s", "2s", None),
    (None, None, None),
)
"""Keepalive time and timeout, and the limit in seconds."""


@dataclass(frozen=True)
class Seen:
    """What came of one freeze."""

    result: Json
    last: float | None
    """Seconds from SIGSTOP to the last call that was sent to it; None: it was called to the end."""


def measure(*, short: bool) -> str:
    """Measure for some 2 minutes, or 30 s."""
    figures = []
    for every, patience, limit in SETTINGS[:1] if short else SETTINGS:
        wait = 5.0 if limit else 20.0
        seen = asyncio.run(frozen(every, patience, wait))
        name = "without keepalive" if every is None else f"every {every}, timeout {patience}"
        shown = f"still called {wait:g} s later" if seen.last is None else f"{seen.last:.2f} s"
        totals = seen.result["totals"]
        verdict = OPEN if limit is None else within(0, seen.last or wait, limit, unit=" s")
        figures.append(
            Figure(
                f"{name}: last call to it",
                "(no limit)" if limit is None else f"within {limit:g} s",
                f"{shown}; {totals['failed']} of {totals['sent']} calls failed",
                verdict,
            )
        )
    lost = asyncio.run(_quiet("1s", "1s", 10.0 if short else 40.0))
    figures.append(
        Figure(
            "the same pings on quiet connections: lost, to our server",
            "(no limit)",
            f"{lost} of {REPLICAS} in {10 if short else 40} s",
            OPEN,
        )
    )
    return table(
        figures,
        f"One of {REPLICAS} replicas is stopped under {RATE:g} calls/s, `round_robin`, discovery `watch`,"
        f" which is not told; calls have a deadline of {DEADLINE:g} s, and those sent to the stopped one are"
        f" the ones that fail. The quiet load makes {QUIET:g} calls/s.",
    )


async def frozen(every: str | None, patience: str | None, wait: float, rate: float = RATE) -> Seen:
    """Freeze one replica under keepalive with these times, and let the load go on for so many seconds."""
    pings = {"keepalive_time": every, "keepalive_timeout": patience}
    plan = {key: value for key, value in pings.items() if value is not None}
    async with (
        LocalCluster(REPLICAS) as cluster,
        load(cluster, rps=rate, timeout=f"{DEADLINE:g}s", **plan) as made,
    ):
        await asyncio.sleep(SETTLED)
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
