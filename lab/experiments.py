"""The experiments: what is run, what must be seen, and why. Written once for every kind of cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.cluster import Cluster
from lab.replicas import SECOND, Replica

CALLS = 3000
POLL = 1.0  # seconds between look-ups of discovery `poll`
SLACK = 1.0  # seconds that a new replica may take beyond DNS staleness and the poll interval
EVEN = 1.01  # the most of a replica's calls over the mean, while nothing changes; or one call more than that

Json = Mapping[str, Any]


class Load(Protocol):
    """A load generator that has been started."""

    async def began(self) -> None:
        """Return when its first calls fall due."""
        ...

    async def result(self) -> Json:
        """Return its result file's content; raises LabError where it failed."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the number of replicas during the load."""

    at: float
    """When, as a share of the load's length."""
    replicas: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What one experiment showed."""

    result: Json
    replicas: Sequence[Replica]
    """All there were, in order of start, those that left too."""
    staleness: float
    """How long the cluster's DNS lags behind, in seconds."""
    lookups: int | None
    """A look-ups of the service's name; None where they cannot be counted."""

    def calls(self, replica: Replica) -> int:
        """Return the calls that a replica got."""
        backend = self.result["backends"].get(replica.id)
        return backend["calls"] if backend else 0

    @property
    def counts(self) -> list[int]:
        """Return the calls of each replica, in order of start."""
        return [self.calls(replica) for replica in self.replicas]

    @property
    def failed(self) -> int:
        """Return the calls that failed."""
        failed: int = self.result["totals"]["failed"]
        return failed

    @property
    def phases(self) -> Sequence[Json]:
        """Return the phases in which nothing changed, as the summary has them."""
        phases: Sequence[Json] | None = self.result["summary"]["over_time"]["phases"]
        return phases or ()

    @property
    def rule(self) -> str:
        """Return the name of the verdict's first finding."""
        rule: str = self.result["summary"]["verdict"][0]["rule"]
        return rule

    def delay(self, replica: Replica) -> float | None:
        """Return the seconds from a replica's being ready to its first call; None without either."""
        backend = self.result["backends"].get(replica.id)
        if backend is None or replica.ready_at is None:
            return None
        first: int = self.result["started_ns"] + backend["first_call_ns"]
        return (first - replica.ready_at) / SECOND


Check = Callable[[Observation], list[str]]
"""Returns what is otherwise than it should be, a sentence each."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One load on one service, and what must come of it."""

    name: str
    headless: bool
    plan: Json
    """The load generator's plan file, without target and rate."""
    article: str
    """What the article saw, as calls per replica."""
    why: str
    """The reason for what is seen, in a few words."""
    check: Check
    steps: Sequence[Step] = field(default=())
    """Changes of the number of replicas, which is 3 at first; with any the load is open."""
    ttl: int = 30
    """TTL of DNS answers in seconds, where it can be set."""
    calls: int = CALLS
    """How many it makes; all that have steps take the same time, so it sets their rate."""


def _one_replica(seen: Observation) -> list[str]:
    wrong = []
    if sorted(seen.counts)[:-1] != [0] * (len(seen.counts) - 1):
        wrong.append("more than one replica was called")
    if seen.rule != "connection_balanced":
        wrong.append(f"the verdict was {seen.rule}, not connection_balanced")
    return wrong + _none_failed(seen)


def _none_failed(seen: Observation) -> list[str]:
    return [f"{seen.failed} calls failed"] if seen.failed else []


def _apart(most: int) -> Check:
    def check(seen: Observation) -> list[str]:
        apart = max(seen.counts) - min(seen.counts)
        wrong = [f"the counts are {apart} apart, more than {most}"] if apart > most else []
        if seen.rule != "even":
            wrong.append(f"the verdict was {seen.rule}, not even")
        return wrong + _none_failed(seen)

    return check


