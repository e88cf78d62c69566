"""The recorder against a reference in plain Python."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.calls import COLUMNS, Calls
from loadgen.cells import cells
from loadgen.histogram import Histogram
from loadgen.recorder import BUFFERED, DROPPED, OK, Recorder, failed_series, sent_series

STARTED = 1_800_000_000_123_456_789
rows = st.builds(
    lambda due, lag, took, backend, outcome, out, back: (
        due, due + lag, due + lag + took, backend, outcome, out, back,
    ),
    st.integers(0, 10**12),
    st.integers(0, 10**9),
    st.integers(0, 10**10),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
)  # fmt: skip
batches = st.lists(st.lists(rows, max_size=25), max_size=6)


def batch_of(rows: list[tuple[int, ...]]) -> Calls:
    calls = Calls()
    for row in rows:
        calls.add(*row)
    return calls


def counted(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(np.array(values, np.int64))
    return histogram


@given(batches, st.booleans())
def test_what_is_kept_is_what_a_list_of_all_calls_says(
    todo: list[list[tuple[int, ...]]], flush_often: bool
) -> None:
    recorder = Recorder()
    recorder.begin(STARTED)
    for batch in todo:
        recorder.fold(batch_of(batch))
        if flush_often:
            recorder.flush()
    recorder.flush()
    calls = [row for batch in todo for row in batch]
    good = [row for row in calls if row[4] == OK]

    assert recorder.calls() == len(calls)
    assert recorder.ok() == len(good)
    assert recorder.latency == counted([done - due for due, _, done, *_ in good])
    assert recorder.service == counted([done - sent for _, sent, done, *_ in good])
    assert recorder.failed_latency == counted([row[2] - row[0] for row in calls if row[4] != OK])
    assert recorder.lag == counted([sent - due for due, sent, *_ in calls])
    assert recorder.messages_out == sum(row[5] for row in calls)
    assert recorder.messages_in == sum(row[6] for row in calls)
    assert recorder.last_done == max((row[2] for row in calls), default=0)
    assert [recorder.outcome(n) for n in range(6)] == [[row[4] for row in calls].count(n) for n in range(6)]
    durations: dict[int, Counter[int]] = {}
    first = recorder.timeline.start() // recorder.timeline.interval
    for due, sent, done, *_ in calls:
        row = durations.setdefault((STARTED + sent) // recorder.timeline.interval - first, Counter())
        row[int(cells(np.array([done - due]))[0])] += 1
    found = recorder.timeline.durations(recorder.timeline.rows())
    rows = {row: found.row(row) for row in range(len(found))}
    assert {row: counts for row, counts in rows.items() if counts} == durations
    for number in range(8):
        mine = [row for row in calls if row[3] == number]
        backend = recorder.backend(number)
        assert (backend.calls, backend.ok) == (len(mine), sum(row[4] == OK for row in mine))
        assert backend.first_call == min((row[1] for row in mine), default=None)
        assert backend.last_call == max((row[1] for row in mine), default=None)
        assert backend.latency == counted([row[2] - row[0] for row in mine if row[4] == OK])
        check_timeline(recorder, sent_series(number), [row[1] for row in mine])
        check_timeline(recorder, failed_series(number), [row[1] for row in mine if row[4] != OK])


def check_timeline(recorder: Recorder, series: int, sent: list[int]) -> None:
    timeline = recorder.timeline
    expected = Counter((STARTED + at) // timeline.interval for at in sent)
    first = timeline.start() // timeline.interval
    found = timeline.series(series, timeline.rows())
    assert {first + row: count for row, count in enumerate(found) if count} == expected


@given(batches, st.integers(1, 10**12))
def test_what_fell_due_in_a_warm_up_leaves_no_trace(todo: list[list[tuple[int, ...]]], earlier: int) -> None:
    """However late it was sent and answered: the same as if it had not been there."""
    alone, mixed = Recorder(), Recorder()
    for recorder in (alone, mixed):
        recorder.begin(STARTED)
    for batch in todo:
        alone.fold(batch_of(batch))
        mixed.fold(batch_of([(-earlier, *row[1:]) for row in batch] + batch))
        mixed.flush()
    alone.flush()
    for name in ("latency", "failed_latency", "service", "lag", "messages_out", "messages_in", "last_done"):
        assert getattr(mixed, name) == getattr(alone, name), name
    for number in range(7):
        assert mixed.backend(number) == alone.backend(number)
        assert mixed.outcome(number) == alone.outcome(number)
    rows = alone.timeline.rows()
    assert mixed.timeline.rows() == rows
    assert mixed.timeline.durations(rows) == alone.timeline.durations(rows)
    for series in range(14):
        assert mixed.timeline.series(series, rows) == alone.timeline.series(series, rows)


def test_rows_wait_until_there_are_many() -> None:
    recorder = Recorder()
    row = (0, 1, 2, 0, OK, 1, 1)
    recorder.fold(batch_of([row] * (BUFFERED - 1)))
    assert recorder.calls() == 0
    recorder.fold(batch_of([row]))
    assert recorder.calls() == BUFFERED


def test_the_batch_can_be_used_again() -> None:
    recorder, calls = Recorder(), Calls()
    for backend in (1, 2):
        calls.add(0, 0, 5, backend, OK)
        assert len(calls) == 1
        assert len(calls.rows) == COLUMNS
        recorder.fold(calls)
        calls.clear()
    recorder.flush()
    assert [recorder.backend(n).calls for n in range(4)] == [0, 1, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 10**11), st.integers(1, 50)), max_size=10))
def test_drops_are_on_the_timeline(drops: list[tuple[int, int]]) -> None:
    recorder = Recorder()
    recorder.begin(STARTED)
    for at, number in drops:
        recorder.dropped(at, number)
    check_timeline(recorder, DROPPED, [at for at, number in drops for _ in range(number)])


def test_nothing_recorded_is_all_zeros() -> None:
    recorder = Recorder()
    recorder.flush()
    assert (recorder.calls(), recorder.ok(), recorder.last_done, recorder.outcome(7)) == (0, 0, 0, 0)
    assert recorder.backend(9).first_call is None
