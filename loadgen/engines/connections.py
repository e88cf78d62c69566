"""Follows an engine's connections: counts them and notes their events."""

from loadgen.engines import Connections, Connectivity, channelz
from loadgen.ledger import Ledger
from loadgen.peers import Peer
from loadgen.recorder import UNATTRIBUTED

_FAILED = "TRANSIENT_FAILURE"


class ConnectionLog:
    """Reads channelz again and again; what a subchannel did between two readings is in its trace."""

    def __init__(self, ledger: Ledger, *, knows_all: bool) -> None:
        """`knows_all`: the policy makes a subchannel for every address, as round_robin does."""
        self._ledger = ledger
        self._knows_all = knows_all
        self._newest = 0
        self._told: dict[int, int] = {}  # per subchannel: changes that were noted
        self._up: set[int] = set()
        self._mine: set[int] = set()  # subchannels and channels of the last reading
        self._channels: list[int] = []
        self._addresses: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._attempts_before = 0
        self._under_way = 0  # attempts, at the last reading
        self._seen: set[str] = set()
        self._given: tuple[str, ...] | None = None
        self._last: list[channelz.Subchannel] = []
        self._counted: dict[int, channelz.Subchannel] = {}  # as calls were last counted
        self._unended: dict[int, int] = {}
        self._counted_at: int | None = None
        self.peers: dict[str, Peer] | None = None
        """Calls by address, where they are counted."""
        self.made = 0
        self.lost = 0

    def opened(self) -> list[int]:
        """Return the channelz numbers of the channels made since this was last asked."""
        numbers = channelz.channels_since(self._newest)
        self._newest = max(numbers, default=self._newest)
        return numbers

    def given(self, addresses: tuple[str, ...] | None) -> None:
        """Hear which addresses the current channels were made for, where that is known."""
        self._given = addresses
        self._seen.update(addresses or ())

    def read(self, current: list[int], others: list[int], addresses: tuple[str, ...] | None) -> Connectivity:
        """Look at the channels made for `addresses`, and at others in use; note what is new."""
        first = not self._seen
        now = list(channelz.subchannels(current))
        mine = {one.number for one in now}
        old = [one for one in channelz.subchannels(others) if one.number not in mine]
        for subchannel in [*now, *old]:
            self._note(subchannel, "backend.known" if first else "backend.added")
        self._count([*now, *old])
        self._under_way = sum(one.started - one.ok - one.failed for one in [*now, *old])
        for number in self._up - mine - {one.number for one in old}:
            # pick_first forgets a subchannel whose connection has ended, though its channel stays
            self._down(number, "ended" if number in self._mine and current == self._channels else "closed")
        self._mine, self._channels = mine, current
        if now:
            self._last = now
        up = {one.address for one in now if channelz.is_connected(one)}
        failing = [one for one in now if one.state == _FAILED and one.address not in up]
        known = None
        if self._knows_all:
            known = len({one.address for one in now} if addresses is None else addresses)
        reason = next((one.reason for one in failing if one.reason), "")
        return Connectivity(known, len(up), len({one.address for one in failing}), reason)

    def count_calls(self) -> None:
        """Count calls by address from the next reading on, which is only looked at."""
        self.peers = {}
        self._counted.clear()

    def begin(self, in_flight: int) -> None:
        """Leave out what was counted so far, as just read: the warm-up is over, but for calls in flight."""
        waiting = max(0, in_flight - self._under_way)  # no connection has counted these so far
        self._attempts_before = sum(self._attempts.values()) + waiting
        if self.peers is not None:
            self.peers = {}
            for number, early in self._unended.items():
                if early > 0:
                    self.peers.setdefault(self._addresses[number], Peer()).early += early

    def counted(self) -> int:
        """Return how many calls have been counted."""
        return sum(peer.ok + peer.failed - peer.early for peer in (self.peers or {}).values())

    def _count(self, subchannels: list[channelz.Subchannel]) -> None:
        """Add what each has counted since the last reading: a subchannel's own counts end with it."""
        if self.peers is None:
            return
        now, since = self._ledger.now(), self._counted_at
        for number in self._counted.keys() - {one.number for one in subchannels}:
            # how these calls ended will never be known
            self.peers.setdefault(self._addresses[number], Peer()).started -= max(
                0, self._unended.pop(number, 0)
            )
            del self._counted[number]
        for one in subchannels:
            # one that was not there at the last reading began with none
            last = self._counted.get(one.number) or (one if since is None else None)
            self._counted[one.number] = one
            started = one.started - (last.started if last else 0)
            ok = one.ok - (last.ok if last else 0)
            failed = one.failed - (last.failed if last else 0)
            self._unended[one.number] = self._unended.get(one.number, 0) + started - ok - failed
            if started or ok or failed:
                self.peers.setdefault(one.address, Peer()).add(started, ok, failed, now)
            number = self._ledger.backend(one.address)
            began = now if since is None else since
            # in the warm-up there is no timeline; beyond the limit of names the rows of calls show it
            if started and began >= 0 and number != UNATTRIBUTED:
                self._ledger.recorder.noticed(number, started, began, now)
        self._counted_at = now

    def _note(self, subchannel: channelz.Subchannel, appearing: str) -> None:
        number, address = subchannel.number, subchannel.address
        if self._given is None and self._knows_all:
            if number not in self._told and address not in self._seen:
                self._ledger.event(appearing, address=address)
            self._seen.add(address)
        self._addresses[number] = address
        self._attempts[number] = subchannel.started
        for change in subchannel.changes[self._told.get(number, 0) :]:
            at = change.at - self._ledger.recorder.started
            if change.state == "READY":
                self.made += 1
                self._up.add(number)
                self._ledger.event("connection.made", at, address=address)
            elif number in self._up:
                self._down(number, change.reason or change.state.lower(), at)
            elif change.state == _FAILED:
                self._ledger.event("connection.failed", at, address=address, reason=change.reason)
        self._told[number] = len(subchannel.changes)

    def _down(self, number: int, reason: str, at: int | None = None) -> None:
        self._up.discard(number)
        if reason != "closed":  # by this client, when it swaps channels
            self.lost += 1
            self._ledger.event("connection.lost", at, address=self._addresses[number], reason=reason)

    def summary(self) -> Connections:
        """Return the figures of the whole run."""
        addresses = self._given
        if addresses is None and self._knows_all:
            addresses = tuple(sorted({one.address for one in self._last}))
        seen = sorted(self._seen) if addresses is not None else None
        known = None if addresses is None else list(addresses)
        attempts = sum(self._attempts.values()) - self._attempts_before
        return Connections(known, seen, self.made, self.lost, self.peers, attempts)
