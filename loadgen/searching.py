"""Which rate to try next: arithmetic only, like a pacer.

A geometric climb brackets the limit, bisection narrows it down. Rates are calls per second.
"""

import math

FACTOR = 2.0
FEWEST = 0.1  # calls/s: a service that does not sustain this sustains nothing


class Search:
    """The search for the highest rate that passes, where every higher one fails.

    `rate` is the one to try; `tell` what came of it, until `over`. `found` is the highest that passed, and
    what failed is at most `precision` above it (0.02: 2 %), unless `most` passed.
    """

    def __init__(self, start: float, *, most: float, precision: float) -> None:
        self._most = most
        self.precision = precision
        self.rate = min(start, most)
        self.found: float | None = None
        self.failed: float | None = None
        """The lowest rate that failed."""

    @property
    def over(self) -> bool:
        """Nothing is left to try."""
        if self.found is None:
            return self.failed is not None and self.failed <= FEWEST
        if self.failed is None:
            return self.found >= self._most
        return self.failed <= self.found * (1 + self.precision)

    def tell(self, passed: bool) -> None:
        """Hear whether the rate passed, and choose the next one."""
        if passed:
            self.found = self.rate
        else:
            self.failed = self.rate
        if self.failed is None:
            self.rate = min(self.rate * FACTOR, self._most)
        elif self.found is None:
            self.rate = max(self.rate / FACTOR, FEWEST)
        else:
            self.rate = math.sqrt(self.found * self.failed)

    def tries(self) -> int:
        """Return how many more rates are tried at most, once the limit is bracketed; else 0."""
        if self.found is None or self.failed is None or self.over:
            return 0
        width = math.log(self.failed / self.found) / math.log(1 + self.precision)
        return math.ceil(math.log2(width))
