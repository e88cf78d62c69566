"""The pacer that a plan asks for, and the rate that it aims at."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import goal, load, stages
from loadgen.errors import PlanError
from loadgen.goal import Goal
from loadgen.load import in_flight_of, pacer_of, settled
from loadgen.plan import Plan
from loadgen.shard import WHOLE, Shard

SECOND = 1_000_000_000
END = 10**14


def plan(**options: Any) -> Plan:
    if "stages" in options:
        options["stages"] = stages.parse(options["stages"])
    return Plan(target="x:1", **options)


def counts(asked: Plan, shard: Shard = WHOLE) -> tuple[int, int]:
    """Return how many calls fall due in the warm-up and how many after it."""
    pacer, found, last = pacer_of(asked, shard), [0, 0], False
    while not last:
        due = pacer.due(END, 10**9)
        found[0 if due.warmup else 1] += len(due.at)
        last = due.last
    return found[0], found[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rps": 99.5}, "Constant{99.5/s}"),
        ({"rps": 99.5, "arrival": "constant"}, "Constant{99.5/s}"),
        ({"rps": 99.5, "arrival": "poisson", "seed": 7}, "Poisson{99.5/s, seed 7}"),
        ({"stages": "30s:100,1m@5"}, "Stages{30s:100, 1m@5}"),
        ({"stages": "30s:1", "arrival": "poisson", "seed": 7}, "Poisson{30s:1, seed 7}"),
        ({"stages": "30s:1", "warmup": 10 * SECOND}, "Stages{30s:1} after 10 s of warm-up"),
        ({"concurrency": 3, "warmup": SECOND}, "Closed{3 at a time} after 1 s of warm-up"),
    ],
)
def test_a_pacer_tells_the_load(options: dict[str, Any], words: str) -> None:
    assert str(pacer_of(plan(**options))) == words


@pytest.mark.parametrize(
    ("options", "warmup", "measured"),
    [
        ({"rps": 100.0, "duration": 60 * SECOND}, 0, 6000),
        ({"rps": 100.0, "duration": 60 * SECOND, "warmup": 10 * SECOND}, 1000, 6000),
        ({"rps": 99.9, "total": 77, "warmup": SECOND}, 100, 77),
        ({"stages": "10s:100,10s:0"}, 0, 1000),
        ({"stages": "10s:100,10s:0", "warmup": 10 * SECOND}, 500, 500),
        ({"stages": "10s:100,30s:100", "warmup": 10 * SECOND}, 500, 3000),
        ({"stages": "10s:100,10s@0,10s@5", "warmup": 15 * SECOND}, 500, 50),
    ],
)
@pytest.mark.parametrize("count", [1, 3, 7])
def test_so_many_calls_fall_due_before_and_after_the_warm_up(
    options: dict[str, Any], warmup: int, measured: int, count: int
) -> None:
    found = [counts(plan(**options), Shard(index, count)) for index in range(count)]
    assert (sum(one for one, _ in found), sum(one for _, one in found)) == (warmup, measured)


@given(st.integers(0, 2**32), st.floats(1, 500), st.integers(1, 20))
def test_the_load_of_a_seed_is_the_same_with_and_without_a_warm_up(
    seed: int, rate: float, total: int
) -> None:
    asked = {"rps": rate, "arrival": "poisson", "seed": seed, "total": total}
    cold, warm = pacer_of(plan(**asked)), pacer_of(plan(**asked, warmup=SECOND))
    while (due := warm.due(END, 10**9)).warmup:
        pass
    assert due.at == cold.due(END, 10**9).at


def test_a_random_seed_is_in_the_plan() -> None:
    asked = plan(rps=5.0, arrival="poisson")
    one, other = settled(asked), settled(asked)
    assert one.seed is not None
    assert one.to_json()["seed"] == one.seed
    assert one.seed != other.seed
    assert settled(one) is one
    assert settled(plan(rps=5.0)).seed is None
    assert settled(plan(metadata=(("a", "{{number}}"),))).seed is None
    assert settled(plan(metadata=(("a", "{{uuid}}"),))).seed is not None


def test_data_in_a_file_may_need_a_seed(tmp_path: Path) -> None:
    file = tmp_path / "data"
    for text, random in (('{"a": "{{ randint 1 2 }}"}', True), ('{"a": "{{number}}"}', False)):
        file.write_text(text)
        for options in ({"data": f"@{file}"}, {"data_file": str(file)}):
            asked = plan(call="a.B/C", **options)
            assert (settled(asked).seed is not None) is random
            assert settled(replace(asked, seed=3)).seed == 3
            if random:
                with pytest.raises(PlanError, match="data or metadata with several shards needs --seed"):
                    settled(asked, Shard(0, 2))


def test_shards_cannot_each_draw_a_seed() -> None:
    with pytest.raises(PlanError, match="with several shards needs --seed, the same one for all"):
        settled(plan(rps=5.0, arrival="poisson"), Shard(0, 2))


def test_stages_that_are_over_after_the_warm_up() -> None:
    with pytest.raises(PlanError, match="make no call after --warmup"):
        pacer_of(plan(stages="10s:100,10s@0", warmup=10 * SECOND))
    with pytest.raises(PlanError, match=r"fewer calls than shards \(9\)"):
        pacer_of(plan(stages="1s@5"), Shard(8, 9))


def test_room_is_shared() -> None:
    assert in_flight_of(plan(rps=5.0)) == load.MAX_IN_FLIGHT
    assert in_flight_of(plan(stages="1s@5", max_in_flight=5), Shard(1, 2)) == 2
    assert in_flight_of(plan(concurrency=5, warmup=1), Shard(0, 2)) == 3
    assert in_flight_of(plan()) == 1


@pytest.mark.parametrize(
    ("options", "rate", "length"),
    [
        ({}, None, None),
        ({"duration": SECOND}, None, None),
        ({"rps": 50.0}, 50.0, 4 * SECOND),
        ({"rps": 50.0, "total": 100}, 50.0, 2 * SECOND),
        ({"rps": 50.0, "duration": SECOND, "total": 100}, 50.0, SECOND),
        ({"rps": 50.0, "duration": 9 * SECOND, "warmup": SECOND}, 50.0, 9 * SECOND),
        ({"rps": 50.0, "total": 100, "arrival": "poisson"}, 50.0, None),
        ({"rps": 50.0, "duration": 9 * SECOND, "arrival": "poisson"}, 50.0, 9 * SECOND),
        ({"stages": "10s:100"}, 50.0, 10 * SECOND),
        ({"stages": "10s:100,10s:0", "warmup": 5 * SECOND}, 875 / 15, 15 * SECOND),
    ],
)
def test_what_a_plan_aims_at(options: dict[str, Any], rate: float | None, length: int | None) -> None:
    found = goal.of(plan(**options).to_json())
    assert found.length == length
    assert found.rate == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    "content",
    [
        {"rps": "fast"},
        {"rps": 0, "total": 5},
        {"rps": math.inf},
        {"rps": 5, "duration": 7},
        {"rps": 5, "duration": "soon"},
        {"rps": 5, "total": "many"},
        {"stages": 5},
        {"stages": "soon:5"},
        {"stages": "5s:5", "warmup": "9s"},
        {"stages": "5s:5", "warmup": None},
    ],
)
def test_a_plan_that_cannot_be_read_aims_at_nothing(content: dict[str, Any]) -> None:
    assert goal.of(content) in (Goal(None, None), Goal(math.inf, 0))
