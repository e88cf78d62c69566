"""One step of a search."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.ledger import Counts
from loadgen.result import Result
from loadgen.step import Step, Try, Watch, interval, length_for
from loadgen.thresholds import Threshold
from tests.unit.results import MS, SECOND, histogram, result

P99 = [Threshold.parse("p99<50ms")]


def seen(below: int, above: int) -> Result:
    return result(
        {"a": below + above}, plan={"rps": 10.0}, latency=histogram(*[MS] * below, *[90 * MS] * above)
    )


def step(*tries: tuple[int, int, float]) -> Step:
    made = Step(100.0, P99)
    made.tries = [Try.of(seen(below, above), growth, P99) for below, above, growth in tries]
    return made


@pytest.mark.parametrize(
    ("tries", "passed", "sure", "clear"),
    [
        pytest.param([(2000, 2, 0.0)], True, True, True, id="far below"),
        pytest.param([(2000, 200, 0.0)], False, True, True, id="far above"),
        pytest.param([(100, 0, 0.0)], True, False, True, id="few calls, none above"),
        pytest.param([(992, 8, 0.0)], True, False, False, id="near"),
        pytest.param([(985, 15, 0.0)], False, False, False, id="near, above"),
        pytest.param([(2000, 2, 0.05)], False, True, True, id="a backlog alone"),
        pytest.param([(2000, 2, 0.0), (2000, 2, 0.05)], False, False, False, id="one of two"),
        pytest.param(
            [(2000, 2, 0.0), (2000, 2, 0.05), (2000, 2, 0.0)], True, False, False, id="two of three"
        ),
    ],
)
def test_what_came_of_it_and_how_sure_that_is(
    tries: list[tuple[int, int, float]], passed: bool, sure: bool, clear: bool
) -> None:
    made = step(*tries)
    assert (made.passed, made.sure, made.clear) == (passed, sure, clear)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_the_interval_holds_the_share(events: int, of: int) -> None:
    events = min(events, of)
    least, most = interval(events, of)
    assert 0 <= least <= events / of + 1e-12
    assert events / of - 1e-12 <= most <= 1


def test_the_interval_of_a_known_case() -> None:
    least, most = interval(10, 1000)  # as R's binom.confint(10, 1000, methods = "wilson") has it
    assert (least, most) == (pytest.approx(0.00544, abs=1e-5), pytest.approx(0.01831, abs=1e-5))
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("rate", "limits", "length"),
    [(1000, P99, 10), (50, P99, 20), (1, P99, 30), (1, [], 10), (1000, [Threshold.parse("p99.9<1s")], 10)],
)
def test_a_step_is_long_enough_for_its_percentile(rate: float, limits: list[Threshold], length: int) -> None:
    assert length_for(rate, limits, 10 * SECOND) == pytest.approx(length * SECOND)


@given(st.floats(-20, 20), st.integers(0, 100), st.integers(1, 30))
def test_growth_is_the_slope_of_the_calls_in_flight(slope: float, base: int, seconds: int) -> None:
    watch = Watch()
    for at in range(0, seconds * SECOND, SECOND // 20):
        flying = max(0, round(1000 * (base + slope * at / SECOND))) if slope else base
        watch.seen.append(Counts(at=at, sent=flying))
    if base + slope * seconds < 0 or not slope:
        return
    assert watch.growth(seconds * SECOND) == pytest.approx(1000 * slope, abs=2)


def test_chance_is_no_growth() -> None:
    watch = Watch()
    watch.seen = [Counts(at=number * SECOND // 20, sent=number * 7 % 3) for number in range(8)]
    assert watch.growth(SECOND) == 0.0


def test_a_run_that_was_hardly_watched_shows_no_growth() -> None:
    watch = Watch()
    assert watch.growth(SECOND) == 0.0
    watch.seen = [Counts(at=SECOND, sent=5)] * 9
    assert watch.growth(SECOND) == 0.0
    assert not math.isnan(watch.growth(0))
