"""Counts per interval over runs of any length."""

from collections import Counter
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cells import cells
from loadgen.timeline import APART, COARSER, FINEST, ROWS, Timeline

starts = st.integers(10**18, 2 * 10**18)
offsets = st.one_of(
    st.integers(0, 10**9),
    st.integers(0, ROWS * FINEST * 4),
    st.integers(0, 10**15),  # some 11 days
)
batches = st.lists(st.lists(st.tuples(st.integers(0, 12), offsets), min_size=1, max_size=20), max_size=8)


def fill(timeline: Timeline, start: int, batch: list[tuple[int, int]]) -> None:
    timeline.add(
        np.array([series for series, _ in batch], np.int64),
        np.array([start + offset for _, offset in batch], np.int64),
    )


@given(starts, batches)
def test_every_call_is_in_its_cell_whatever_came_later(start: int, todo: list[list[tuple[int, int]]]) -> None:
    timeline = Timeline(start)
    for batch in todo:
        fill(timeline, start, batch)
    expected = Counter(
        (series, (start + offset) // timeline.interval * timeline.interval)
        for batch in todo
        for series, offset in batch
    )
    rows = timeline.rows()
    found = {
        (number, timeline.start() + row * timeline.interval): count
        for number in range(20)
        for row, count in enumerate(timeline.series(number, rows))
        if count
    }
    assert found == expected


@given(starts, batches)
def test_the_interval_is_no_coarser_than_the_run_is_long(
    start: int, todo: list[list[tuple[int, int]]]
) -> None:
    timeline = Timeline(start)
    for batch in todo:
        fill(timeline, start, batch)
    longest = max((offset for batch in todo for _, offset in batch), default=0)
    doublings = (timeline.interval // FINEST).bit_length() - 1
    assert timeline.interval == FINEST << doublings
    assert timeline.rows() <= ROWS
    assert timeline.start() % timeline.interval == 0
    assert start - timeline.interval < timeline.start() <= start
    if doublings:
        assert longest > (ROWS - 2) * FINEST << (doublings - 1)


lengths = st.integers(0, 10**10)
backends = st.integers(0, 3)
taken = st.lists(st.lists(st.tuples(offsets, lengths, backends), min_size=1, max_size=20), max_size=6)


@given(starts, taken)
def test_how_long_calls_took_is_in_their_rows_however_coarse_they_become(
    start: int, todo: list[list[tuple[int, int, int]]]
) -> None:
    timeline = Timeline(start)
    for batch in todo:
        at, took, who = (np.array(column, np.int64) for column in zip(*batch, strict=True))
        fill(timeline, start, [(1, offset) for offset, _, _ in batch])
        timeline.took(at + start, took, who)
    expected: dict[int, Counter[int]] = {}
    expected_of: dict[int, dict[int, Counter[int]]] = {}
    coarse = COARSER * timeline.interval
    for offset, length, backend in (one for batch in todo for one in batch):
        cell = int(cells(np.array([length]))[0])
        row = (start + offset) // timeline.interval * timeline.interval
        expected.setdefault(row, Counter())[cell] += 1
        if backend:
            row = (start + offset) // coarse * coarse
            expected_of.setdefault(backend, {}).setdefault(row, Counter())[cell] += 1
    durations = timeline.durations(timeline.rows())
    rows = [durations.row(number) for number in range(len(durations))]
    found = {timeline.start() + n * timeline.interval: counts for n, counts in enumerate(rows) if counts}
    assert found == expected
    assert [sum(counts.values()) for counts in rows] == timeline.series(1, timeline.rows())
    begin = timeline.start() // coarse * coarse
    found_of = {}
    for backend in range(1, 4):
        mine = timeline.durations_of(backend, timeline.rows())
        if mine is not None:
            found_of[backend] = {begin + n * coarse: mine.row(n) for n in range(len(mine)) if mine.row(n)}
    assert found_of == expected_of


def test_how_long_calls_took_is_kept_of_so_many_backends_and_no_more() -> None:
    timeline = Timeline(10**18)
    who = np.arange(1, APART + 3)
    fill(timeline, 10**18, [(1, 0)] * len(who))
    timeline.took(np.full(len(who), 10**18), np.full(len(who), 5), who)
    kept = [number for number in who.tolist() if timeline.durations_of(number, timeline.rows()) is not None]
    assert kept == list(range(1, APART + 1))


@given(starts, st.lists(offsets, min_size=1, max_size=30), st.randoms())
def test_the_order_of_calls_does_not_matter(start: int, times: list[int], random: Random) -> None:
    one, two = Timeline(start), Timeline(start)
    fill(one, start, [(0, offset) for offset in times])
    random.shuffle(times)
    for offset in times:
        fill(two, start, [(0, offset)])
    assert (one.interval, one.start(), one.rows()) == (two.interval, two.start(), two.rows())
    assert one.series(0, one.rows()) == two.series(0, two.rows())


def test_memory_does_not_grow_with_time() -> None:
    timeline = Timeline(10**18)
    fill(timeline, 10**18, [(3, 0)])
    size = timeline._counts.nbytes + timeline._durations.nbytes
    assert size < 2 << 20
    for hour in range(1000):
        fill(timeline, 10**18, [(3, hour * 3_600 * 10**9)])
        took = np.array([10 ** hour.bit_length()])
        timeline.took(np.array([10**18 + hour * 3_600 * 10**9]), took, np.array([1]))
    assert timeline._counts.nbytes + timeline._durations.nbytes == size
    assert timeline.durations(timeline.rows()).counts.sum() == 1000
    assert {one.nbytes for one in timeline._apart.values()} == {timeline._durations.nbytes // 2 // 1024 * 129}
    assert sum(timeline.series(3, timeline.rows())) == 1001


def test_a_time_before_the_start_counts_in_the_first_row() -> None:
    timeline = Timeline(10**18)
    fill(timeline, 10**18, [(0, -5 * FINEST), (0, 0), (0, FINEST)])
    assert timeline.series(0, 2) == [2, 1]


def test_an_empty_one_has_no_rows() -> None:
    timeline = Timeline(10**18)
    timeline.add(np.array([], np.int64), np.array([], np.int64))
    assert (timeline.rows(), timeline.series(99, 0), timeline.series(99, 2)) == (0, [], [0, 0])
