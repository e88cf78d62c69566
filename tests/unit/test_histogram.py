"""Histograms against the HdrHistogram library and against plain arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.histogram import DIGITS, HIGHEST, LOWEST, Histogram

EDGES = [0, 1, 2047, 2048, 2049, 4095, 4096, 10**6, 2**40 - 1, 2**40, HIGHEST - 1, HIGHEST]
times = st.one_of(
    st.integers(0, HIGHEST),
    st.integers(0, 41).flatmap(lambda bits: st.integers(0, min(HIGHEST, 2**bits))),
    st.sampled_from(EDGES),
)
several = st.lists(times, max_size=60)


def of(*lists: list[int]) -> Histogram:
    histogram = Histogram()
    for values in lists:
        histogram.add(np.array(values, np.int64))
    return histogram


def hdr_of(values: list[int]) -> HdrHistogram:
    hdr = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    for value in values:
        assert hdr.record_value(value)
    return hdr


def counts(hdr: HdrHistogram) -> list[int]:
    return [hdr.counts[index] for index in range(hdr.counts_len)]


@given(several)
@example(EDGES)
@example([2**bits + off for bits in range(41) for off in (-1, 0, 1)])
def test_values_are_counted_where_hdrhistogram_counts_them(values: list[int]) -> None:
    assert counts(HdrHistogram.decode(of(values).encode())) == counts(hdr_of(values))


@given(several.filter(bool), st.sampled_from(["0", "0.1", "25", "50", "75", "90", "99", "99.9", "100"]))
@example(EDGES, "50")
@example([*range(1000)], "99.9")
def test_a_percentile_is_the_nearest_rank_in_hdrhistograms_words(values: list[int], percent: str) -> None:
    rank = max(1, math.ceil(Fraction(percent) / 100 * len(values)))
    true = sorted(values)[rank - 1]
    found = of(values).percentile(float(percent))
    assert found == min(hdr_of(values).get_highest_equivalent_value(true), max(values))
    assert true <= found <= true * 1.001


@given(several)
def test_figures_are_exact(values: list[int]) -> None:
    histogram = of(values)
    assert (histogram.count, histogram.sum) == (len(values), sum(values))
    assert (histogram.min, histogram.max) == (min(values, default=0), max(values, default=0))
    assert histogram.mean() == (sum(values) / len(values) if values else 0)


@given(st.lists(several, max_size=5))
def test_adding_in_parts_and_merging_are_the_same_as_adding_all(parts: list[list[int]]) -> None:
    merged = Histogram()
    for part in parts:
        merged.merge(of(part))
    backwards = Histogram()
    for part in reversed(parts):
        backwards.merge(of(part))
    assert of([value for part in parts for value in part]) == of(*parts) == merged == backwards


@given(several)
@example([])
@example(EDGES)
def test_encoding_loses_nothing(values: list[int]) -> None:
    histogram = of(values)
    again = Histogram.decode(histogram.encode(), total=histogram.sum, low=histogram.min, high=histogram.max)
    assert again == histogram
    again.add(np.array([7], np.int64))  # it can go on
    assert again != histogram


@given(several, several)
def test_equal_means_the_same_values(one: list[int], two: list[int]) -> None:
    same = of(one) == of(two)
    assert same or sorted(one) != sorted(two)
    if same:
        assert (len(one), sum(one)) == (len(two), sum(two))


def test_values_outside_the_range_count_at_the_bound() -> None:
    histogram = of([-5, HIGHEST + 1, 10 * HIGHEST])
    assert histogram == of([0, HIGHEST, HIGHEST])
    assert histogram.percentile(100) == HIGHEST


@given(several, times)
def test_above_counts_and_sums_what_is_clearly_above(values: list[int], limit: int) -> None:
    number, total = of(values).above(limit)
    clearly = [value for value in values if value > limit * 1.001]
    perhaps = [value for value in values if value > limit]
    assert len(clearly) <= number <= len(perhaps)
    assert sum(clearly) * 0.999 - 1 <= total <= sum(perhaps) * 1.001 + 1


@given(several, st.integers(1, 20))
def test_bins_hold_every_value(values: list[int], number: int) -> None:
    bins = of(values).bins(number)
    if not values:
        assert bins == []
        return
    assert len(bins) == number
    assert sum(count for _, count in bins) == len(values)
    uppers = [upper for upper, _ in bins]
    assert uppers == sorted(uppers)
    assert uppers[-1] == max(values)


def test_bins_are_of_one_width() -> None:
    values = [100_000, 100_000, 100_900, 108_500, 110_000]
    bins = of(values).bins(10)
    assert bins == [(101_000 + 1000 * n, {0: 3, 8: 1, 9: 1}.get(n, 0)) for n in range(10)]


def test_an_empty_histogram_answers_nothing() -> None:
    histogram = Histogram()
    histogram.add(np.array([], np.int64))
    histogram.merge(Histogram())
    assert (histogram.percentile(99), histogram.mean(), histogram.above(0)) == (0, 0.0, (0, 0))


@pytest.mark.parametrize("text", ["", "x", "HISTFAAAAB", "@@@@", of([1, 2]).encode()[:-8]])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Histogram.decode(text, total=0, low=0, high=0)


def test_another_precision_is_refused() -> None:
    other = HdrHistogram(1, 1000, 2).encode().decode()
    with pytest.raises(ValueError, match="range or precision"):
        Histogram.decode(other, total=0, low=0, high=0)