def _all_used(*rules: str) -> Check:
    def check(seen: Observation) -> list[str]:
        wrong = [f"{replica.name} got no call" for replica in seen.replicas if not seen.calls(replica)]
        if seen.rule not in rules:
            wrong.append(f"the verdict was {seen.rule}, not {' or '.join(rules)}")
        return wrong + _none_failed(seen)

    return check


def _cold(seen: Observation) -> list[str]:
    # how many connect before the queue is gone is chance: 50 ms apart, and the first takes all 3000
    wrong = []
    if sum(seen.counts) != CALLS - seen.failed:
        wrong.append(f"the replicas got {sum(seen.counts)} calls, not {CALLS}")
    if seen.rule not in {"cold_channel", "even"}:
        wrong.append(f"the verdict was {seen.rule}, not cold_channel or even")
    return wrong + _none_failed(seen)


def _latecomers_unused(seen: Observation) -> list[str]:
    late = [replica for replica in seen.replicas if (replica.ready_at or 0) > seen.result["started_ns"]]
    wrong = [f"{replica.name} came later and was called" for replica in late if seen.calls(replica)]
    if not late:
        wrong.append("no replica was added during the load")
    wrong += [
        f"{replica.name} was there from the start and got no call"
        for replica in seen.replicas
        if replica not in late and not seen.calls(replica)
    ]
    if seen.rule != "new_addresses_unused":
        wrong.append(f"the verdict was {seen.rule}, not new_addresses_unused")
    totals = seen.result["totals"]
    if totals["sent"] != totals["ok"] + totals["failed"]:
        wrong.append("calls went uncounted")
    return wrong


def _never_polled(seen: Observation) -> list[str]:
    wrong = _latecomers_unused(seen) + _none_failed(seen)
    # one by the channel when it was made, one by the report after the load
    if seen.lookups is not None and seen.lookups > 2:
        wrong.append(f"the name was looked up {seen.lookups} times, not twice")
    return wrong


def _followed(seen: Observation) -> list[str]:
    return _called_within(seen, seen.staleness + POLL + SLACK)


def _watched(seen: Observation) -> list[str]:
    wrong = _called_within(seen, SLACK)
    numbers = iter([phase["backends"] for phase in seen.phases])
    missing = [number for number in WATCHED if number not in numbers]  # in this order
    if missing:
        wrong.append(f"there was no phase with {missing[0]} replicas in its turn")
    for phase in seen.phases:
        mean = sum(phase["calls"].values()) / phase["backends"]
        if max(phase["calls"].values()) > max(EVEN * mean, mean + 1):
            where = f"from {phase['start_s']:.1f} to {phase['end_s']:.1f} s"
            wrong.append(f"{where} the busiest replica got {phase['peak_to_mean']:.3f} times the mean")
    return wrong


def _called_within(seen: Observation, limit: float) -> list[str]:
    wrong = []
    for replica in seen.replicas:
        delay = seen.delay(replica)
        if delay is None:
            wrong.append(f"{replica.name} got no call")
        elif delay > limit and (replica.ready_at or 0) > seen.result["started_ns"]:
            wrong.append(f"{replica.name} got its first call {delay:.1f} s after it was ready")
    if seen.rule != "replicas_changed":
        wrong.append(f"the verdict was {seen.rule}, not replicas_changed")
    return wrong + _none_failed(seen)


