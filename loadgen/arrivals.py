"""Open load whose rate changes, or whose calls come by chance: pacers over a `Curve`."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count as counting
from typing import Self

from loadgen.curve import SECOND, Curve
from loadgen.pacing import Due, Pacer
from loadgen.shard import WHOLE, Shard


class Arrivals:
    """Calls that fall due as a curve's integral passes the amounts that a spacing gives.

    `even`: call `k` falls due when `k` calls have fallen due by the integral, the first thus at once. At each
    time so many have fallen due as the integral says, no more and no fewer. A shard makes every n-th of them.

    `poisson`: the amounts between calls are drawn from the exponential distribution of mean 1, so calls come
    independently of each other. A shard draws at a n-th of the rate from a seed of its own: together the
    shards are a Poisson process of the whole rate. The same seed gives the same times.
    """

    def __init__(self, name: str, curve: Curve, amounts: Iterator[int], total: int | None) -> None:
        self._name = name
        self._curve = curve
        self._amounts = amounts
        self._total = total
        self._number = 0
        self._at = self._draw()

    @classmethod
    def even(cls, name: str, curve: Curve, *, shard: Shard = WHOLE) -> Self:
        """Space the calls evenly along the integral; the curve must end."""
        whole = curve.calls()
        assert whole is not None
        amounts = (number * curve.unit for number in counting(shard.index, shard.count))
        return cls(name, curve, amounts, shard.share(whole))

    @classmethod
    def poisson(
        cls,
        name: str,
        curve: Curve,
        *,
        seed: int,
        total: int | None = None,
        shard: Shard = WHOLE,
        part: str = "load",
    ) -> Self:
        """Draw the calls' times; `part` names a part of the run, as each has its own draws."""
        share = None if total is None else shard.share(total)
        return cls(name, curve, _drawn(curve.unit * shard.count, f"{seed} {shard} {part}"), share)

    def __str__(self) -> str:
        return self._name

    def _draw(self) -> int | None:
        """Return when the next call falls due; None where there is none."""
        if self._number == self._total:
            return None
        amount = next(self._amounts)
        if self._curve.amount is not None and amount >= self._curve.amount:
            return None
        return self._curve.at(amount)

    def due(self, now: int, room: int) -> Due:
        """Hand out what fell due by `now`: the earliest while there is room, the others dropped."""
        first, dropped = self._number, 0
        at: list[int] = []
        while self._at is not None and self._at <= now:
            if len(at) < room:
                at.append(self._at)
            else:
                dropped += 1
            self._number += 1
            self._at = self._draw()
        return Due(first, at, dropped, self._at, last=self._at is None)

    def ended(self, done: Sequence[int]) -> None:
        """Change nothing: open load does not wait for answers."""

    def expected(self) -> int | None:
        """Return how many calls fall due within the total."""
        return self._total


def _drawn(mean: int, seed: str) -> Iterator[int]:
    # random() of the same seed is the same in every version of Python, which expovariate() is not
    draw = random.Random(seed).random  # noqa: S311 - arrivals are no secret
    sum_ = 0.0
    while True:
        sum_ -= math.log1p(-draw())
        yield int(sum_ * mean)


class WarmedUp:
    """Open load with a warm-up before it, at the times before 0. The load itself begins afresh at 0."""

    def __init__(self, warmup: Pacer, load: Pacer, length: int) -> None:
        self._warmup = warmup
        self._load = load
        self._length = length
        self._before = 0  # calls that fell due in the warm-up
        self._warming = True

    def __str__(self) -> str:
        return f"{self._load} after {self._length / SECOND:g} s of warm-up"

    def due(self, now: int, room: int) -> Due:
        """Hand out what fell due by `now`, of the warm-up or of the load: never of both at a time."""
        if self._warming:
            due = self._warmup.due(now + self._length, room)
            self._before = due.first + len(due.at) + due.dropped
            self._warming = not due.last
            if due.at or due.dropped or not due.last:
                at = [min(one - self._length, -1) for one in due.at]  # a time may have been rounded to 0
                wake = 0 if due.wake is None else due.wake - self._length
                return Due(due.first, at, due.dropped, wake, last=False, warmup=True)
        due = self._load.due(now, room)
        return replace(due, first=due.first + self._before)

    def ended(self, done: Sequence[int]) -> None:
        """Change nothing: open load does not wait for answers."""

    def expected(self) -> int | None:
        """Return how many calls fall due after the warm-up, if that is known."""
        return self._load.expected()
