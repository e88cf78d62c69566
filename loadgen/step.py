"""One step of a search: a rate, what came of it, and how sure that is."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from loadgen import cautions, thresholds
from loadgen.ledger import Counts
from loadgen.progress import Progress
from loadgen.result import Result
from loadgen.thresholds import Check, Threshold

GROWTH = 0.01  # of the rate: calls in flight that grow faster are a backlog, which no server sustains
Z = 1.96  # standard deviations of a two-sided confidence of 95 %
SAMPLE_EVERY = 0.05  # seconds
SETTLING = 0.25  # of a step, at its start: calls in flight then come up to their number


class Watch(Progress):
    """Shows nothing, and notes how many calls were in flight over time."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.seen: list[Counts] = []

    async def run(self) -> None:
        """Note the counts again and again, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            self.show()

    def show(self) -> None:
        """Note the counts."""
        if self._counts is not None:
            self.seen.append(self._counts())

    def growth(self, length: int) -> float:
        """Return by how many calls a second those in flight grew in `length` ns.

        The slope of a straight line through them (least squares); 0 within twice its standard error.
        """
        rows = [(one.at / 1e9, one.in_flight) for one in self.seen if SETTLING * length <= one.at <= length]
        if len(rows) < 4:
            return 0.0
        at, flying = np.array(rows, float).T
        spread = ((at - at.mean()) ** 2).sum()
        if spread == 0:
            return 0.0
        slope = ((at - at.mean()) * (flying - flying.mean())).sum() / spread
        off = flying - flying.mean() - slope * (at - at.mean())
        error = math.sqrt((off**2).sum() / (len(rows) - 2) / spread)
        return float(slope) if abs(slope) > 2 * error else 0.0


@dataclass(frozen=True, slots=True)
class Try:
    """One run at a step's rate."""

    result: Result
    growth: float
    """How fast the calls in flight grew, as a share of the rate."""
    crossed: tuple[Check, ...]
    """The thresholds that it did not keep."""
    client: bool
    """The load generator itself was late."""

    @property
    def passed(self) -> bool:
        """Whether the rate was sustained within the thresholds."""
        return not self.crossed and not self.client and self.growth <= GROWTH

    @classmethod
    def of(cls, result: Result, growth: float, limits: Sequence[Threshold]) -> Self:
        """Judge a run."""
        crossed = tuple(check for check in thresholds.judge(result, limits) if not check.passed)
        return cls(result, growth, crossed, cautions.client_late(result) is not None)


@dataclass(slots=True)
class Step:
    """A rate (calls/s) and its tries: more than one where the first left doubt."""

    rate: float
    limits: Sequence[Threshold]
    tries: list[Try] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether most tries passed."""
        return sum(one.passed for one in self.tries) * 2 > len(self.tries)

    @property
    def client(self) -> bool:
        """Whether the load generator was late in every try."""
        return all(one.client for one in self.tries)

    @property
    def sure(self) -> bool:
        """Whether all tries agree, and chance would give the same answer 19 times in 20.

        That is said of percentiles: the share of calls above the limit, with its Wilson interval over all
        tries. Calls that wait for each other are less independent than it supposes.
        """
        if any(one.passed != self.passed or one.client for one in self.tries):
            return False
        doubts = [self._doubtful(limit) for limit in self.limits]
        if self.passed:
            return not any(doubts)
        # one reason that is beyond doubt is enough
        by_growth = all(one.growth > GROWTH for one in self.tries)
        last = thresholds.judge(self.tries[-1].result, self.limits)
        return by_growth or any(
            not check.passed and not doubt for check, doubt in zip(last, doubts, strict=True)
        )

    @property
    def clear(self) -> bool:
        """Whether another try would tell nothing new: it is sure, or not one call was above a limit."""
        return self.sure or (
            self.tries[-1].passed and not any(self._above(limit) for limit in self.limits if limit.percentile)
        )

    def _above(self, limit: Threshold) -> int:
        return sum(one.result.latency.above(int(limit.limit))[0] for one in self.tries)

    def _doubtful(self, limit: Threshold) -> bool:
        percent = limit.percentile
        if percent is None:
            return False
        calls = sum(one.result.latency.count for one in self.tries)
        least, most = interval(self._above(limit), calls)
        return least < 1 - percent / 100 < most


def interval(events: int, of: int) -> tuple[float, float]:
    """Return the Wilson score interval (95 %) of a share: of `of` trials, `events` came true."""
    if not of:
        return 0.0, 1.0
    share, spare = events / of, Z * Z / of
    middle = share + spare / 2
    half = Z * math.sqrt(share * (1 - share) / of + spare / (4 * of))
    return max(0.0, (middle - half) / (1 + spare)), min(1.0, (middle + half) / (1 + spare))


def length_for(rate: float, limits: Sequence[Threshold], step: int) -> int:
    """Return how long (ns) a step should last: `step`, or up to 3 times as long for a rare percentile.

    Some 10 calls should lie beyond the percentile, or its value is chance.
    """
    rarest = min((1 - percent / 100 for limit in limits if (percent := limit.percentile)), default=1.0)
    wanted = 10 / max(rarest, 1e-9) / rate * 1e9
    return int(min(max(step, wanted), 3 * step))
