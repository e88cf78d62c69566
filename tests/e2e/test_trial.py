"""Trials: load makes memory, and the replicas that are added for it must get calls."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import pytest

from lab.replicas import SECOND, Replica
from tests.e2e.cluster import STALENESS
from tests.e2e.kube import CommandError, Release, Report, call, lacks_keda, preset
from tests.e2e.pods import Servers

TRIALS = {
    "keda-headless": ("keda-memory", "headless=true"),
    "keda-clusterip": ("keda-memory", "headless=false"),
    "hpa-headless": ("hpa-memory", "headless=true"),
}
OBSERVED = [name for name, (values, _) in TRIALS.items() if values == "keda-memory"]
"""Those whose preset observes the replicas."""
HEADLESS = [name for name in TRIALS if name.endswith("headless")]
DURATION = 180  # seconds
PATIENCE = DURATION + 150.0
EVERY = 5.0  # seconds between looks at the memory
REQUEST = 256 * 2**20  # bytes, as the presets have it
TARGET = 0.8 * REQUEST
HOLD = 30  # seconds that a call's memory is held
LAG = 20  # seconds that the metrics may be behind: they are taken every 15 s
POLL = 1.0
SLACK = 1.0
TOLD = 3.0  # seconds between what two watches of a pod, and its condition, say of when it was ready
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

pytestmark = [pytest.mark.trial, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Reading:
    """The memory of a pod, in bytes."""

    pod: str
    at: int
    memory: int


@dataclass(frozen=True)
class Trial:
    """What was seen of one."""

    report: Report
    replicas: list[Replica]
    readings: list[Reading]

    @property
    def start(self) -> int:
        start: int = self.report.result["started_ns"]
        return start

    @property
    def end(self) -> int:
        duration: int = self.report.result["duration_ns"]
        return self.start + duration

    @property
    def added(self) -> list[Replica]:
        """Those that became ready while calls were made."""
        return [one for one in self.replicas if self.start < (one.ready_at or 0) < self.end]

    def calls(self, replica: Replica) -> int:
        backend = self.report.result["backends"].get(replica.id)
        return backend["calls"] if backend else 0

    def delay(self, replica: Replica) -> float | None:
        """Return the seconds from ready to the first call; None where there was no call."""
        backend = self.report.result["backends"].get(replica.id)
        if backend is None or replica.ready_at is None:
            return None
        first: int = self.start + backend["first_call_ns"]
        return (first - replica.ready_at) / SECOND

    @property
    def last(self) -> dict[str, Reading]:
        """The last reading of each pod before the load ended."""
        return {one.pod: one for one in self.readings if one.at <= self.end}

    @property
    def settled(self) -> list[int]:
        """The memory at the load's end of replicas that have given back what their first calls took."""
        old = (HOLD + LAG) * SECOND
        ready = {one.name: one.ready_at or self.end for one in self.replicas}
        return [one.memory for one in self.last.values() if one.at - ready[one.pod] >= old]

    def __str__(self) -> str:
        rows = ["replica              memory   calls   ready at   first call at   difference"]
        for one in self.replicas:
            reading, delay = self.last.get(one.name), self.delay(one)
            memory = f"{reading.memory / 2**20:.0f}Mi" if reading else "-"
            ready = (one.ready_at - self.start) / SECOND if one.ready_at else float("nan")
            first, apart = ("-", "-") if delay is None else (f"{ready + delay:.2f} s", f"{delay:.2f} s")
            rows.append(
                f"{one.name[-20:]} {memory:>6} {self.calls(one):7} {ready:8.2f} s {first:>15} {apart:>12}"
            )
        return "\n".join(rows)


def memory_of(release: Release) -> Iterator[Reading]:
    selector = f"app.kubernetes.io/instance%3D{release.name},app.kubernetes.io/component%3Dserver"
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{release.namespace}/pods?labelSelector={selector}"
    for pod in json.loads(call("kubectl", "get", "--raw", path))["items"]:
        at = datetime.fromisoformat(pod["timestamp"]).timestamp()
        usage = pod["containers"][0]["usage"]["memory"]
        memory = int(usage[:-2]) * UNITS[usage[-2:]] if usage[-2:] in UNITS else int(usage)
        yield Reading(pod["metadata"]["name"], round(at) * SECOND, memory)


async def sample(release: Release, readings: list[Reading]) -> None:
    while True:
        with suppress(CommandError):  # metrics-server may be busy
            readings += await asyncio.to_thread(lambda: list(memory_of(release)))
        await asyncio.sleep(EVERY)


async def run(release: Release, values: str, setting: str) -> Trial:
    settings = (*preset(values), "--set", f"{setting},loadgen.config.duration={DURATION}s")
    # the servers first: KEDA's webhook may not have seen a Deployment that comes with its ScaledObject
    servers = ("--set", "autoscaling.mode=none,replicaCount=1,loadgen.enabled=false")
    readings: list[Reading] = []
    try:
        async with Servers(release) as pods:
            await asyncio.to_thread(release.install, *settings, *servers)
            await asyncio.to_thread(release.upgrade, *settings)
            sampling = asyncio.create_task(sample(release, readings))
            try:
                report = await asyncio.to_thread(release.report, PATIENCE)
            finally:
                sampling.cancel()
            return Trial(report, list(await pods.replicas()), readings)
    finally:
        release.helm("uninstall", "--ignore-not-found")


