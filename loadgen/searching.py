"""Which rate to try next: arithmetic only, like a pacer.

A geometric climb brackets the limit, bisection narrows it down. Rates are calls per second.
"""

import math

FACTOR = 2.0
FEWEST = 0.1  # calls/s: a service that does not sustain this sustains nothing


class Search:
    """The search for the highest rate that passes, where every higher one fails.

    `rate` is the one to try; `tell` what came of it, until `over`. `found` is the highest that passed, and
    what failed is at most `precision` above it (0.02: 2 %), unless `most` passed. What failed is tried once
    more at the end: a rate that failed by chance would hide all that lies above it.
    """

    def __init__(self, start: float, *, most: float, precision: float) -> None:
        self._most = most
        self.precision = precision
        self.rate = min(start, most)
        self.found: float | None = None
        self._failures: list[float] = []  # rates, highest first
        self._confirmed: float | None = None

    @property
    def failed(self) -> float | None:
        """The lowest rate that failed."""
        return self._failures[-1] if self._failures else None

    @property
    def over(self) -> bool:
        """Nothing is left to try."""
        return self._narrow and (self.failed is None or self._confirmed == self.failed)

    @property
    def _narrow(self) -> bool:
        if self.found is None:
            return self.failed is not None and self.failed <= FEWEST
        if self.failed is None:
            return self.found >= self._most
        return self.failed <= self.found * (1 + self.precision)

    def tell(self, passed: bool) -> None:
        """Hear whether the rate passed, and choose the next one."""
        if self._narrow:
            self._confirmed = None if passed else self.rate
            if passed:
                self._failures.pop()
                self.found = self.rate
        elif passed:
            self.found = self.rate
        else:
            self._failures.append(self.rate)
        self.rate = self._next()

    def _next(self) -> float:
        if self._narrow:
            return self.failed or self.rate
        if self.failed is None:
            return min(self.rate * FACTOR, self._most)
        if self.found is None:
            return max(self.rate / FACTOR, FEWEST)
        return math.sqrt(self.found * self.failed)
