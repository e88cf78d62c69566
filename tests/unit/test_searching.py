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
def test_no_rate_is_tried_twice_or_above_the_most(start: float, most: float, precision: float) -> None:
    search = Search(start, most=most, precision=precision)
    seen = tried(search, 500.0)
    assert len(seen) == len(set(seen))
    assert max(seen) <= most


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


@given(rates, precisions)
def test_how_many_tries_are_left_once_the_limit_is_between_two(limit: float, precision: float) -> None:
    search = Search(limit / 1.9, most=1e7, precision=precision)
    assert search.tries() == 0
    search.tell(True)
    search.tell(False)
    left = search.tries()
    assert left - 1 <= len(tried(search, limit)) <= left
