"""Calls counted by address."""

from hypothesis import given
from hypothesis import strategies as st

from loadgen.peers import Peer, by_host, settled, within

counts = st.dictionaries(st.text("abc"), st.integers(0, 10**6))


@given(counts, st.integers(0, 10**6))
def test_counts_are_kept_or_made_less_in_proportion(given_counts: dict[str, int], most: int) -> None:
    made = within(given_counts, most)
    total = sum(given_counts.values())
    assert sum(made.values()) == min(total, most)
    assert made.keys() == given_counts.keys()
    for name, count in given_counts.items():
        assert abs(made[name] - count * min(total, most) / (total or 1)) < 1


@given(st.lists(st.integers(0, 100), min_size=1), st.integers(0, 10_000))
def test_a_row_adds_up_to_what_was_counted(row: list[int], calls: int) -> None:
    made = settled(row, calls)
    assert sum(made) == calls
    assert len(made) == len(row)
    assert min(made) >= 0
    if sum(row) == calls:
        assert made == row


def test_a_peer_adds_up() -> None:
    peer = Peer()
    peer.add(5, 3, 1, 100)
    peer.add(2, 2, 0, 200)
    assert peer == Peer(started=7, ok=5, failed=1, first=100, last=200)
    assert (peer.lost(over=False), peer.lost(over=True)) == (1, 2)


def test_addresses_are_those_of_pods_or_of_a_service() -> None:
    calls = {"10.0.0.1:90": 3, "10.0.0.1:91": 4, "[fd00::1]:90": 5}
    assert by_host(calls, ["10.0.0.1", "10.0.0.2", None, "fd00::1"]) == [7, 0, None, 5]
    assert by_host({"10.96.0.1:90": 3}, ["10.0.0.1", "10.0.0.2"]) == [None, None]
    assert by_host({}, []) == []
