"""When calls fall due."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.pacing import SECOND, Closed, Constant, Due, Pacer
from loadgen.shard import Shard

rates = st.one_of(
    st.floats(0.01, 1_000_000),
    st.sampled_from([1.0, 3.0, 7.0, 20.0, 99.9, 1e3, 1e6, 1 / 3]),
)


def take_all(pacer: Pacer, steps: list[tuple[int, int]]) -> list[tuple[int, Due]]:
    """Ask at increasing times, each `(ns after the one before, room)`, until nothing more is due."""
    now, taken = 0, []
    for step, room in steps:
        now += step
        taken.append((now, pacer.due(now, room)))
        if taken[-1][1].last:
            break
    return taken


@given(rates, st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 50)), max_size=40), st.data())
def test_open_load_hands_out_every_number_once_at_its_time(
    rate: float, steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    steps = [(min(step, int(200 * SECOND / rate)), room) for step, room in steps]  # 200 calls a step at most
    total = data.draw(st.none() | st.integers(1, 2000))
    pacer = Constant(rate, total=total, duration=None)
    upto = 0
    for now, due in take_all(pacer, steps):
        assert due.first == upto
        upto += len(due.at) + due.dropped
        assert list(due.at) == [round(k * SECOND / rate) for k in range(due.first, due.first + len(due.at))]
        assert all(at <= now for at in due.at)
        assert round((upto - 1) * SECOND / rate) <= now or not upto, "a call fell due early"
        if due.last:
            assert (upto, due.wake) == (total, None)
        else:
            assert due.wake == round(upto * SECOND / rate) > now, "a call that was due was kept back"


@given(rates, st.integers(0, 10**12), st.integers(0, 100))
def test_open_load_drops_only_for_want_of_room(rate: float, now: int, room: int) -> None:
    due = Constant(min(rate, 1e6 * SECOND / (now + 1)), total=None, duration=None).due(now, room)
    assert len(due.at) <= room
    assert not due.dropped or len(due.at) == room


def test_open_load_without_room_drops_all() -> None:
    pacer = Constant(10, total=None, duration=None)
    assert pacer.due(SECOND // 2, -3) == Due(0, [], 6, 600_000_000, last=False)


@pytest.mark.parametrize(
    ("rate", "total", "duration", "count"),
    [
        (10, None, SECOND, 10),  # at 0, 100 ms ... 900 ms: 1 s is past the end
        (10, None, SECOND + 1_000_000, 11),
        (0.1, None, SECOND, 1),  # the first is always due
        (3, None, 10 * SECOND, 30),
        (1 / 3, None, 9 * SECOND, 3),
        (10, 4, SECOND, 4),
        (10, 40, SECOND, 10),
        (10, 40, None, 40),
    ],
)
def test_open_load_ends_by_count_or_time(
    rate: float, total: int | None, duration: int | None, count: int
) -> None:
    pacer = Constant(rate, total=total, duration=duration)
    assert pacer.expected() == count
    due = pacer.due(1000 * SECOND, 1000)
    assert (len(due.at), due.dropped, due.wake, due.last) == (count, 0, None, True)
    assert all(at < (duration or 1000 * SECOND) for at in due.at)


def test_open_load_without_end_goes_on() -> None:
    pacer = Constant(1000, total=None, duration=None)
    assert pacer.expected() is None
    assert pacer.due(10 * SECOND, 5) == Due(0, [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000], 9996,
                                            10_001_000_000, last=False)  # fmt: skip
    assert pacer.due(10 * SECOND, 5) == Due(10_001, [], 0, 10_001_000_000, last=False)


def test_open_load_does_not_drift() -> None:
    """After a day at a rate without a finite binary form, calls are due to the ns of exact arithmetic."""
    pacer = Constant(99.9, total=None, duration=None)
    day = 86_400 * SECOND
    pacer.due(day, 0)
    (at,) = pacer.due(day + SECOND // 99, 1).at
    number = round(Fraction(at, SECOND) * Fraction("99.9"))
    assert abs(at - number * SECOND / Fraction("99.9")) <= 1


@given(
    concurrency=st.integers(1, 8),
    total=st.none() | st.integers(1, 60),
    duration=st.none() | st.integers(1, 10**4),
    pause=st.integers(0, 500),
    data=st.data(),
)
def test_closed_load_is_a_number_of_callers(
    concurrency: int, total: int | None, duration: int | None, pause: int, data: st.DataObject
) -> None:
    pacer = Closed(concurrency, total=total, duration=duration, pause=pause)
    now, sent, last = 0, 0, False
    flying: list[int] = []
    free = [0] * concurrency
    for _ in range(data.draw(st.integers(0, 40))):
        due = pacer.due(now, concurrency - len(flying))
        assert not last or not due.at, "calls fell due after the last"
        assert (due.first, due.dropped) == (sent, 0)
        sent += len(due.at)
        flying += due.at
        assert len(flying) <= concurrency
        assert total is None or sent <= total
        assert all(at <= now and (duration is None or now < duration) for at in due.at)
        assert list(due.at) == sorted(free)[: len(due.at)], "a caller that came free earlier was passed over"
        for at in due.at:
            free.remove(at)
        last = due.last
        assert last == (sent == total or (duration is not None and now >= duration))
        if not last:
            assert all(at > now for at in free), "a free caller did not call"
            wake = min(free, default=None)
            assert due.wake == (wake if wake is None or duration is None else min(wake, duration))
        now += data.draw(st.integers(0, 1000))
        if ended := data.draw(st.integers(0, len(flying))):
            done = [data.draw(st.integers(0, now)) for _ in range(ended)]
            del flying[:ended]
            free += [at + pause for at in done]
            pacer.ended(done)


def test_closed_load_pauses_after_each_reply() -> None:
    pacer = Closed(1, total=2, duration=None, pause=100)
    assert pacer.due(0, 1) == Due(0, [0], 0, None, last=False)
    pacer.ended([50])
    assert pacer.due(60, 1) == Due(1, [], 0, 150, last=False)
    assert pacer.due(150, 1) == Due(1, [150], 0, None, last=True)


def test_closed_load_wakes_for_its_end() -> None:
    pacer = Closed(1, total=None, duration=1000, pause=5000)
    pacer.due(0, 1)
    pacer.ended([10])
    assert pacer.due(20, 1).wake == 1000
    assert pacer.due(1000, 1).last


@pytest.mark.parametrize(
    ("pacer", "text"),
    [
        (Constant(200, total=1, duration=None), "Constant{200/s}"),
        (Constant(0.5, total=1, duration=None), "Constant{0.5/s}"),
        (Closed(50, total=1, duration=None), "Closed{50 at a time}"),
        (Closed(1, total=1, duration=None, pause=SECOND // 10), "Closed{1 at a time, pause 0.1 s}"),
    ],
)
def test_a_pacer_describes_its_load(pacer: Pacer, text: str) -> None:
    assert str(pacer) == text


@given(rates, st.integers(1, 9), st.none() | st.integers(1, 400), st.none() | st.integers(1, 10 * SECOND))
def test_shards_make_the_open_load_together(
    rate: float, count: int, total: int | None, duration: int | None
) -> None:
    if total is None and (duration is None or duration * rate > 400 * SECOND):
        total = 400
    whole = Constant(rate, total=total, duration=duration)
    parts = [Constant(rate, total=total, duration=duration, shard=Shard(i, count)) for i in range(count)]
    assert {str(part) for part in parts} == {str(whole)}
    assert sum(part.expected() or 0 for part in parts) == whole.expected()
    end = 10**15
    together = sorted(at for part in parts for at in part.due(end, 1000).at)
    assert together == list(whole.due(end, 1000).at)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 400), st.integers(0, 10**9))
def test_shards_share_callers_and_total_of_closed_load(
    concurrency: int, count: int, total: int, pause: int
) -> None:
    parts = [
        Closed(concurrency, total=total, duration=None, pause=pause, shard=Shard(i, count))
        for i in range(count)
    ]
    assert {str(part) for part in parts} == {str(Closed(concurrency, total=None, duration=None, pause=pause))}
    assert sum(part.expected() or 0 for part in parts) == total
    started = [len(part.due(0, 1000).at) for part in parts]
    assert all(
        mine == min(Shard(i, count).share(concurrency), Shard(i, count).share(total))
        for i, mine in enumerate(started)
    )
