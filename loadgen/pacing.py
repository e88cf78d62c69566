"""When calls fall due: arithmetic only, without a clock and without sleeping.

All times are nanoseconds since the start of the run. A warm-up comes before that: its times are negative.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loadgen.curve import SECOND
from loadgen.shard import WHOLE, Shard


@dataclass(frozen=True, slots=True)
class Due:
    """What a pacer hands out."""

    first: int
    """Number of the first of these calls, counted from 0; those that were dropped are numbered too."""
    at: Sequence[int]
    """When each of the calls to start now fell due, in ns."""
    dropped: int
    """How many more fell due without room to start them."""
    wake: int | None
    """Take again at this time (ns), or when a call ends if that is sooner; None: only then."""
    last: bool
    """Nothing will fall due after these."""
    warmup: bool = False
    """All of these fell due in the warm-up; else none did."""


class Pacer(Protocol):
    """Decides when calls fall due. `str()` of it describes the load: `Constant{100/s}`."""

    def due(self, now: int, room: int) -> Due:
        """Return what has fallen due by `now` and was not handed out before; `len(at) <= room`."""
        ...

    def ended(self, done: Sequence[int]) -> None:
        """Hear that calls ended, and when (ns), in any order."""
        ...

    def expected(self) -> int | None:
        """Return how many calls fall due after the warm-up at most, or None where only time limits them."""
        ...


class Closed:
    """A fixed number of callers, each starting its next call when its last one ended.

    A call falls due when its caller came free, plus the pause. Because a slow server makes its callers
    wait, closed load slows down with the server and hides its stalls. A shard has its share of the callers
    and of the total. In a warm-up before time 0 the same callers call, and go on without a break.
    """

    def __init__(
        self,
        concurrency: int,
        *,
        total: int | None,
        duration: int | None,
        pause: int = 0,
        warmup: int = 0,
        shard: Shard = WHOLE,
    ) -> None:
        self._concurrency = concurrency
        self._total = None if total is None else shard.share(total)
        self._duration = duration
        self._pause = pause
        self._warmup = warmup
        # a heap: when each caller that is not calling came free
        self._free = [-warmup] * shard.share(concurrency)
        self._next = 0
        self._made = 0  # calls that fell due after the warm-up

    def __str__(self) -> str:
        pause = f", pause {self._pause / SECOND:g} s" if self._pause else ""
        warmup = f" after {self._warmup / SECOND:g} s of warm-up" if self._warmup else ""
        return f"Closed{{{self._concurrency} at a time{pause}}}{warmup}"

    def due(self, now: int, room: int) -> Due:
        """Hand out a call for each caller that is free by `now`, those of the warm-up by themselves."""
        first, free = self._next, self._free
        if self._duration is not None and now >= self._duration:
            return Due(first, (), 0, None, last=True)
        warmup = bool(free) and free[0] < 0
        if self._total is not None and not warmup:
            room = min(room, self._total - self._made)
        at: list[int] = []
        while room > len(at) and free and free[0] <= now and warmup == (free[0] < 0):
            at.append(heapq.heappop(free))
        self._next += len(at)
        self._made += 0 if warmup else len(at)
        if self._made == self._total:
            return Due(first, at, 0, None, last=True)
        # nobody waits for time where only room was wanting
        wake = free[0] if free and (free[0] > now or room > len(at)) else None
        if wake is not None and self._duration is not None:
            wake = min(wake, self._duration)
        return Due(first, at, 0, wake, last=False, warmup=warmup)

    def ended(self, done: Sequence[int]) -> None:
        """Free the callers of these calls, each `pause` after its call ended."""
        for at in done:
            heapq.heappush(self._free, at + self._pause)

    def expected(self) -> int | None:
        """Return the number of calls asked for, if one was."""
        return self._total


class Constant:
    """Open load: call `k` falls due at `k / rate`, whatever became of those before it.

    Shard i of n makes every n-th of these calls: those numbered i, i + n, i + 2n, ...
    """

    def __init__(self, rate: float, *, total: int | None, duration: int | None, shard: Shard = WHOLE) -> None:
        self._rate = rate
        self._shard = shard
        counts = [total] if total is not None else []
        if duration is not None:
            counts.append(max(1, math.ceil(round(duration * rate / SECOND, 6))))
        whole = min(counts, default=None)
        self._count = None if whole is None else shard.share(whole)
        self._next = 0

    def __str__(self) -> str:
        return f"Constant{{{self._rate:g}/s}}"

    def _at(self, number: int) -> int:
        return round((self._shard.index + number * self._shard.count) * SECOND / self._rate)

    def due(self, now: int, room: int) -> Due:
        """Hand out what fell due by `now`: the earliest while there is room, the others dropped."""
        first = upto = self._next
        upto = max(upto, int((now * self._rate / SECOND - self._shard.index) / self._shard.count))
        while upto > first and self._at(upto - 1) > now:  # both loops mend float rounding only
            upto -= 1
        while self._at(upto) <= now:
            upto += 1
        if self._count is not None:
            upto = min(upto, self._count)
        self._next = upto
        started = min(upto - first, max(0, room))
        at = [self._at(number) for number in range(first, first + started)]
        last = upto == self._count
        wake = None if last else self._at(upto)
        return Due(first, at, upto - first - started, wake, last)

    def ended(self, done: Sequence[int]) -> None:
        """Change nothing: open load does not wait for answers."""

    def expected(self) -> int | None:
        """Return how many calls fall due within the total and the duration."""
        return self._count
