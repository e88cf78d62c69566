"""Calls by the address of who answered, as connections count them: for services that do not say who they are.

gRPC tells no caller which connection a call took, but counts the calls of each connection (channelz). So
nothing is known of single calls: no latency by backend, and times only as exact as the counts are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Peer:
    """What the connections to one address counted. Times are ns since the start of the run."""

    started: int = 0
    ok: int = 0
    failed: int = 0
    first: int | None = None
    """When its first call was noticed."""
    last: int | None = None
    early: int = 0
    """Calls in flight when the counting began: of the warm-up, yet their ends are counted."""

    def add(self, started: int, ok: int, failed: int, at: int) -> None:
        """Add what was counted since the last reading, read now."""
        self.started += started
        self.ok += ok
        self.failed += failed
        self.first = at if self.first is None else self.first
        self.last = at

    def lost(self, *, over: bool) -> int:
        """Return the calls that failed; once all are `over`, those of which no end was counted did too.

        That is of connections that could be read to the end: gRPC counts no end of some streams of the client
        that pass their deadline.
        """
        return max(self.failed, self.started - self.ok) if over else self.failed


def within(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Return the counts, made less in proportion where their sum is more than `most`.

    Connections count attempts: what gRPC sends once more, or sends by itself, is no call of the run.
    """
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    made = {name: count * most // total for name, count in counts.items()}
    lost = sorted(counts, key=lambda name: (-(counts[name] * most % total), name))
    for name in lost[: most - sum(made.values())]:
        made[name] += 1
    return made


def settled(row: list[int], calls: int) -> list[int]:
    """Return a timeline's row that adds up to `calls`: what differs is taken from, or put to, its end."""
    made = list(row)
    more = calls - sum(made)
    for place in reversed(range(len(made))):
        if more >= 0:
            break
        taken = min(made[place], -more)
        made[place] -= taken
        more += taken
    if more > 0 and made:
        place = max((n for n, count in enumerate(made) if count), default=len(made) - 1)
        made[place] += more
    return made


def by_host(calls: Mapping[str, int], hosts: Sequence[str | None]) -> list[int | None]:
    """Return the calls of each host, of calls by `IP:PORT`.

    None for all where no address is of any of the hosts: it is then that of a Service, and who is behind it
    is not known.
    """
    found: dict[str, int] = {}
    for name, count in calls.items():
        host = name.rpartition(":")[0].strip("[]")
        found[host] = found.get(host, 0) + count
    if not any(host in found for host in hosts):
        return [None] * len(hosts)
    return [None if host is None else found.get(host, 0) for host in hosts]
