"""Loads whose rate changes: what users write, and the integral of the rate."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import stages
from loadgen.curve import SECOND, Curve, Piece, exactly
from loadgen.stages import Stage

rates = st.sampled_from([0.0, 0.5, 1.0, 99.9, 100.0, 1e6]) | st.floats(0, 1000)
lengths = st.integers(1, 5_000_000).map(lambda micro: micro * 1000)  # what durationpy can tell
some = st.lists(st.builds(Stage, lengths, rates, st.booleans()), min_size=1, max_size=5).map(tuple)


@given(some.filter(lambda asked: any(stage.rate for stage in asked)))
def test_what_is_written_is_read_again(asked: tuple[Stage, ...]) -> None:
    assert stages.parse(stages.write(asked)) == asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("30s:100", (Stage(30 * SECOND, 100, step=False),)),
        (" 1m : 5 , 500ms@0.5/s ", (Stage(60 * SECOND, 5, step=False), Stage(SECOND // 2, 0.5, step=True))),
        ("1s@3,1s:-0", (Stage(SECOND, 3, step=True), Stage(SECOND, 0, step=False))),
    ],
)
def test_stages(text: str, asked: tuple[Stage, ...]) -> None:
    assert stages.parse(text) == asked


@given(st.text() | st.from_regex(r"\A([0-9.]{0,3}(s|ms|m)?[:@,][0-9.e]{0,4},?){1,3}\Z"))
def test_any_text_is_stages_or_refused(text: str) -> None:
    try:
        asked = stages.parse(text)
    except ValueError:
        return
    assert stages.length(asked) > 0
    assert (stages.curve(asked).amount or 0) > 0


def integral(asked: tuple[Stage, ...], at: int) -> Fraction:
    """Return the area under the rate up to `at` ns, stage by stage, as one would on paper."""
    calls, rate = Fraction(0), Fraction(0)
    for stage in asked:
        end = exactly(stage.rate)
        begin = end if stage.step else rate
        share = Fraction(max(0, min(at, stage.length)), stage.length)
        there = begin + (end - begin) * share
        calls += (begin + there) / 2 * share * Fraction(stage.length, SECOND)
        at -= stage.length
        rate = end
    return calls


@given(some, st.data())
def test_a_call_falls_due_when_the_integral_gets_there_and_not_before(
    asked: tuple[Stage, ...], data: st.DataObject
) -> None:
    curve = stages.curve(asked)
    whole = integral(asked, stages.length(asked))
    assert curve.calls() == math.ceil(whole)
    assert curve.amount == whole * curve.unit
    assert curve.length == stages.length(asked)
    if not curve.amount:
        return
    amount = data.draw(st.integers(0, curve.amount - 1))
    at = curve.at(amount)
    assert integral(asked, at) >= Fraction(amount, curve.unit)
    assert at == 0 or integral(asked, at - 1) <= Fraction(amount, curve.unit)
    assert at <= stages.length(asked)


@given(some, st.floats(0, 1))
def test_a_curve_that_is_cut_is_the_same_in_two(asked: tuple[Stage, ...], where: float) -> None:
    curve = stages.curve(asked)
    cut = int(where * stages.length(asked))
    before, after = curve.cut(cut)
    assert ((before.length or 0), (after.length or 0)) == (cut, stages.length(asked) - cut)
    sums = [Fraction(one.amount or 0, one.unit) for one in (before, after)]
    assert sums[0] == integral(asked, cut)
    assert sum(sums) == Fraction(curve.amount or 0, curve.unit)


def test_an_endless_curve_can_be_cut() -> None:
    before, after = Curve.flat(100, None).cut(SECOND)
    assert (before.calls(), after.calls(), after.length) == (100, None, None)
    assert after.at(3 * after.unit) == 30_000_000


def test_nothing_falls_due_in_a_pause() -> None:
    hold = Piece(SECOND, Fraction(10), Fraction(10))
    pause = Piece(SECOND, Fraction(0), Fraction(0))
    curve = Curve([pause, hold, pause, hold])
    assert curve.calls() == 20
    assert [curve.at(k * curve.unit) for k in (0, 9, 10)] == [SECOND, 1_900_000_000, 3 * SECOND]
