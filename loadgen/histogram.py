"""Latency histograms in HdrHistogram's layout, filled in bulk.

The layout is that of HdrHistogram (http://hdrhistogram.org) with a lowest value of 1 ns, a highest of
1 hour and 3 significant digits: every value is kept to 0.1 %. Encoded, a histogram is HdrHistogram's V2
compressed format in base64, which the HdrHistogram libraries of other languages read.
"""

import ctypes
from typing import TYPE_CHECKING, Self

import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST = 1
HIGHEST = 3_600_000_000_000
DIGITS = 3

_BITS = 11  # 2048 sub-buckets give 3 digits
_HALF = 1 << (_BITS - 1)
_SIZE = HdrHistogram(LOWEST, HIGHEST, DIGITS).counts_len


def _slots(values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return where each value is counted: its power of two above the sub-buckets, then its upper bits."""
    _, exponent = np.frexp(values.astype(np.float64))
    bucket = np.maximum(exponent.astype(np.int64) - _BITS, 0)
    slots: NDArray[np.int64] = bucket * _HALF + (values >> bucket)
    return slots


def _bounds(slots: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return the lowest and the highest value that is counted in each slot."""
    bucket = np.maximum(slots // _HALF - 1, 0)
    lowest = (slots - bucket * _HALF) << bucket
    return lowest, lowest + (np.int64(1) << bucket) - 1


class Histogram:
    """Counts of durations in ns, with their exact sum, minimum and maximum. 0.3 MB at most."""

    __slots__ = ("_counts", "count", "max", "min", "sum")

    def __init__(self) -> None:
        self._counts = np.zeros(_SIZE, np.int64)
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0

    def add(self, values: "NDArray[np.int64]") -> None:
        """Count `values` (ns, int64, any number of them); those outside 0 ns to 1 h count at the bound."""
        if not len(values):
            return
        values = np.clip(values, 0, HIGHEST)
        np.add.at(self._counts, _slots(values), 1)
        low, high = int(values.min()), int(values.max())
        self.min = min(self.min, low) if self.count else low
        self.max = max(self.max, high)
        self.count += len(values)
        self.sum += int(values.sum())

    def merge(self, other: "Histogram") -> None:
        """Add what `other` counted: the same as if its values had been added here."""
        if not other.count:
            return
        self._counts += other._counts
        self.min = min(self.min, other.min) if self.count else other.min
        self.max = max(self.max, other.max)
        self.count += other.count
        self.sum += other.sum

    def mean(self) -> float:
        """Return the exact mean in ns; 0 where nothing was counted."""
        return self.sum / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Return the value (ns) that `percent` % of the values do not exceed; 0 where there is none.

        As HdrHistogram does it: the highest value that is counted as one with the true one, so at most
        0.1 % above it and never below.
        """
        if not self.count:
            return 0
        rank = max(1, int(np.ceil(percent / 100 * self.count - 1e-9)))
        slot = np.searchsorted(np.cumsum(self._counts), [rank])
        return min(int(_bounds(slot)[1][0]), self.max)

    def above(self, value: int) -> tuple[int, int]:
        """Return how many values are above `value` (ns) and their sum, both to the layout's precision."""
        used = np.flatnonzero(self._counts)
        lowest, highest = _bounds(used)
        longer = lowest > value
        middle = (lowest[longer] + highest[longer]) / 2
        counts = self._counts[used[longer]]
        return int(counts.sum()), int((counts * middle).sum())

    def bins(self, number: int) -> list[tuple[int, int]]:
        """Return `number` bins of one width from minimum to maximum: (upper bound in ns, count)."""
        if not self.count:
            return []
        edges = np.linspace(self.min, self.max, number + 1)[1:]
        used = np.flatnonzero(self._counts)
        middle = np.minimum(np.mean(_bounds(used), axis=0), self.max)
        counts = np.bincount(
            np.searchsorted(edges[:-1], middle), weights=self._counts[used], minlength=number
        )
        return [(round(edge), int(count)) for edge, count in zip(edges, counts, strict=True)]

    def encode(self) -> str:
        """Return the counts in HdrHistogram's V2 compressed format, base64; the sum is not in it."""
        hdr = HdrHistogram(LOWEST, HIGHEST, DIGITS)
        ctypes.memmove(hdr.counts, self._counts.ctypes.data, self._counts.nbytes)
        hdr.total_count = self.count
        hdr.min_value, hdr.max_value = self.min or HIGHEST, self.max
        return str(hdr.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str, *, total: int, low: int, high: int) -> Self:
        """Return the histogram that `encode` gave as `text`, with its exact sum, minimum and maximum.

        Raises ValueError where the text is not such a histogram.
        """
        try:
            hdr = HdrHistogram.decode(text)
        except Exception as error:  # the library raises whatever its parser hits
            raise ValueError(str(error) or type(error).__name__) from error
        if (hdr.lowest_trackable_value, hdr.highest_trackable_value, hdr.significant_figures) != (
            LOWEST,
            HIGHEST,
            DIGITS,
        ):
            raise ValueError("its range or precision is another")
        made = cls()
        made._counts = np.ctypeslib.as_array(hdr.counts).astype(np.int64)
        made.count = int(made._counts.sum())
        made.sum, made.min, made.max = total, low, high
        return made

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and (self.count, self.sum, self.min, self.max) == (other.count, other.sum, other.min, other.max)
            and np.array_equal(self._counts, other._counts)
        )

    __hash__ = None  # type: ignore[assignment]
