"""What is observed: how it is recorded in bounded memory, merged and written."""

import json
from dataclasses import replace

import fastjsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import observedjson, resultjson
from loadgen.course import FINEST, READINGS, STEPS, Course, Memory
from loadgen.observed import Gauge, Observed, Pod, Step, at, highest, merge, thinned

SCHEMA = resultjson.schema()
is_valid = fastjsonschema.compile(
    {**SCHEMA["properties"]["observed"], "definitions": SCHEMA["definitions"]}, use_default=False
)
times = st.integers(0, 40)
none_or_few = st.none() | st.integers(0, 3)


@st.composite
def steps(draw: st.DrawFn, most: int = 4) -> tuple[Step, ...]:
    cuts = sorted(draw(st.sets(times, max_size=2 * most)))
    values = draw(st.lists(st.none() | st.integers(1, most), min_size=len(cuts), max_size=len(cuts)))
    made = zip(cuts, cuts[1:], values, strict=False)
    return highest(((begin, end, value) for begin, end, value in made if value is not None), ())


readings = st.lists(st.tuples(times, st.integers(1, 5)), max_size=6)
pods = st.builds(
    Pod,
    ip=st.sampled_from([None, "10.0.0.1", "10.0.0.2"]),
    request=none_or_few,
    limit=none_or_few,
    first_seen=times,
    ready=steps(1),
    terminating=none_or_few,
    gone=none_or_few,
    restarts=st.integers(0, 3),
    oom_killed=st.booleans(),
)


@st.composite
def seen(draw: st.DrawFn) -> Observed:
    interval = draw(st.sampled_from([5, 10, 20]))
    found = draw(st.dictionaries(st.sampled_from("abc"), st.tuples(pods, readings), max_size=3))
    gauges = st.builds(Gauge, st.sampled_from(["%", ""]), st.integers(1, 2), steps())
    return Observed(
        service="server.default",
        workload=draw(st.sampled_from([None, "Deployment/a", "Deployment/b"])),
        autoscaler=draw(st.sampled_from([None, "a", "b"])),
        interval=interval,
        seen=draw(steps(1)),
        wanted=draw(steps()),
        gauges=draw(st.dictionaries(st.sampled_from(["memory", "cpu"]), gauges)),
        pods={name: replace(pod, memory=thinned(some, interval)) for name, (pod, some) in found.items()},
        pods_left_out=draw(st.integers(0, 2)),
    )


@settings(max_examples=30)
@given(seen(), seen(), seen())
def test_merging_does_not_depend_on_order_or_grouping(one: Observed, two: Observed, three: Observed) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert merge(one, two) == merge(two, one)
    both = merge(one, two)
    assert merge(both, two) == merge(both, both) == both


@given(steps(), steps(), times)
def test_of_two_numbers_the_higher_stands(one: tuple[Step, ...], other: tuple[Step, ...], time: int) -> None:
    values = [value for value in (at(one, time), at(other, time)) if value is not None]
    assert at(highest(one, other), time) == max(values, default=None)


def test_nobody_looked() -> None:
    assert merge(None, None) is None


@settings(max_examples=20)
@given(seen())
def test_what_is_written_is_read_again(one: Observed) -> None:
    content = json.loads(json.dumps(observedjson.to_json(one)))
    is_valid(content)
    assert observedjson.from_json(content) == one


# In bounded memory


@given(st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(1, 4)), max_size=60))
def test_a_number_is_remembered_as_it_was(moves: list[tuple[int, int | None]]) -> None:
    course, now = Course(), 0
    truth: list[int | None] = []
    for lasts, value in moves:
        course.set(now, value)
        truth += [value] * lasts
        now += lasts
    found = course.steps(now)
    assert [at(found, time) for time in range(now)] == truth


def test_of_a_number_that_changes_too_often_the_higher_neighbour_stays() -> None:
    course, changes = Course(), 10 * STEPS
    for time in range(changes):
        course.set(time, time % 7)
    found = course.steps(changes)
    assert len(found) <= STEPS + 1
    assert found[0][0] == 0
    assert found[-1][1] == changes
    assert all((at(found, time) or 0) >= time % 7 for time in range(changes))


def test_memory_keeps_the_highest_reading_of_ever_longer_intervals() -> None:
    memory, count = Memory(), 5 * READINGS
    every = [(number * 3 * FINEST, number * 37 % 101) for number in range(count)]
    for time, value in every:
        memory.add("a", time, value)
    memory.add("b", every[-1][0], 7)
    assert memory.interval == 16 * FINEST
    assert memory.of("a") == thinned(every, memory.interval)
    assert len(memory.of("a")) <= READINGS
    assert memory.of("b") == ((every[-1][0], 7),)
    assert memory.of("c") == ()


@pytest.mark.parametrize("again", [1, 3])
def test_a_reading_that_is_given_again_is_one(again: int) -> None:
    memory = Memory()
    for _ in range(again):
        memory.add("a", 7 * FINEST + 1, 9)
    assert memory.of("a") == ((7 * FINEST + 1, 9),)