@pytest.fixture(scope="module")
def trials(namespace: str) -> dict[str, Trial | BaseException]:
    """All at once, as each takes minutes; those for KEDA only where it is."""

    async def run_all(names: list[str]) -> list[Trial | BaseException]:
        releases = {name: Release(f"{name}-{uuid4().hex[:4]}", namespace) for name in names}
        return await asyncio.gather(
            *(run(releases[name], *TRIALS[name]) for name in names), return_exceptions=True
        )

    without_keda = lacks_keda() is not None
    names = [name for name in TRIALS if not (without_keda and name.startswith("keda"))]
    start = time.monotonic()
    seen = dict(zip(names, asyncio.run(run_all(names)), strict=True))
    for name, trial in seen.items():
        print(f"{name}, after {time.monotonic() - start:.0f} s in all\n{trial}")
    return seen


def trial_of(request: pytest.FixtureRequest, name: str) -> Trial:
    if name.startswith("keda"):
        request.getfixturevalue("keda")
    trial = request.getfixturevalue("trials")[name]
    if isinstance(trial, BaseException):
        raise trial
    return trial


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    return trial_of(request, request.param)


@pytest.fixture
def clusterip(request: pytest.FixtureRequest) -> Trial:
    return trial_of(request, "keda-clusterip")


each = pytest.mark.parametrize("trial", TRIALS, indirect=True)
each_observed = pytest.mark.parametrize("trial", OBSERVED, indirect=True)
each_headless = pytest.mark.parametrize("trial", HEADLESS, indirect=True)


@each
def test_the_autoscaler_adds_replicas_and_no_call_is_lost(trial: Trial):
    assert trial.report.succeeded, trial.report.log
    totals = trial.report.result["totals"]
    assert (totals["sent"], totals["failed"], totals["dropped"]) == (100 * DURATION, 0, 0)
    assert len(trial.added) >= 2


@each
def test_no_replica_is_killed_for_its_memory(trial: Trial):
    pods = trial.report.result["replicas"]
    assert len(pods) == len(trial.replicas)
    assert [one for one in pods if one["restarts"] or one["oom_killed"]] == []


@each_headless
def test_an_added_replica_is_called_as_soon_as_is_promised(trial: Trial):
    promised = STALENESS + POLL + SLACK
    delays = {one.name: trial.delay(one) for one in trial.added}
    assert delays
    assert {name: delay for name, delay in delays.items() if delay is None or delay > promised} == {}


@each_headless
def test_memory_is_spread_and_settles_near_the_target(trial: Trial):
    assert len(trial.settled) >= 2
    assert max(trial.settled) / min(trial.settled) <= 1.25
    memory = [one.memory for one in trial.last.values()]
    assert sum(memory) / len(memory) <= 1.1 * TARGET


def test_behind_a_cluster_ip_one_replica_takes_all_and_the_added_ones_idle(clusterip: Trial):
    assert [one.name for one in clusterip.added if clusterip.calls(one)] == []
    (hot,) = [one for one in clusterip.replicas if clusterip.calls(one)]
    assert clusterip.calls(hot) == 100 * DURATION
    assert clusterip.last[hot.name].memory >= 2 * REQUEST


def test_the_verdict_names_replicas_that_idle_behind_a_mean(clusterip: Trial):
    verdict = clusterip.report.result["summary"]["verdict"]
    assert any(one["rule"] == "idle_replicas" and "mean" in one["text"] for one in verdict), verdict


# What the load generator itself observed


@each_observed
def test_the_result_has_the_scale_up_on_its_time_line(trial: Trial):
    observed, derived = trial.report.result["observed"], trial.report.result["summary"]["observed"]
    assert observed["autoscaler"].startswith("keda-hpa-")
    wanted = [number for _, _, number in observed["wanted"]]
    assert wanted[0] == 1
    assert max(wanted) >= 3
    added = {one.name: one for one in trial.added}
    assert {name for change in derived["changes"] for name in change["came"]} == added.keys()
    late = {
        name: (observed["pods"][name]["ready"][0][0] - (one.ready_at or 0)) / SECOND
        for name, one in added.items()
    }
    assert {name: apart for name, apart in late.items() if abs(apart) > TOLD} == {}
    assert [one for one in trial.report.result["events"] if one["name"] == "observe.failed"] == []
    assert observed["metrics"]["memory"]["target"] == 80


@each_observed
def test_the_memory_observed_is_what_the_metrics_api_says(trial: Trial):
    told = {(one.pod, one.at): one.memory for one in trial.readings if trial.start <= one.at <= trial.end}
    pods = trial.report.result["observed"]["pods"]
    seen = {(name, at): memory for name, pod in pods.items() for at, memory in pod["memory"]}
    both = told.keys() & seen.keys()
    assert len(both) >= 0.8 * len(told)
    assert {key: seen[key] for key in both} == {key: told[key] for key in both}
    assert {pod["request_bytes"] for pod in pods.values()} == {REQUEST}


@each_observed
def test_calls_are_even_again_only_where_the_client_finds_replicas(trial: Trial):
    derived = trial.report.result["summary"]["observed"]
    headless = "headless" in trial.report.result["plan"]["target"]
    after = [change["even_after_s"] for change in derived["changes"]]
    promised = STALENESS + POLL + SLACK
    if headless:
        assert derived["idle"] == []
        assert after[-1] is not None
        assert after[-1] <= promised + 1  # intervals are a second long
    else:
        assert set(derived["idle"]) == {one.name for one in trial.added}
        assert set(after) == {None}
