"""How calls fell on backends."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.spread import Spread
from tests.unit.results import THREE, TWO, evidence, result

ONE = ["10.0.0.1:9090"]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_figures(counts: list[int]) -> None:
    spread = Spread.of(result({f"b{n}": count for n, count in enumerate(counts)}))
    mean = statistics.mean(counts)
    assert (spread.backends, spread.least, spread.most) == (len(counts), min(counts), max(counts))
    assert spread.peak_to_mean == pytest.approx(max(counts) / mean)
    assert spread.variation == pytest.approx(statistics.pstdev(counts) / mean)
    assert 1 <= spread.peak_to_mean <= len(counts) + 1e-9
    assert spread.even == (max(counts) - min(counts) <= max(2, mean * (1 + 1e-12) / 50))


def test_nothing_attributed_is_all_zeros() -> None:
    assert Spread.of(result({}, failed=3)) == Spread(0, 0, 0, 0.0, 0.0, None)


@pytest.mark.parametrize(
    ("counts", "even"),
    [((100, 100, 100), True), ((9, 10, 11), True), ((9, 10, 12), False), ((990, 1000, 1010), True),
     ((980, 1000, 1020), False), ((1,), True)],
)  # fmt: skip
def test_even_is_two_calls_or_two_percent(counts: tuple[int, ...], even: bool) -> None:
    assert Spread.of(result({f"b{n}": count for n, count in enumerate(counts)})).even == even


@pytest.mark.parametrize(
    ("known", "idle"),
    [
        ({"addresses": None, "addresses_seen": None, "addresses_now": None}, None),
        ({"addresses": ONE}, None),  # may stand for many
        ({"addresses": TWO}, 0),
        ({"addresses": THREE}, 1),
        ({"addresses": ONE, "addresses_now": THREE}, 1),
        ({"addresses": THREE, "addresses_now": None}, 1),
        ({"addresses": TWO, "addresses_seen": THREE, "addresses_now": TWO}, 1),
        ({"addresses": THREE, "addresses_now": TWO, "addresses_seen": THREE}, 1),
    ],
)
def test_idle_are_the_addresses_that_two_backends_do_not_account_for(
    known: dict[str, list[str] | None], idle: int | None
) -> None:
    assert Spread.of(result({"a": 5, "b": 5}, evidence=evidence(**known))).idle == idle
