"""Open load whose rate changes or whose calls come by chance, and what comes before it."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import stages
from loadgen.arrivals import Arrivals, WarmedUp
from loadgen.curve import SECOND, Curve
from loadgen.pacing import Closed, Constant, Due, Pacer
from loadgen.shard import Shard
from loadgen.stages import Stage
from tests.unit.test_stages import integral

END = 10**15
asked = st.lists(
    st.builds(Stage, st.integers(1, 2000).map(lambda ms: ms * 1_000_000), st.floats(0, 60), st.booleans()),
    min_size=1,
    max_size=4,
).map(tuple)
takes = st.lists(st.tuples(st.integers(0, SECOND), st.integers(-1, 20)), max_size=30)
seeds = st.integers(0, 2**53 - 1)
shards = st.integers(1, 6)


def all_of(pacer: Pacer) -> list[int]:
    """Return when each call falls due, with room for all."""
    due = pacer.due(END, 10**9)
    assert due.last
    assert not due.dropped
    return list(due.at)


def taken(pacer: Pacer, steps: list[tuple[int, int]], begin: int = 0) -> list[Due]:
    """Take at increasing times, `(ns after the one before, room)` each, with what holds of every pacer."""
    now, number, found = begin, 0, []
    for step, room in steps:
        now += step
        due = pacer.due(now, room)
        assert due.first == number, "a number was left out or given twice"
        number += len(due.at) + due.dropped
        assert len(due.at) <= max(0, room)
        assert not due.dropped or len(due.at) == max(0, room), "dropped although there was room"
        assert all(at <= now for at in due.at), "a call fell due early"
        assert list(due.at) == sorted(due.at)
        found.append(due)
        if due.last:
            break
    return found


@given(asked, st.lists(st.integers(0, SECOND), max_size=20))
def test_so_many_have_fallen_due_as_the_integral_says(asked: tuple[Stage, ...], steps: list[int]) -> None:
    pacer = Arrivals.even("x", stages.curve(asked))
    whole = stages.length(asked)
    now = number = 0
    for step in steps:
        now += step
        due = pacer.due(now, 10**6)
        number += len(due.at)
        calls = integral(asked, min(now, whole))
        assert number in (math.ceil(calls), math.floor(calls) + 1)
        # one call is due as soon as the rate rises, so that a ramp from 0 begins with it
        assert number <= math.ceil(integral(asked, whole))
    assert number + len(all_of(pacer)) == pacer.expected() == math.ceil(integral(asked, whole))


@given(asked, takes)
def test_stages_hand_out_every_call_once_whatever_the_room(
    asked: tuple[Stage, ...], steps: list[tuple[int, int]]
) -> None:
    found = taken(Arrivals.even("x", stages.curve(asked)), steps)
    for due in found:
        assert due.last == (due.wake is None)


@given(asked, shards)
def test_shards_of_stages_are_every_nth_call(asked: tuple[Stage, ...], count: int) -> None:
    whole = all_of(Arrivals.even("x", stages.curve(asked)))
    parts = [all_of(Arrivals.even("x", stages.curve(asked), shard=Shard(i, count))) for i in range(count)]
    assert [whole[i::count] for i in range(count)] == parts


@given(st.sampled_from([1.0, 7.0, 99.9, 1000.0]), st.integers(1, 3 * SECOND))
def test_a_stage_that_holds_is_constant_load(rate: float, length: int) -> None:
    held = all_of(Arrivals.even("x", Curve.flat(rate, length)))
    constant = all_of(Constant(rate, total=len(held), duration=None))
    assert all(0 <= mine - theirs <= 1 for mine, theirs in zip(held, constant, strict=True))


def test_a_ramp_is_known_in_closed_form() -> None:
    """From 0 to 100/s in 10 s: call k falls due at sqrt(2k / 10) s, and 500 do."""
    at = all_of(Arrivals.even("x", stages.curve(stages.parse("10s:100"))))
    assert len(at) == 500
    assert at == [math.isqrt(max(0, k * SECOND * SECOND // 5 - 1)) + (k > 0) for k in range(500)]


@given(seeds, takes, st.none() | st.integers(1, 100))
def test_poisson_hands_out_every_call_once(
    seed: int, steps: list[tuple[int, int]], total: int | None
) -> None:
    found = taken(Arrivals.poisson("x", Curve.flat(20, 5 * SECOND), seed=seed, total=total), steps)
    number = sum(len(due.at) + due.dropped for due in found)
    assert total is None or number <= total
    assert all(at < 5 * SECOND for due in found for at in due.at)


@given(seeds, seeds, shards)
def test_a_seed_repeats_the_load_and_another_does_not(one: int, other: int, count: int) -> None:
    def load(seed: int, index: int, part: str = "load") -> list[int]:
        curve, shard = Curve.flat(100, SECOND), Shard(index, count)
        return all_of(Arrivals.poisson("x", curve, seed=seed, shard=shard, part=part))

    assert load(one, 0) == load(one, 0) != load(one, 0, "warm-up")
    assert (load(one, 0) == load(other, 0)) == (one == other)
    if count > 1:
        assert load(one, 0) != load(one, 1)


@given(seeds, shards, st.integers(0, 200))
def test_shards_of_poisson_split_the_total_exactly(seed: int, count: int, total: int) -> None:
    parts = [
        Arrivals.poisson("x", Curve.flat(50, None), seed=seed, total=total, shard=Shard(i, count))
        for i in range(count)
    ]
    assert sum(part.expected() or 0 for part in parts) == total
    assert sum(len(all_of(part)) for part in parts) == total


@pytest.mark.parametrize("count", [1, 4])
def test_poisson_is_poisson_and_so_is_what_shards_make_together(count: int) -> None:
    """By fixed seeds: counts per 100 ms have mean and variance 20, and gaps are those of one process."""
    length = 100 * SECOND
    at = sorted(
        one
        for index in range(count)
        for one in all_of(Arrivals.poisson("x", Curve.flat(200, length), seed=5, shard=Shard(index, count)))
    )
    cells = [0] * 1000
    for one in at:
        cells[one * 10 // SECOND] += 1
    mean = sum(cells) / len(cells)
    variance = sum((cell - mean) ** 2 for cell in cells) / len(cells)
    assert mean == pytest.approx(20, abs=5 * math.sqrt(20 / 1000))
    assert variance == pytest.approx(20, rel=5 * math.sqrt(2 / 1000))
    gaps = sorted(b - a for a, b in pairwise(at))
    for share in (0.1, 0.5, 0.9, 0.99):
        expected = -math.log1p(-share) / 200 * SECOND
        assert gaps[int(share * len(gaps))] == pytest.approx(expected, rel=0.06)


def test_poisson_stages_follow_the_rate() -> None:
    """In a ramp from 0 to 400/s over 50 s a quarter of the 10,000 calls falls into its first half."""
    curve = stages.curve(stages.parse("50s:400"))
    at = all_of(Arrivals.poisson("x", curve, seed=1))
    assert len(at) == pytest.approx(10_000, abs=500)
    early = sum(one < 25 * SECOND for one in at)
    assert early / len(at) == pytest.approx(0.25, abs=0.025)


def test_a_load_that_lasts_does_not_drift() -> None:
    """After an hour of a ramp the ns is that of exact arithmetic."""
    asked = stages.parse("2h:99.9")
    curve = stages.curve(asked)
    number = 100_000
    at = curve.at(number * curve.unit)
    assert integral(asked, at - 1) < number <= integral(asked, at)
    assert Fraction(curve.amount or 0, curve.unit) == Fraction("359640")


warmups: list[Callable[[int], tuple[Pacer, Pacer]]] = [
    lambda length: (
        Constant(33.3, total=None, duration=length),
        Constant(33.3, total=50, duration=None),
    ),
    lambda length: (
        Arrivals.poisson("x", Curve.flat(50, length), seed=1, part="warm-up"),
        Arrivals.poisson("x", Curve.flat(50, 2 * SECOND), seed=1),
    ),
    lambda length: (
        Arrivals.even("x", Curve.flat(20, length)),
        Arrivals.even("x", stages.curve(stages.parse("2s:30"))),
    ),
]


@given(st.sampled_from(warmups), st.integers(1, 2 * SECOND), takes)
def test_a_warm_up_is_the_time_before_0_and_the_load_begins_afresh(
    made: Callable[[int], tuple[Pacer, Pacer]], length: int, steps: list[tuple[int, int]]
) -> None:
    pacer = WarmedUp(*made(length), length)
    found = taken(pacer, steps, begin=-length)
    for due in found:
        assert all((at < 0) == due.warmup for at in due.at), "a take is of the warm-up and of the load"
        assert all(at >= -length for at in due.at)
    for earlier, later in pairwise(found):
        assert earlier.warmup or not later.warmup, "the warm-up came back"
    if not found or not found[-1].last:
        steps = [(END, 10**9)] * 3
        number = sum(len(due.at) + due.dropped for due in found)
        for _ in steps:
            rest = pacer.due(END, 10**9)
            assert rest.first == number
            number += len(rest.at)
            found.append(rest)
    load = sum(len(due.at) + due.dropped for due in found if not due.warmup)
    warm = sum(len(due.at) + due.dropped for due in found if due.warmup)
    first, then = made(length)
    assert (warm, load) == (len(all_of(first)), len(all_of(then)))


def test_a_warm_up_wakes_for_its_end() -> None:
    pacer = WarmedUp(Constant(10, total=None, duration=SECOND), Constant(5, total=3, duration=None), SECOND)
    assert str(pacer) == "Constant{5/s} after 1 s of warm-up"
    assert pacer.expected() == 3
    due = pacer.due(-1, 100)
    assert (due.first, list(due.at)) == (0, [at - SECOND for at in range(0, SECOND, SECOND // 10)])
    assert (due.wake, due.warmup, due.last) == (0, True, False)
    assert pacer.due(-1, 100) == Due(10, [], 0, 0, last=False)
    assert pacer.due(SECOND // 5, 100) == Due(10, [0, SECOND // 5], 0, 2 * SECOND // 5, last=False)
    assert pacer.due(SECOND, 100).last


def test_closed_load_goes_on_without_a_break() -> None:
    pacer = Closed(2, total=2, duration=None, warmup=100)
    assert str(pacer) == "Closed{2 at a time} after 1e-07 s of warm-up"
    assert pacer.due(-100, 2) == Due(0, [-100, -100], 0, None, last=False, warmup=True)
    pacer.ended([-5, 3])
    # one caller came free in the warm-up, the other after it: two takes, the second at once
    assert pacer.due(4, 2) == Due(2, [-5], 0, 3, last=False, warmup=True)
    assert pacer.due(4, 1) == Due(3, [3], 0, None, last=False)
    pacer.ended([9])
    assert pacer.due(9, 1) == Due(4, [9], 0, None, last=True)


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 300), st.lists(st.integers(0, 60), min_size=1))
def test_closed_load_counts_only_what_falls_due_after_its_warm_up(
    concurrency: int, total: int, warmup: int, steps: list[int]
) -> None:
    pacer = Closed(concurrency, total=total, duration=None, warmup=warmup)
    now, flying, made, last, step = -warmup, 0, 0, False, 0
    while not last:
        due = pacer.due(now, concurrency - flying)
        assert all((at < 0) == due.warmup for at in due.at)
        made += 0 if due.warmup else len(due.at)
        flying += len(due.at)
        last = due.last
        if due.wake is not None and due.wake <= now:
            continue  # take again at once
        now += 1 + steps[step % len(steps)]
        step += 1
        pacer.ended([now] * flying)
        flying = 0
    assert made == total
