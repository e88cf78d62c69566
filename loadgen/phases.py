"""The stable phases of a run: between changes of its backends, once all are connected. Pure, as a report."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadgen import overtime
from loadgen.events import Event
from loadgen.result import Result

TOUCHING = frozenset(
    {*overtime.STEPS, "channel.swapped", "channel.rotated", "connection.made", "connection.lost"}
)
EARLY = 250_000_000  # ns by which a backend's own health or GOAWAY may tell the client before discovery does
UPDATES = frozenset({"backend.added", "backend.removed"})


@dataclass(frozen=True, slots=True)
class Phase:
    """Whole intervals of the timeline in which nothing changed; times are ns since the start of the run."""

    begin: int
    end: int
    backends: int
    """How many discovery knew."""
    calls: dict[str, int]
    """Calls sent to each that got some."""

    @property
    def least(self) -> int:
        """Calls of the backend that got the fewest: 0 where one got none."""
        return min(self.calls.values()) if len(self.calls) >= self.backends else 0

    @property
    def most(self) -> int:
        """Calls of the backend that got the most."""
        return max(self.calls.values())

    @property
    def peak_to_mean(self) -> float:
        """The most over the mean of all that were known: 1.0 is even."""
        return self.most * self.backends / sum(self.calls.values())

    def to_json(self) -> dict[str, Any]:
        """Return it for a summary, times in seconds."""
        return {
            "start_s": self.begin / 1e9,
            "end_s": self.end / 1e9,
            "backends": self.backends,
            "calls": self.calls,
            "peak_to_mean": round(self.peak_to_mean, 4),
        }


def phases(result: Result) -> list[Phase] | None:
    """Return the phases in which a call was sent; None where that is not told, as in `overtime.known`.

    A phase begins an interval after the last change and ends `EARLY` before the next, and an interval is in
    it as a whole or not at all. So what is left of unevenness is the policy's.
    """
    if overtime.known(result) is None:
        return None
    timeline = result.timeline
    origin, length = timeline.start - result.started, timeline.interval
    found = []
    for since, until, known in _spans(result):
        first = 0 if since <= 0 else -((origin - since) // length) + 1
        last = len(timeline.sent) if until is None else (until - EARLY - origin) // length
        if first >= last:
            continue
        calls = {name: sum(row[first:last]) for name, row in timeline.backends.items()}
        calls = {name: count for name, count in calls.items() if count}
        if calls:
            begin = max(0, origin + first * length)
            found.append(Phase(begin, min(origin + last * length, result.duration), known, calls))
    return found


def _spans(result: Result) -> Iterator[tuple[int, int | None, int]]:
    """Give when nothing happened: from, until (None: the end), and how many backends were known meanwhile."""
    knowing: Counter[str] = Counter()
    down: set[str] = set()
    updates: set[int] = set()  # that discovery told of, by their times
    taken = 0  # of these, how many channels have been swapped for
    since: int | None = None
    for event in result.events:
        if event.name not in TOUCHING or not _matters(event, knowing):
            continue
        if since is not None and event.at > since:
            yield since, event.at, _known(knowing)
        address = str(event.attributes.get("address"))
        knowing[address] += overtime.STEPS.get(event.name, 0)
        if event.name in UPDATES and event.at > 0:  # before, channels are made anew and nobody tells
            updates.add(event.at)
        elif event.name == "channel.swapped":
            taken = min(taken + 1, len(updates))
        if event.name in {"backend.known", "backend.added", "connection.lost"}:
            down.add(address)
        elif event.name in {"backend.removed", "connection.made"}:
            down.discard(address)
        settled = taken >= len(updates) and not down and _known(knowing)
        since = event.at if settled else None
    if since is not None:
        yield since, None, _known(knowing)


def _matters(event: Event, knowing: Counter[str]) -> bool:
    """Tell whether it is about a backend in use: connections of one that has left end as they may."""
    about_one = event.name in {"connection.made", "connection.lost"}
    return not about_one or knowing[str(event.attributes.get("address"))] > 0


def _known(knowing: Counter[str]) -> int:
    return sum(count > 0 for count in knowing.values())
