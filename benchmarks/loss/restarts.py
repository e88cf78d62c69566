"""Rolling restarts under load: replicas that drain, and clients that heed their health."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.document import Figure, table, within
from benchmarks.loss.load import REPLICAS, Json, load, lost, stopped
from lab.cluster import LocalCluster
from lab.experiments import EVEN

RATE = 600.0  # calls/s
RESTARTS = 8
DRAIN = "2s"


@dataclass(frozen=True)
class Seen:
    """What came of some restarts."""

    result: Json
    replaced: int
    took: float
    """Seconds for all."""


def measure(*, short: bool) -> str:
    """Measure for some 90 s, or 20 s."""
    times = 1 if short else RESTARTS
    seen = asyncio.run(restarted(times, rate=RATE))
    totals, phases = seen.result["totals"], seen.result["summary"]["over_time"]["phases"]
    uneven = [phase for phase in phases if not _even(phase)]
    return table(
        [
            Figure(
                f"{times} rolling restarts: calls failed or dropped",
                f"0 of {totals['due']}",
                str(lost(seen.result)),
                within(0, lost(seen.result), 0),
            ),
            Figure(
                f"of {len(phases)} stable phases, uneven ones",
                f"0: at most {EVEN:g} times the mean, or one call more",
                str(len(uneven)),
                within(0, len(uneven), 0),
            ),
        ],
        f"{seen.replaced} replicas replaced in {seen.took:.0f} s, a new one first and then the oldest gone,"
        f" under {RATE:g} calls/s on {REPLICAS} replicas: `round_robin`, discovery `watch`, health checks, no"
        f" retries. A replica drains for {DRAIN}.",
    )


def _even(phase: Json) -> bool:
    calls = list(phase["calls"].values())
    mean = sum(calls) / phase["backends"]
    return bool(max(calls) <= max(EVEN * mean, mean + 1))


async def restarted(times: int, *, rate: float, drain: str = DRAIN) -> Seen:
    """Replace every replica so many times, as a rolling update with a surge of one does."""
    async with (
        LocalCluster(REPLICAS, server_options={"drain-delay": drain}) as cluster,
        load(cluster, rps=rate, health_check=True) as made,
    ):
        began = time.monotonic()
        for _ in range(times * REPLICAS):
            oldest = (await cluster.ready())[0]
            await cluster.scale(REPLICAS + 1)
            cluster.terminate(oldest.name)
        await cluster.drained()
        took = time.monotonic() - began
        return Seen(await stopped(made), times * REPLICAS, took)
