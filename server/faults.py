"""What a replica does worse than it could: arithmetic only, no clock and no sleep.

All times are int nanoseconds.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Errors:
    """Fails an exact share of the Gets, spread evenly: of the first n, floor(n * ratio) fail."""

    ratio: Fraction
    """0 to 1. Exact, as the float nearest to 0.3 would fail 2 of 10."""

    def fails(self, number: int) -> bool:
        """Tell whether the Get of this number, counted from 1, fails."""
        return number * self.ratio.numerator % self.ratio.denominator < self.ratio.numerator


@dataclass(frozen=True, slots=True)
class Stall:
    """Stops all work for the last `length` of every period, the first of which starts at 0."""

    every: int
    """Length of a period."""
    length: int
    """Less than `every`, more than 0."""

    def remaining(self, now: int) -> int:
        """Tell how long the stall that `now` lies in still lasts: 0 outside of one."""
        phase = now % self.every
        return self.every - phase if phase >= self.every - self.length else 0


@dataclass(frozen=True, slots=True)
class Faults:
    """All that slows down or fails a Get."""

    delay: int = 0
    """What the work of one Get takes."""
    slots: int = 0
    """How many Gets are worked on at a time, so that capacity is slots / delay; 0: any number."""
    errors: Errors | None = None
    stall: Stall | None = None

    @property
    def work(self) -> bool:
        """Whether a Get may take time."""
        return bool(self.delay or self.slots or self.stall)
