"""How a rate changes over time, and its exact integral: how many calls have fallen due.

Everything is whole numbers: times in ns, amounts of calls in parts of `1 / unit` of a call. So a count
is never one off, and the inverse (when a call falls due) is the first ns at which the integral has got there.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time in which the rate goes in a straight line from one value to another (calls/s)."""

    length: int | None
    """ns; None: it never ends, and its rate stays as it is."""
    first: Fraction
    last: Fraction

    def cut(self, at: int) -> tuple["Piece", "Piece"]:
        """Return the part before `at` ns and the part from there on."""
        if self.length is None:
            return Piece(at, self.first, self.first), self
        there = self.first + (self.last - self.first) * Fraction(at, self.length)
        return Piece(at, self.first, there), Piece(self.length - at, there, self.last)


class Curve:
    """The rate over time, as pieces that follow each other from time 0."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = tuple(pieces)
        scale = math.lcm(*(one.denominator for piece in pieces for one in (piece.first, piece.last)))
        self.unit = 2 * scale * SECOND
        """What amounts are counted in: this many are one call."""
        self._parts: list[tuple[int, int | None, int, int]] = []  # begin, length, first and last rate
        self._amounts: list[int] = []  # that fell due before each of these parts
        begin = amount = 0
        for piece in pieces:
            first, last = int(piece.first * scale), int(piece.last * scale)
            if first or last:  # nothing falls due in a pause, so nothing can be looked for in it
                self._parts.append((begin, piece.length, first, last))
                self._amounts.append(amount)
            if piece.length is not None:
                begin += piece.length
                amount += piece.length * (first + last)
        endless = any(piece.length is None for piece in pieces)
        self.length: int | None = None if endless else begin
        """ns; None: it never ends."""
        self.amount: int | None = None if endless else amount
        """What falls due in all; None: there is no end of it."""

    @classmethod
    def flat(cls, rate: float, length: int | None) -> Self:
        """Return one rate (calls/s) for a time (ns), or for ever."""
        exact = exactly(rate)
        return cls([Piece(length, exact, exact)])

    def calls(self) -> int | None:
        """Return how many calls fall due if one does at the start and then one for each whole call."""
        return None if self.amount is None else -(-self.amount // self.unit)

    def at(self, amount: int) -> int:
        """Return the first ns at which `amount` has fallen due, for an amount below that of the whole."""
        part = bisect_right(self._amounts, amount) - 1
        begin, length, first, last = self._parts[part]
        amount -= self._amounts[part]
        if length is None or first == last:
            return begin - (-amount // (2 * first))
        # slope * t * t + linear * t >= wanted, where t is the time since the piece began
        slope, linear, wanted = last - first, 2 * length * first, length * amount
        root = math.isqrt(linear * linear + 4 * slope * wanted)
        t = (root - linear) // (2 * slope) if slope > 0 else (linear - root - 1) // (-2 * slope)
        t = max(0, t)  # the root is rounded, so that this is at most two too low and never too high
        while (slope * t + linear) * t < wanted:
            t += 1
        return begin + t

    def cut(self, at: int) -> tuple["Curve", "Curve"]:
        """Return what is before `at` ns and what is from there on, whose times count from there."""
        before: list[Piece] = []
        after: list[Piece] = []
        for piece in self._pieces:
            if at <= 0:
                after.append(piece)
            elif piece.length is not None and piece.length <= at:
                before.append(piece)
            else:
                head, tail = piece.cut(at)
                before.append(head)
                after.append(tail)
            at -= at if piece.length is None else piece.length
        return Curve(before), Curve(after)


def exactly(rate: float) -> Fraction:
    """Return the rate that was written: 99.9 is 999/10, which no float is."""
    return Fraction(repr(rate))
