"""Where backends are, and when a client got there."""

from hypothesis import given
from hypothesis import strategies as st

from loadgen.addresses import APPEARED, KEY, LOOKS, MADE, Addresses, nearest
from loadgen.events import Event

HERE, THERE = "10.0.0.1:9090", "10.0.0.2:9090"


def test_the_first_calls_tell_and_later_ones_are_not_looked_at() -> None:
    addresses = Addresses(0)
    assert addresses.settled == {0}
    for _ in range(LOOKS):
        assert 1 not in addresses.settled
        addresses.learn(1, [("other", "x"), (KEY, HERE)])
    assert 1 in addresses.settled
    assert (addresses.of(1), addresses.of(2)) == (HERE, None)


def test_a_name_that_several_replicas_share_has_no_address() -> None:
    addresses = Addresses()
    for address in (HERE, HERE, THERE):
        addresses.learn(1, [(KEY, address)])
    assert addresses.of(1) is None
    assert 1 in addresses.settled


def test_a_service_that_says_nothing_is_soon_left_alone() -> None:
    addresses = Addresses()
    for _ in range(LOOKS):
        addresses.learn(1, [(KEY, b"\xff"), (KEY, ""), ("replica-id", "a")])
    assert (addresses.of(1), addresses.settled) == (None, {1})


EVENTS = [
    Event(-20, "backend.known", {"address": HERE}),
    Event(-10, "connection.made", {"address": HERE}),
    Event(30, "backend.added", {"address": HERE}),
    Event(40, "connection.made", {"address": HERE}),
    Event(50, "connection.made", {"address": THERE}),
]


def test_a_replica_with_the_address_of_one_before_it_has_its_own_times() -> None:
    assert [nearest(EVENTS, names, HERE, 5) for names in (APPEARED, MADE)] == [-20, -10]
    assert [nearest(EVENTS, names, HERE, 45) for names in (APPEARED, MADE)] == [30, 40]


def test_on_a_cold_channel_the_call_is_first() -> None:
    assert nearest(EVENTS, MADE, THERE, 1) == 50


def test_what_was_not_told_is_not_known() -> None:
    assert nearest(EVENTS, APPEARED, THERE, 60) is None
    assert nearest(EVENTS, MADE, None, 60) is None


@given(st.lists(st.integers(-50, 50)), st.integers(-50, 50))
def test_it_is_an_event_s_time(times: list[int], first: int) -> None:
    found = nearest([Event(at, "connection.made", {"address": HERE}) for at in times], MADE, HERE, first)
    assert (found in times) if times else (found is None)
