"""Folds finished calls into histograms, counters and a timeline, in constant memory."""

import time
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from loadgen import calls as columns
from loadgen.calls import COLUMNS, Calls
from loadgen.histogram import Histogram
from loadgen.timeline import Timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

N = TypeVar("N", int, "NDArray[np.int64]")

BUFFERED = 4096  # rows: a fold's fixed cost is then below 0.1 us a call
OK = 0  # the number of the outcome of every call that succeeded
UNATTRIBUTED = 0  # the number of the backend of every call that did not say who answered
DROPPED = 0  # the timeline's series: drops first, then two for each backend


def sent_series(backend: N) -> N:
    """Return the timeline's series of calls sent to a backend."""
    return 1 + 2 * backend


def failed_series(backend: N) -> N:
    """Return the timeline's series of calls sent to a backend that failed."""
    return 2 + 2 * backend


@dataclass(slots=True)
class BackendCounts:
    """What one backend did. Times are ns since the start of the run, None before its first call."""

    calls: int
    ok: int
    first_call: int | None
    last_call: int | None
    latency: Histogram


class Recorder:
    """Everything that is kept of finished calls. Those of a warm-up, due before time 0, are left out.

    Latency is done - due, service time is done - sent, lag is sent - due (all ns). Latency and service
    time are of calls that succeeded; those that failed have a histogram of their own.
    """

    def __init__(self) -> None:
        self.begin(time.time_ns())
        self.latency = Histogram()
        self.failed_latency = Histogram()
        self.service = Histogram()
        self.lag = Histogram()
        self.messages_out = 0
        self.messages_in = 0
        self.last_done = 0
        self._buffer = array("q")
        self._outcomes = np.zeros(1, np.int64)
        self._calls = np.zeros(1, np.int64)
        self._ok = np.zeros(1, np.int64)
        self._first = np.full(1, np.iinfo(np.int64).max)
        self._last = np.full(1, -1)
        self._latencies: dict[int, Histogram] = {}

    def begin(self, started: int) -> None:
        """Make wall-clock time `started` (ns since the Unix epoch) the start of the run."""
        self.started = started
        self.timeline = Timeline(started)

    def fold(self, calls: Calls) -> None:
        """Take over these rows; they are folded some 4096 at a time."""
        self._buffer.extend(calls.rows)
        if len(self._buffer) >= BUFFERED * COLUMNS:
            self.flush()

    def dropped(self, at: int, number: int) -> None:
        """Count `number` calls that fell due by `at` (ns) and could not be started."""
        wall = np.full(number, self.started + at, np.int64)
        self.timeline.add(np.full(number, DROPPED, np.int64), wall)

    def noticed(self, backend: int, number: int, since: int, until: int) -> None:
        """Put calls that a connection counted between two times (ns) on the timeline, spread evenly."""
        wall = np.linspace(since, until, number, endpoint=False).astype(np.int64) + self.started
        self.timeline.add(np.full(number, sent_series(backend), np.int64), wall)

    def flush(self) -> None:
        """Fold the rows that wait."""
        rows = np.array(self._buffer, np.int64).reshape(-1, COLUMNS).T
        del self._buffer[:]
        rows = rows[:, rows[columns.DUE] >= 0]
        if not rows.size:
            return
        due, sent, done = rows[columns.DUE], rows[columns.SENT], rows[columns.DONE]
        backend, outcome = rows[columns.BACKEND], rows[columns.OUTCOME]
        ok = outcome == OK
        latency = done - due
        self.latency.add(latency[ok])
        self.failed_latency.add(latency[~ok])
        self.service.add((done - sent)[ok])
        self.lag.add(sent - due)
        self.messages_out += int(rows[columns.MESSAGES_OUT].sum())
        self.messages_in += int(rows[columns.MESSAGES_IN].sum())
        self.last_done = max(self.last_done, int(done.max()))
        wall = sent + self.started
        self.timeline.add(sent_series(backend), wall)
        self.timeline.add(failed_series(backend[~ok]), wall[~ok])
        self.timeline.took(wall, latency, backend)
        self._count(backend, outcome, ok, sent)
        for number in np.unique(backend[ok]).tolist():
            mine = ok & (backend == number)
            self._latencies.setdefault(number, Histogram()).add(latency[mine])

    def _count(
        self,
        backend: "NDArray[np.int64]",
        outcome: "NDArray[np.int64]",
        ok: "NDArray[np.bool]",
        sent: "NDArray[np.int64]",
    ) -> None:
        outcomes = np.bincount(outcome, minlength=len(self._outcomes))
        outcomes[: len(self._outcomes)] += self._outcomes
        self._outcomes = outcomes
        backends = int(backend.max()) + 1
        missing = backends - len(self._calls)
        if missing > 0:
            self._calls = np.pad(self._calls, (0, missing))
            self._ok = np.pad(self._ok, (0, missing))
            unset = np.iinfo(np.int64).max
            self._first = np.pad(self._first, (0, missing), constant_values=unset)
            self._last = np.pad(self._last, (0, missing), constant_values=-1)
        self._calls += np.bincount(backend, minlength=len(self._calls))
        self._ok += np.bincount(backend[ok], minlength=len(self._ok))
        np.minimum.at(self._first, backend, sent)
        np.maximum.at(self._last, backend, sent)

    def calls(self) -> int:
        """Return how many calls were folded."""
        return int(self._calls.sum())

    def ok(self) -> int:
        """Return how many of the folded calls succeeded."""
        return int(self._ok.sum())

    def outcome(self, number: int) -> int:
        """Return how many calls ended so."""
        return int(self._outcomes[number]) if number < len(self._outcomes) else 0

    def backend(self, number: int) -> BackendCounts:
        """Return what the backend of this number did."""
        if number >= len(self._calls) or not self._calls[number]:
            return BackendCounts(0, 0, None, None, Histogram())
        return BackendCounts(
            calls=int(self._calls[number]),
            ok=int(self._ok[number]),
            first_call=int(self._first[number]),
            last_call=int(self._last[number]),
            latency=self._latencies.get(number) or Histogram(),
        )
