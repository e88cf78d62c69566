"""Coarse histograms of durations."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cells import CELLS, Cells, cells, middle
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
    rows = [Counter(cells(np.array([value], np.int64)).tolist()) for value in values]  # one in each interval
    found = Cells.of(rows).percentile(slice(None), percent)
    assert found is not None
    rank = max(1, int(np.ceil(percent / 100 * len(values) - 1e-9)))
    true = sorted(values)[rank - 1]
    assert abs(found - true) <= max(2_100, 0.063 * true)


def test_of_nothing_there_is_no_percentile() -> None:
    assert Cells.of([{}, {5: 1}]).percentile(slice(0, 1), 50) is None
    assert Cells.of([]).percentile(slice(None), 50) is None


@given(st.lists(counts, max_size=4), st.sampled_from([1, 10**5]))
def test_counts_survive_as_text(rows: list[dict[int, int]], factor: int) -> None:
    made = Cells.of([{cell: count * factor for cell, count in row.items()} for row in rows])
    assert Cells.decode(made.encode(), len(rows)) == made
    assert [made.row(number) for number in range(len(made))] == [
        {cell: count * factor for cell, count in row.items()} for row in rows
    ]


@given(counts, counts, counts)
def test_finer_intervals_add_up(one: dict[int, int], two: dict[int, int], three: dict[int, int]) -> None:
    made = Cells.of([{}, {}])
    made.add(Cells.of([one, two, three]), np.array([0, 0, 1]))
    assert made.row(0) == Counter(one) + Counter(two)
    assert made.row(1) == three


FEW = Cells.of([{1: 1}]).encode()


@pytest.mark.parametrize(
    ("text", "rows"), [("x", 1), ("", 1), (FEW, 0), (FEW, 2), (FEW[:-9], 1), ("AAAA", 1)]
)
def test_other_text_is_refused(text: str, rows: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cells.decode(text, rows)
