from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from server.faults import Errors, Stall

ratios = st.fractions(0, 1, max_denominator=10**9)
stalls = st.integers(2, 10**15).flatmap(
    lambda every: st.builds(Stall, st.just(every), st.integers(1, every - 1))
)


@given(ratios, st.integers(0, 300))
def test_of_the_first_n_gets_the_whole_part_of_the_ratio_fails(ratio: Fraction, n: int) -> None:
    errors = Errors(ratio)
    assert sum(errors.fails(number) for number in range(1, n + 1)) == int(n * ratio)


@given(ratios, st.integers(1, 10**12), st.integers(1, 300))
def test_errors_are_spread_evenly(ratio: Fraction, first: int, length: int) -> None:
    errors = Errors(ratio)
    failed = sum(errors.fails(number) for number in range(first, first + length))
    assert abs(failed - length * ratio) < 1


def test_a_quarter_is_every_fourth() -> None:
    errors = Errors(Fraction("0.25"))
    assert [n for n in range(1, 13) if errors.fails(n)] == [4, 8, 12]


@given(stalls, st.integers(0, 10**18))
def test_a_stall_lasts_to_the_end_of_its_period(stall: Stall, now: int) -> None:
    remaining = stall.remaining(now)
    if now % stall.every < stall.every - stall.length:
        assert remaining == 0
    else:
        assert 0 < remaining <= stall.length
        assert (now + remaining) % stall.every == 0
        assert stall.remaining(now + remaining) == 0


def test_a_stall_begins_sharp() -> None:
    stall = Stall(every=5_000, length=1_000)
    assert [stall.remaining(now) for now in (0, 3_999, 4_000, 4_999, 5_000)] == [0, 0, 1_000, 1, 0]
