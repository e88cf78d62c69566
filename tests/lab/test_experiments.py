"""The experiments' checks can fail: each must refuse what its experiment must not show."""

from collections.abc import Sequence
from typing import Any

import pytest

from lab.experiments import EXPERIMENTS, Observation, plan_of
from lab.replicas import SECOND, Replica

START = 1_000 * SECOND
CHECKS = {experiment.name: experiment.check for experiment in EXPERIMENTS}


def observe(
    counts: Sequence[int],
    rule: str,
    *,
    failed: int = 0,
    late: int = 0,
    delay: float = 0.5,
    lookups: int | None = 2,
    phases: Sequence[Sequence[int]] | None = None,
) -> Observation:
    """Return what would be seen of these counts, the last `late` replicas being ready 1 s into the load.

    `phases` are calls per replica while nothing changed; 0: known and not called.
    """
    even = [
        {
            "start_s": 3.0 * number,
            "end_s": 3.0 * number + 2,
            "backends": len(calls),
            "calls": {str(one): count for one, count in enumerate(calls) if count},
            "peak_to_mean": max(calls) * len(calls) / sum(calls),
        }
        for number, calls in enumerate(phases or ())
    ]
    replicas, backends = [], {}
    for number, count in enumerate(counts):
        is_late = number >= len(counts) - late
        ready = START + SECOND if is_late else START - SECOND
        replicas.append(
            Replica(f"server-{number + 1}", f"127.0.0.{number}", 1, id=str(number), ready_at=ready)
        )
        if count:
            first = SECOND + round(delay * SECOND) if is_late else 0
            backends[str(number)] = {"calls": count, "first_call_ns": first}
    sent = sum(counts) + failed
    result: dict[str, Any] = {
        "started_ns": START,
        "totals": {"sent": sent, "ok": sent - failed, "failed": failed},
        "backends": backends,
        "summary": {
            "verdict": [{"rule": rule}],
            "over_time": {"phases": None if phases is None else even},
        },
    }
    return Observation(result, replicas, staleness=0.0, lookups=lookups)


# the last one was parted: a connection was made anew in it
PHASES = ([100, 99, 99], [180, 180], [38, 38, 39, 38, 38], [330], [20, 20, 20, 21], [330, 330, 330, 333])


def watched(*phases: Sequence[int], **other: Any) -> Observation:
    return observe([750, 300, 100, 50], "replicas_changed", late=1, phases=phases, **other)


AS_EXPECTED = {
    "clusterip-sequential": observe([0, 3000, 0], "connection_balanced"),
    "clusterip-concurrent": observe([3000, 0, 0], "connection_balanced"),
    "headless-concurrent": observe([871, 1258, 871], "cold_channel"),
    "headless-concurrent-warm": observe([1000, 1000, 1000], "even"),
    "headless-sequential": observe([999, 1000, 1001], "even"),
    "per-call-connections": observe([990, 1010, 1000], "by_connection"),
    "scale-static": observe([1250, 1250, 500, 0, 0], "new_addresses_unused", failed=1, late=2),
    "scale-discovery": observe([1200, 1200, 300, 300], "replicas_changed", late=1),
    "watch": observe([750, 300, 100, 50], "replicas_changed", late=1, phases=PHASES),
    "dns-never-polls": observe([1000, 1000, 1000, 0, 0], "new_addresses_unused", late=2),
}

OTHERWISE = [
    ("clusterip-sequential", observe([1, 2999, 0], "connection_balanced"), "more than one replica"),
    ("clusterip-concurrent", observe([3000, 0, 0], "unexplained"), "the verdict was unexplained"),
    ("clusterip-concurrent", observe([2999, 0, 0], "connection_balanced", failed=1), "1 calls failed"),
    ("headless-concurrent", observe([1500, 1500, 0], "backends_unreached"), "verdict was backends_unreached"),
    ("headless-concurrent", observe([1500, 1000, 499], "cold_channel"), "got 2999 calls"),
    ("headless-concurrent-warm", observe([1000, 1000, 1000], "unexplained"), "not even"),
    ("headless-sequential", observe([998, 1001, 1001], "even"), "3 apart"),
    ("per-call-connections", observe([3000, 0, 0], "by_connection"), "server-2 got no call"),
    ("scale-static", observe([1250, 1250, 499, 1, 0], "new_addresses_unused", late=2), "server-4 came later"),
    ("scale-static", observe([1500, 1500, 0], "new_addresses_unused"), "no replica was added"),
    ("scale-discovery", observe([1500, 1200, 300, 0], "replicas_changed", late=1), "server-4 got no call"),
    ("scale-discovery", observe([1500, 1200, 299, 1], "replicas_changed", late=1, delay=2.1), "2.1 s after"),
    ("scale-discovery", observe([1, 1, 1, 1], "replicas_changed", late=1, failed=2), "2 calls failed"),
    ("watch", watched(*PHASES[:4]), "no phase with 4 replicas in its turn"),
    ("watch", watched(PHASES[1], PHASES[0], *PHASES[2:]), "no phase with 2 replicas in its turn"),
    ("watch", watched(*PHASES, [41, 40, 40, 38]), "from 18.0 to 20.0 s the busiest replica got 1.031 times"),
    ("watch", watched(*PHASES, [340, 330, 330, 330]), "the busiest replica got 1.023 times"),
    ("watch", watched(*PHASES, [20, 20, 20, 0]), "the busiest replica got 1.333 times"),
    ("watch", watched(*PHASES, failed=1), "1 calls failed"),
    ("watch", watched(*PHASES, delay=1.2), "1.2 s after"),
    (
        "dns-never-polls",
        observe([1000, 1000, 1000, 0, 0], "new_addresses_unused", late=2, lookups=3),
        "looked up 3 times",
    ),
]


def test_every_experiment_is_covered() -> None:
    assert set(AS_EXPECTED) == set(CHECKS) == {name for name, _, _ in OTHERWISE}


@pytest.mark.parametrize("name", AS_EXPECTED)
def test_what_must_be_seen_passes(name: str) -> None:
    assert CHECKS[name](AS_EXPECTED[name]) == []


@pytest.mark.parametrize(("name", "seen", "wrong"), OTHERWISE)
def test_anything_else_does_not(name: str, seen: Observation, wrong: str) -> None:
    assert any(wrong in sentence for sentence in CHECKS[name](seen))


def test_only_loads_with_steps_are_paced() -> None:
    for experiment in EXPERIMENTS:
        assert ("rps" in plan_of(experiment, 200)) == bool(experiment.steps)
