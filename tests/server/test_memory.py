import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.memory import BATCHES, Account, Pieces
from server.settings import Footprint
from tests.server.replica import PATIENCE, Replica, Starter

KI, MI = 1 << 10, 1 << 20
SLACK = 40 * MI
"""What gRPC and Python may take for some hundred calls at once."""


def resident(replica: Replica) -> int:
    return int(psutil.Process(replica.process.pid).memory_info().rss)


def highest(replica: Replica) -> int:
    """The most that was ever resident."""
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * KI


def mappings(replica: Replica) -> int:
    return Path(f"/proc/{replica.process.pid}/maps").read_text().count("\n")


def await_that(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline


def ok(replica: Replica, count: int) -> bool:
    return all(call.exception() is None for call in replica.answers(count))


def test_calls_make_memory_resident(start: Starter) -> None:
    replica = start("--memory-per-call", "1Mi", "--memory-hold", "1h")
    before = resident(replica)
    assert ok(replica, 200)
    assert 200 * MI <= resident(replica) - before < 200 * MI + SLACK
    assert replica.metric("server_memory_held_bytes") == 200 * MI
    assert replica.metric("server_memory_capped_total") == 0


def test_it_is_given_back_after_the_hold(start: Starter) -> None:
    replica = start("--memory-per-call", "1Mi", "--memory-hold", "2s")
    before = resident(replica)
    assert ok(replica, 200)
    await_that(lambda: resident(replica) < before + SLACK)
    assert highest(replica) >= before + 200 * MI
    await_that(lambda: replica.metric("server_memory_held_bytes") == 0)
    # and it can be had again
    assert ok(replica, 100)
    assert replica.metric("server_memory_held_bytes") == 100 * MI


def test_steady_load_holds_rate_times_hold(start: Starter) -> None:
    replica = start("--memory-per-call", "2Mi", "--memory-hold", "500ms")
    before = resident(replica)
    ended = time.monotonic() + 2
    calls = 0
    while time.monotonic() < ended:  # many times what fits into one hold
        assert ok(replica, 1)
        calls += 1
    assert replica.metric("server_memory_held_bytes") < calls * 2 * MI
    await_that(lambda: resident(replica) < before + SLACK)


def test_beyond_the_cap_calls_are_answered_and_counted(start: Starter) -> None:
    replica = start("--memory-per-call", "10Mi", "--memory-hold", "1h", "--memory-max", "105Mi")
    before = resident(replica)
    assert ok(replica, 100)
    assert replica.metric("server_memory_held_bytes") == 100 * MI
    assert replica.metric("server_memory_capped_total") == 90
    assert resident(replica) - before < 100 * MI + SLACK
    replica.process.terminate()
    code, lines = replica.end()
    assert code == 0
    assert lines[-1]["event"] == "stopped"
    assert lines[-1]["served"] == 100
    assert lines[-1]["capped"] == 90


def test_what_the_system_refuses_is_capped_too(start: Starter) -> None:
    replica = start("--memory-per-call", "64Gi", "--memory-hold", "1h")
    process = psutil.Process(replica.process.pid)
    limit = process.memory_info().vms + (1 << 30)
    process.rlimit(psutil.RLIMIT_AS, (limit, limit))
    for _ in range(5):
        assert ok(replica, 1)
    assert replica.metric("server_memory_held_bytes") == 0
    assert replica.metric("server_memory_capped_total") == 5


@pytest.mark.parametrize("size", ["100", "64Ki"])
def test_calls_take_no_mapping_each(start: Starter, size: str) -> None:
    replica = start("--memory-per-call", size, "--memory-hold", "1h")
    assert ok(replica, 100)  # gRPC has its threads now
    before = mappings(replica)
    assert ok(replica, 2000)
    assert mappings(replica) - before < 100


def test_it_is_off_by_default(start: Starter) -> None:
    replica = start()
    assert ok(replica, 100)
    assert replica.metric("server_memory_held_bytes") == 0
    assert replica.metric("server_memory_capped_total") == 0


footprints = st.builds(
    lambda per_call, hold, more: Footprint(per_call, hold, None if more is None else per_call + more),
    st.integers(1, 10**6),
    st.integers(1, 10**12),
    st.none() | st.integers(0, 10**7),
)


@given(footprints, st.lists(st.floats(0, 2), max_size=200))
def test_all_is_held_long_enough_and_not_much_longer(footprint: Footprint, pauses: list[float]) -> None:
    account = Account(footprint)
    now = 0
    taken: list[int] = []
    capped = 0
    for pause in pauses:  # in parts of a hold
        now += int(pause**4 * footprint.hold)  # most of them short
        before = account.held
        assert account.release(now) == before - account.held
        held, margin = account.held, footprint.hold // BATCHES
        assert held >= footprint.per_call * sum(now < at + footprint.hold for at in taken)
        assert held <= footprint.per_call * sum(now < at + footprint.hold + margin for at in taken)
        if account.full:
            capped += 1
            assert footprint.most is not None
            assert held + footprint.per_call > footprint.most
        else:
            account.take(now)
            taken.append(now)
        assert footprint.most is None or account.held <= footprint.most
        assert (account.until is None) == (account.held == 0)
    assert capped + len(taken) == len(pauses)
    held = account.held
    assert account.release(now + footprint.hold) == held
    assert account.held == 0
    assert account.until is None


@given(footprints, st.integers(1, 3000))
def test_what_is_remembered_does_not_grow_with_calls(footprint: Footprint, calls: int) -> None:
    account = Account(Footprint(footprint.per_call, 10**9, None))
    for number in range(calls):
        account.take(number * 10**9 // calls)
    releases = 0
    while (until := account.until) is not None:
        assert account.release(until)
        releases += 1
    assert releases <= BATCHES + 1


SIZE = 64 * KI
steps = st.lists(st.tuples(st.integers(0, 3 * SIZE), st.floats(0, 1)), max_size=50)


@given(steps)
def test_no_more_is_mapped_than_holds_the_bytes(steps: list[tuple[int, float]]) -> None:
    pieces = Pieces(SIZE)
    held = 0
    for more, share in steps:
        assert pieces.grow(more)
        held += more
        less = int(held * share)
        pieces.shrink(less)
        held -= less
        assert held <= len(pieces) * SIZE < held + 2 * SIZE
    pieces.shrink(held)
    assert len(pieces) <= 1
