"""Durations in cells: a coarse histogram, small enough to have one for each interval of a run.

Log-linear as HdrHistogram is, with 3 bits: eight cells to each power of two from 65.5 us on, cells of 4.1 us
below. A cell's middle is within 6.3 % of every value in it, or within 2.1 us.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from loadgen.histogram import HIGHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNIT = 12  # bits below the finest cell: 4096 ns
_BITS = 4  # 16 cells of one width at the bottom, then 8 an octave
_HALF = 1 << (_BITS - 1)

Cells = dict[int, int]
"""Counts by cell, without those that are 0."""


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


def percentile(counts: Mapping[int, int], percent: float) -> int | None:
    """Return the middle (ns) of the cell of the value that `percent` % do not exceed; None of nothing."""
    rank = max(1, int(np.ceil(percent / 100 * sum(counts.values()) - 1e-9)))
    for cell in sorted(counts):
        rank -= counts[cell]
        if rank <= 0:
            return middle(cell)
    return None


def added(one: Mapping[int, int], other: Mapping[int, int]) -> Cells:
    """Return the counts of both."""
    made = {**one, **other}
    for cell in one.keys() & other.keys():
        made[cell] = one[cell] + other[cell]
    return made


def encode(counts: Mapping[int, int]) -> str:
    """Return the counts as text, such as `40:12 41:3`."""
    return " ".join(f"{cell}:{counts[cell]}" for cell in sorted(counts))


def decode(text: str) -> Cells:
    """Return the counts that `encode` gave as `text`; raises ValueError where it is none."""
    if not text:
        return {}
    # the JSON parser is several times faster than splitting here, and a file has thousands of counts
    pairs = json.loads(f"[{text.replace(':', ',').replace(' ', ',')}]")
    numbers, counts = pairs[::2], pairs[1::2]
    made: Cells = dict(zip(numbers, counts, strict=True))
    if (
        {*map(type, pairs)} != {int}
        or len(made) != len(numbers)
        or (text.count(":"), text.count(" ")) != (len(numbers), len(numbers) - 1)
        or min(numbers) < 0
        or max(numbers) >= CELLS
        or min(counts) <= 0
    ):
        raise ValueError(f"{text[:50]} is no counts of cells")
    return made
