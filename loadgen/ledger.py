"""The one place that counts calls: what fell due, what was sent, what was dropped, what ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from loadgen import calls as columns
from loadgen.addresses import Addresses
from loadgen.calls import Calls
from loadgen.events import Event, Value
from loadgen.names import Names
from loadgen.pacing import Due, Pacer
from loadgen.recorder import OK, UNATTRIBUTED, Recorder
from loadgen.result import Totals

BACKENDS = 1000
MESSAGES = 200
EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is, or several together: what counts are of the warm-up until that is over."""

    at: int = 0
    """ns since the start, of the warm-up if there is one."""
    expected: int | None = 0
    """Calls that will fall due in all; None in the warm-up, and where only time limits them."""
    due: int = 0
    sent: int = 0
    dropped: int = 0
    ok: int = 0
    failed: int = 0
    backends: frozenset[str] = frozenset()
    """The names of those that answered."""
    warming_up: bool = False

    @property
    def in_flight(self) -> int:
        """Calls that were sent and have not ended."""
        return self.sent - self.ok - self.failed

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both."""
        known = self.expected is not None and other.expected is not None
        return Counts(
            max(self.at, other.at),
            self.expected + other.expected if known else None,  # type: ignore[operator]
            self.due + other.due,
            self.sent + other.sent,
            self.dropped + other.dropped,
            self.ok + other.ok,
            self.failed + other.failed,
            self.backends | other.backends,
            self.warming_up or other.warming_up,
        )


def _ignore() -> None:
    """Stand in for an engine that has not asked to be told."""


class Ledger:
    """Stands between the pacer and an engine, and hands finished calls to the recorder.

    An engine takes what is due, makes the calls and finishes every call that it took exactly once:

        due = sent + dropped        sent = ok + failed + in flight

    All times are ns since the start of the run, on one monotonic clock. A warm-up comes before that, so its
    times are negative: a call belongs to it if it fell due in it, whenever it was sent and ended. Its calls
    are counted apart, in `warmup`, by the same identities.
    """

    def __init__(
        self,
        pacer: Pacer,
        recorder: Recorder,
        *,
        max_in_flight: int,
        warmup: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.pacer = pacer
        self.recorder = recorder
        self.changed: Callable[[], None] = _ignore
        """Called when taking again may give something else: an engine sets it."""
        self.due = 0
        self.sent = 0
        self.dropped = 0
        self.ok = 0
        self.failed = 0
        self.warmup = Totals(0, 0, 0, 0, 0)
        self.stopped: str | None = None
        """Why the run was stopped early, if it was."""
        self.events: list[Event] = []
        self.events_left_out = 0
        self.backends: Names[str] = Names(BACKENDS)
        self.addresses = Addresses(UNATTRIBUTED)
        """Those of backends, by number."""
        self.outcomes: Names[tuple[int, str]] = Names(MESSAGES)
        self._clock = clock
        self._epoch = clock()
        self._max_in_flight = max_in_flight
        self._warmup = warmup
        self._nothing_more = False
        self._overflowed = False
        self.backends.number("")  # number 0: UNATTRIBUTED
        self.outcomes.number((0, ""))  # number 0: OK

    def start(self) -> None:
        """Start the warm-up now, and the run after it; what was noted gets times before the run."""
        before = self.now() + self._warmup
        self._epoch += before
        self.events = [replace(event, at=event.at - before) for event in self.events]
        self.recorder.begin(time.time_ns() + self._warmup)

    def now(self) -> int:
        """Return the ns since the start of the run."""
        return self._clock() - self._epoch

    @property
    def in_flight(self) -> int:
        """Calls that were taken and have not ended."""
        return self.sent - self.ok - self.failed + self.warmup.in_flight

    def counts(self) -> Counts:
        """Return how far the run is."""
        now = self.now()
        warming_up = now < 0
        of = self.warmup if warming_up else self
        return Counts(
            now + self._warmup,
            None if warming_up else self.pacer.expected(),
            of.due,
            of.sent,
            of.dropped,
            of.ok,
            of.failed,
            frozenset(filter(None, self.backends)),
            warming_up,
        )

    @property
    def over(self) -> bool:
        """Nothing more will fall due and nothing is in flight."""
        return self._nothing_more and not self.in_flight

    def take(self) -> Due:
        """Return the calls to start now; what fell due beyond the room for it is dropped here."""
        if self.stopped is not None:
            self._nothing_more = True
            return Due(self.warmup.due + self.due, (), 0, None, last=True)
        now = self.now()
        due = self.pacer.due(now, self._max_in_flight - self.in_flight)
        started = len(due.at)
        self._nothing_more = due.last
        if due.warmup:
            self.warmup.due += started + due.dropped
            self.warmup.sent += started
            self.warmup.dropped += due.dropped
            return due
        self.due += started + due.dropped
        self.sent += started
        if due.dropped:
            self.dropped += due.dropped
            self.recorder.dropped(now, due.dropped)
        return due

    def finish(self, calls: Calls) -> None:
        """Count calls that ended: their room is free at once, and the recorder gets the rows."""
        ended = len(calls)
        ok = calls.column(columns.OUTCOME).count(OK)
        if self.warmup.in_flight:
            pairs = zip(calls.column(columns.DUE), calls.column(columns.OUTCOME), strict=True)
            before = [outcome for due, outcome in pairs if due < 0]
            self.warmup.ok += before.count(OK)
            self.warmup.failed += len(before) - before.count(OK)
            ended -= len(before)
            ok -= before.count(OK)
        self.ok += ok
        self.failed += ended - ok
        self.pacer.ended(calls.column(columns.DONE))
        self.recorder.fold(calls)

    def backend(self, name: str) -> int:
        """Return the number of the backend of this name.

        After the first 1000 names, and for an empty one, that is the number of the unattributed calls.
        """
        number = self.backends.number(name)
        if number is None:
            if not self._overflowed:
                self._overflowed = True
                self.event("backend.overflow", limit=BACKENDS)
            return UNATTRIBUTED
        return number

    def outcome(self, code: int, message: str) -> int:
        """Return the number of the outcome with this status code; after 200 messages they are pooled."""
        number = self.outcomes.number((code, message))
        if number is None:
            self.outcomes.widen((code, "(other messages)"))
            number = self.outcomes.number((code, "(other messages)"))
            assert number is not None
        return number

    def event(self, name: str, at: int | None = None, **attributes: Value) -> None:
        """Note what happened, now or at a given time (ns); after 1000 events they are only counted."""
        if len(self.events) < EVENTS:
            self.events.append(Event(self.now() if at is None else at, name, attributes))
        else:
            self.events_left_out += 1

    def stop(self, reason: str) -> None:
        """Let nothing more fall due; what is in flight goes on. The first reason stands."""
        if self.stopped is None:
            self.stopped = reason
            self.event("run.stopping", reason=reason)
            self.changed()
