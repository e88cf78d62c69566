"""Durations in cells: a coarse histogram, small enough to have one for each interval of a run.

Log-linear as HdrHistogram is, with 3 bits: eight cells to each power of two from 65.5 us on, cells of 4.1 us
below. A cell's middle is within 6.3 % of every value in it, or within 2.1 us.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from loadgen.histogram import HIGHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNIT = 12  # bits below the finest cell: 4096 ns
_BITS = 4  # 16 cells of one width at the bottom, then 8 an octave
_HALF = 1 << (_BITS - 1)


def cells(durations: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return the cell of each duration (ns); those outside 0 ns to 1 h are in the first or the last one."""
    units = np.clip(durations, 0, HIGHEST) >> _UNIT
    _, exponent = np.frexp(units.astype(np.float64))
    octave = np.maximum(exponent.astype(np.int64) - _BITS, 0)
    found: NDArray[np.int64] = octave * _HALF + (units >> octave)
    return found


CELLS = int(cells(np.array([HIGHEST]))[0]) + 1


def middle(cell: int) -> int:
    """Return the duration (ns) in the middle of a cell."""
    octave = max(cell // _HALF - 1, 0)
    lowest = (cell - octave * _HALF) << octave
    return (2 * lowest + (1 << octave) << _UNIT) // 2


class Cells:
    """Counts by interval and cell."""

    __slots__ = ("counts",)

    def __init__(self, counts: "NDArray[np.int64] | NDArray[np.uint32]") -> None:
        """Hold `counts`, of shape (intervals, CELLS); those that others are added to must be int64."""
        self.counts = counts

    @classmethod
    def of(cls, rows: Sequence[Mapping[int, int]]) -> Self:
        """Return the counts that each interval has, by cell."""
        made = cls(np.zeros((len(rows), CELLS), np.int64))
        for row, counts in enumerate(rows):
            for cell, count in counts.items():
                made.counts[row, cell] = count
        return made

    def __len__(self) -> int:
        return len(self.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cells) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def row(self, row: int) -> dict[int, int]:
        """Return the counts of one interval by cell, without those that are 0."""
        counts = self.counts[row]
        return {cell: int(counts[cell]) for cell in np.flatnonzero(counts).tolist()}

    def percentile(self, rows: slice, percent: float) -> int | None:
        """Return the middle (ns) of the cell of the value that `percent` % in these intervals do not exceed.

        None where they have no value.
        """
        below = np.cumsum(self.counts[rows].sum(axis=0))
        if not below[-1]:
            return None
        rank = max(1, int(np.ceil(percent / 100 * int(below[-1]) - 1e-9)))
        return middle(int(np.searchsorted(below, rank)))

    def add(self, other: "Cells", rows: "NDArray[np.int64]") -> None:
        """Add what `other` counted; `rows` says which interval here each of its intervals is part of."""
        if not len(rows):
            return
        first, last = int(rows[0]), int(rows[-1])
        if last - first == len(rows) - 1:  # none is shared: much faster
            self.counts[first : last + 1] += other.counts
        else:
            np.add.at(self.counts, rows, other.counts)

    def encode(self) -> str:
        """Return the counts as text: little-endian, of 4 bytes each or 8, zlib, base64."""
        wide = "<u8" if len(self.counts) and int(self.counts.max()) >= 1 << 32 else "<u4"
        return base64.b64encode(zlib.compress(self.counts.astype(wide).tobytes(), 6)).decode("ascii")

    @classmethod
    def decode(cls, text: str, rows: int) -> Self:
        """Return the `rows` rows that `encode` gave as `text`; raises ValueError where it is not that."""
        size = rows * CELLS
        try:
            data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 8 * size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(data) not in (4 * size, 8 * size):
            raise ValueError(f"{len(data)} bytes are not {rows} rows of {CELLS} counts")
        if len(data) == 4 * size:  # the usual ones are not copied: merging reads many
            return cls(np.frombuffer(data, "<u4").reshape(rows, CELLS))
        counts = np.frombuffer(data, "<u8").astype(np.int64)
        if len(counts) and int(counts.min()) < 0:
            raise ValueError("a count is too large")
        return cls(counts.reshape(rows, CELLS))
