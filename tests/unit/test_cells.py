"""Coarse histograms of durations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cells import CELLS, added, cells, decode, encode, middle, percentile
from loadgen.histogram import HIGHEST

durations = st.integers(0, 10**6) | st.integers(0, HIGHEST)
counts = st.dictionaries(st.integers(0, CELLS - 1), st.integers(1, 10**6), max_size=20)


def cell(duration: int) -> int:
    return int(cells(np.array([duration], np.int64))[0])


@given(durations)
def test_a_middle_is_near_every_value_of_its_cell(duration: int) -> None:
    assert abs(middle(cell(duration)) - duration) <= max(2_100, 0.063 * duration)


@given(st.lists(durations, min_size=2))
def test_longer_ones_are_in_no_lower_cell(values: list[int]) -> None:
    found = cells(np.array(sorted(values), np.int64)).tolist()
    assert found == sorted(found)


def test_every_cell_can_be_reached_and_none_is_beyond_the_last() -> None:
    assert [cell(middle(number)) for number in range(CELLS - 1)] == list(range(CELLS - 1))
    assert [cell(value) for value in (-5, HIGHEST, 10**18)] == [0, CELLS - 1, CELLS - 1]


@given(st.lists(durations, min_size=1, max_size=50), st.sampled_from([1.0, 50.0, 90.0, 99.0, 100.0]))
def test_a_percentile_is_that_of_all_values_within_a_cell(values: list[int], percent: float) -> None:
    numbers, times = np.unique(cells(np.array(values, np.int64)), return_counts=True)
    found = percentile(dict(zip(numbers.tolist(), times.tolist(), strict=True)), percent)
    assert found is not None
    rank = max(1, int(np.ceil(percent / 100 * len(values) - 1e-9)))
    true = sorted(values)[rank - 1]
    assert abs(found - true) <= max(2_100, 0.063 * true)


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 50) is None


@given(counts, counts)
def test_counts_survive_as_text_and_add_up(one: dict[int, int], other: dict[int, int]) -> None:
    assert decode(encode(one)) == one
    both = added(one, other)
    assert both == added(other, one)
    assert sum(both.values()) == sum(one.values()) + sum(other.values())


@pytest.mark.parametrize("text", ["x", "1", "1:", ":1", "1:0", "-1:3", f"{CELLS}:1", "3:1 3:1", "1:1,2:1"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"count|shorter|longer|Expecting|delimiter|Extra"):
        decode(text)
