"""3, 2, 5, 1, 4 replicas under load with discovery `watch`: what is lost, and how even each phase is."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.document import HOLDS, Figure, table, within
from lab.experiments import CALLS, EXPERIMENTS, WATCHED, Experiment, Observation, perform
from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import Release
from tests.e2e.load import JobLoad

RATE = 500  # calls/s
LENGTH = 120  # seconds
EVEN = 1.01  # times the mean


def measure(namespace: str, *, short: bool) -> str:
    """Return the table; raises LabError where the load or the scaling failed."""
    length = LENGTH // 4 if short else LENGTH
    (watch,) = (one for one in EXPERIMENTS if one.name == "watch")
    seen = asyncio.run(_seen(replace(watch, calls=RATE * length), length, namespace))
    totals, phases = seen.result["totals"], seen.phases
    lost = totals["failed"] + totals["dropped"]
    rows = [Figure("calls failed or dropped", f"0 of {totals['due']}", f"{lost}", within(0, lost, 0))]
    numbers = [phase["backends"] for phase in phases]
    missing = [number for number in WATCHED if number not in numbers]
    rows.append(
        Figure(
            "phases in which nothing changed",
            " -> ".join(map(str, WATCHED)) + " replicas",
            " -> ".join(map(str, numbers)),
            HOLDS if not missing else f"none with {missing[0]}",
        )
    )
    worst = max(phases, key=lambda phase: float(phase["peak_to_mean"]))
    rows.append(
        Figure(
            "calls of the busiest replica, in the least even phase",
            f"at most {EVEN:g} times the mean",
            f"{worst['peak_to_mean']:.4f} times, with {worst['backends']} replicas",
            within(1, worst["peak_to_mean"], EVEN),
        )
    )
    above = max(_above(seen.result, phase) for phase in phases)
    interval = seen.result["timeline"]["interval_ns"] / 1e9
    rows.append(
        Figure(
            f"the same in each interval of {interval:g} s of a phase, by the time of sending",
            "at most one call above the mean",
            f"at most {above:.2f} above",
            within(0, above, 1),
        )
    )
    told = "; ".join(
        f"{phase['backends']} from {phase['start_s']:.1f} to {phase['end_s']:.1f} s" for phase in phases
    )
    note = (
        f"{RATE} calls/s for {length} s, `round_robin`, discovery `watch`, health checks, no retries. Phases"
        f" begin an interval after the last change and end 0.25 s before the next: {told}."
    )
    return table(rows, note)


async def _seen(experiment: Experiment, length: int, namespace: str) -> Observation:
    server, client = Release("scaled", namespace), Release("load-scaled", namespace)
    try:
        async with KubernetesCluster(server) as cluster:
            return await perform(
                experiment,
                cluster,
                lambda target, plan: JobLoad.start(client, target, plan),
                rate=CALLS / length,
            )
    finally:
        for release in (client, server):
            await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")


def _above(result: Mapping[str, Any], phase: Mapping[str, Any]) -> float:
    """Return by how many calls the busiest replica was above the mean in any interval of a phase."""
    timeline = result["timeline"]
    begin = (timeline["start_ns"] - result["started_ns"]) / 1e9
    length = timeline["interval_ns"] / 1e9
    first = max(0, round((phase["start_s"] - begin) / length))
    last = int((phase["end_s"] - begin) / length + 1e-6)
    rows: list[list[int]] = [timeline["backends"][name][first:last] for name in phase["calls"]]
    replicas: int = phase["backends"]
    above = (max(column) - sum(column) / replicas for column in zip(*rows, strict=True))
    return float(max(above))