WATCHED = (3, 2, 5, 1, 4)
"""Replicas of the experiment `watch`, one number after the other."""

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        name="clusterip-sequential",
        headless=False,
        plan={"total": CALLS, "concurrency": 1, "lb_policy": "pick_first"},
        article="3000 / 0 / 0",
        why="one connection, and the ClusterIP balances connections",
        check=_one_replica,
    ),
    Experiment(
        name="clusterip-concurrent",
        headless=False,
        plan={"total": CALLS, "concurrency": CALLS, "lb_policy": "round_robin"},
        article="3000 / 0 / 0",
        why="calls at once share the one connection, whatever the policy",
        check=_one_replica,
    ),
    Experiment(
        name="headless-concurrent",
        headless=True,
        plan={"total": CALLS, "concurrency": CALLS, "lb_policy": "round_robin", "cold": True},
        article="871 / 1258 / 871",
        why="a cold channel: the queue goes to whichever connects first",
        check=_cold,
    ),
    Experiment(
        name="headless-concurrent-warm",
        headless=True,
        plan={
            "total": CALLS,
            "concurrency": CALLS,
            "lb_policy": "round_robin",
            "expect_backends": 3,
        },
        article="(not run)",
        why="connected before the first call, round_robin is even",
        check=_apart(2),
    ),
    Experiment(
        name="headless-sequential",
        headless=True,
        plan={"total": CALLS, "concurrency": 1, "lb_policy": "round_robin", "expect_backends": 3},
        article="999 / 1000 / 1001",
        why="round_robin over a connection to each replica",
        check=_apart(2),
    ),
    Experiment(
        name="per-call-connections",
        headless=False,
        plan={"total": CALLS, "concurrency": 1, "connections": "per-call"},
        article="said: 3000 / 0 / 0",
        why="each new connection is balanced anew, so they spread",
        check=_all_used("by_connection"),
    ),
    Experiment(
        name="scale-static",
        headless=True,
        plan={"lb_policy": "round_robin", "discovery": "static", "expect_backends": 3},
        article="one lost, new ones unused, 1 failed",
        why="addresses are looked up once: the new replicas stay unknown",
        check=_latecomers_unused,
        steps=(Step(1 / 3, 2), Step(2 / 3, 5)),
    ),
    Experiment(
        name="scale-discovery",
        headless=True,
        plan={
            "lb_policy": "round_robin",
            "discovery": "poll",
            "poll_interval": f"{POLL:g}s",
            "expect_backends": 3,
        },
        article="512 / 1169 / 1169 / 150, none failed",
        why="the name is looked up every second, and channels follow",
        check=_followed,
        steps=(Step(1 / 4, 2), Step(2 / 4, 3), Step(3 / 4, 2)),
    ),
    Experiment(
        name="watch",
        headless=True,
        plan={
            "lb_policy": "round_robin",
            "discovery": "watch",
            "health_check": True,
            "expect_backends": WATCHED[0],
        },
        article="(not run)",
        why="the Kubernetes API tells of each change, and each phase is even",
        check=_watched,
        steps=tuple(Step(n / len(WATCHED), replicas) for n, replicas in enumerate(WATCHED) if n),
        calls=CALLS // 2,
    ),
    Experiment(
        name="dns-never-polls",
        headless=True,
        plan={"lb_policy": "round_robin", "discovery": "dns", "expect_backends": 3},
        article="said: dns:/// polls",
        why="gRPC looks up again when a connection is lost, not in time",
        check=_never_polled,
        steps=(Step(1 / 4, 5),),
        ttl=1,
    ),
)


def plan_of(experiment: Experiment, rate: float) -> dict[str, Any]:
    """Return the plan file of an experiment; `rate` (calls/s) is of a load with steps and `CALLS` calls."""
    total = experiment.calls
    open_load = {"total": total, "rps": rate * total / CALLS} if experiment.steps else {}
    return {**experiment.plan, **open_load}


async def perform(
    experiment: Experiment,
    cluster: Cluster,
    start: Callable[[str, Mapping[str, Any]], Awaitable[Load]],
    *,
    rate: float,
) -> Observation:
    """Run an experiment on a cluster of 3 ready replicas.

    `start` starts the load generator on a target with a plan. Raises LabError where that or scaling fails.
    """
    before = cluster.lookups(headless=experiment.headless)
    load = await start(cluster.target(headless=experiment.headless), plan_of(experiment, rate))
    await load.began()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for step in experiment.steps:
        await asyncio.sleep(began + step.at * CALLS / rate - loop.time())
        await cluster.scale(step.replicas)
    result = await load.result()
    after = cluster.lookups(headless=experiment.headless)
    return Observation(
        result=result,
        replicas=await cluster.replicas(),
        staleness=cluster.staleness,
        lookups=None if before is None or after is None else after - before,
    )
