"""Which rate to try next."""

from hypothesis import given
from hypothesis import strategies as st

from loadgen.searching import FEWEST, Search

rates = st.floats(1, 1e6)
precisions = st.floats(0.001, 0.5)


def tried(search: Search, limit: float) -> list[float]:
    """Search on a service that sustains exactly `limit` calls/s."""
    seen: list[float] = []
    while not search.over:
        seen.append(search.rate)
        search.tell(search.rate <= limit)
        assert len(seen) < 100
    return seen


@given(rates, st.floats(0.2, 1e6), precisions)
def test_the_limit_is_found_to_the_precision(start: float, limit: float, precision: float) -> None:
    search = Search(start, most=1e7, precision=precision)
    tried(search, limit)
    assert search.found is not None
    assert search.failed is not None
    assert search.found <= limit < search.failed
    assert search.failed <= search.found * (1 + precision) * (1 + 1e-12)


@given(rates, rates, precisions)
def test_only_what_failed_is_tried_again_and_nothing_above_the_most(
    start: float, most: float, precision: float
) -> None:
    search = Search(start, most=most, precision=precision)
    seen = tried(search, 500.0)
    again = [rate for rate in set(seen) if seen.count(rate) > 1]
    assert again == ([] if search.failed is None else [search.failed])
    assert max(seen) <= most


@given(rates, st.floats(0.2, 1e6), precisions, st.integers(0, 30))
def test_one_failure_by_chance_hides_nothing(
    start: float, limit: float, precision: float, unlucky: int
) -> None:
    search = Search(start, most=1e7, precision=precision)
    number = 0
    while not search.over:
        search.tell(search.rate <= limit and number != unlucky)
        number += 1
        assert number < 200
    assert search.found is not None
    assert search.failed is not None
    assert search.found <= limit < search.failed <= search.found * (1 + precision) * (1 + 1e-12)


@given(rates, precisions)
def test_a_service_that_is_never_at_its_limit(start: float, precision: float) -> None:
    search = Search(start, most=1e6, precision=precision)
    tried(search, 1e9)
    assert (search.found, search.failed) == (1e6, None)


@given(rates, precisions)
def test_a_service_that_sustains_nothing(start: float, precision: float) -> None:
    search = Search(start, most=1e6, precision=precision)
    seen = tried(search, 0.0)
    assert search.found is None
    assert seen[-1] == FEWEST
