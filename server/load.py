"""How much a replica has to do, over the last seconds: arithmetic only, no clock.

All times are int nanoseconds of one clock that never goes back.
"""

from collections import deque
from dataclasses import dataclass

from server.settings import SECOND

STEP = SECOND // 10
STEPS = 50
WINDOW = STEPS * STEP
"""What is told of covers as long, and up to one step more."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a replica did per second."""

    rate: float
    """Calls that ended per second, failed ones too."""
    errors: float
    """Calls that failed per second."""
    working: float
    """Calls that were worked on at a time, as a mean."""


@dataclass(slots=True)
class _Step:
    worked: int = 0
    ended: int = 0
    failed: int = 0


class Meter:
    """Counts calls and the time of work in steps, and forgets those that are older than the window."""

    def __init__(self, now: int) -> None:
        """Begin now; the window is shorter until it is as old."""
        self._began = self._at = now
        self._working = 0
        self._steps: deque[_Step] = deque([_Step()], STEPS + 1)

    def start(self, now: int) -> None:
        """Note that work on a call begins."""
        self._go_on(now)
        self._working += 1

    def stop(self, now: int) -> None:
        """Note that it is over."""
        self._go_on(now)
        self._working -= 1

    def ended(self, now: int, *, failed: bool) -> None:
        """Note that a call has ended."""
        self._go_on(now)
        self._steps[-1].ended += 1
        self._steps[-1].failed += failed

    def read(self, now: int) -> Load:
        """Return what was done in the window; all 0 at the very begin."""
        self._go_on(now)
        since = max(self._began, (now // STEP - len(self._steps) + 1) * STEP)
        took = now - since
        if not took:
            return Load(0.0, 0.0, 0.0)
        return Load(
            sum(one.ended for one in self._steps) * SECOND / took,
            sum(one.failed for one in self._steps) * SECOND / took,
            sum(one.worked for one in self._steps) / took,
        )

    def _go_on(self, now: int) -> None:
        """Share out the time that has passed among the steps that it lies in."""
        if now - self._at > WINDOW + STEP:  # no step of before is left
            self._steps.extend(_Step() for _ in range(STEPS + 1))
            self._at = (now // STEP - STEPS) * STEP
        while self._at < now:
            edge = min(now, (self._at // STEP + 1) * STEP)
            self._steps[-1].worked += self._working * (edge - self._at)
            self._at = edge
            if not edge % STEP:
                self._steps.append(_Step())


class Processor:
    """The processor time that a process took per second, over some of its readings."""

    def __init__(self, now: int, used: int) -> None:
        """`used`: ns of processor time since the process began."""
        self._readings = deque([(now, used)])

    def read(self, now: int, used: int) -> float:
        """Return the cores that were in use since the last reading that is as old as the window."""
        while len(self._readings) > 1 and self._readings[1][0] <= now - WINDOW:
            self._readings.popleft()
        at, before = self._readings[0]
        self._readings.append((now, used))
        return (used - before) / (now - at) if now > at else 0.0
