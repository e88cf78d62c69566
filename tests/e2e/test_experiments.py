"""The experiments, as the lab runs them, on Kubernetes. What must be seen stands in lab/experiments.py."""

import pytest

from lab.experiments import EXPERIMENTS, Experiment, perform
from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import Release
from tests.e2e.load import JobLoad

RATE = 200.0  # calls/s of loads during which replicas come and go
RATES = {"watch": 50.0}  # instead: four changes take longer, as pods do


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda one: one.name)
async def test_an_experiment_comes_out_as_on_loopback(
    experiment: Experiment, release: Release, other: Release
):
    async with KubernetesCluster(release) as cluster:
        seen = await perform(
            experiment,
            cluster,
            lambda target, plan: JobLoad.start(other, target, plan),
            rate=RATES.get(experiment.name, RATE),
        )
    start = seen.result["started_ns"]
    print(f"{experiment.name}: {' / '.join(map(str, seen.counts))}, {seen.failed} failed, {seen.rule}")
    for replica in seen.replicas:
        ready = ((replica.ready_at or 0) - start) / 1e9
        delay = seen.delay(replica)
        print(f"  {replica.name} ready at {ready:.2f} s, first call {delay and round(delay, 2)} s later")
    for phase in seen.phases:
        print(f"  {phase}")
    assert experiment.check(seen) == []
    assert seen.result["totals"]["due"] == experiment.calls
