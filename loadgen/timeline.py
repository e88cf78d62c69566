"""Calls per interval and backend and how long they took, for runs of any length in a fixed number of rows."""

from typing import TYPE_CHECKING

import numpy as np

from loadgen.cells import CELLS, Cells, cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 1024
FINEST = 100_000_000  # ns


class Timeline:
    """Counts per interval and series, by the time at which a call was sent.

    The intervals lie on a grid of wall-clock time (multiples of `interval` since the Unix epoch), so the
    timelines of several shards merge cell by cell. When a run outgrows the rows, pairs of rows are
    added up and the interval doubles: it is always 100 ms times a power of two.

    Shape: (series, rows), int64; a series is a backend, or another thing that is counted over time. Beside
    them is a series for each cell of durations (`loadgen.cells`), 1.9 MB in all.
    """

    __slots__ = ("_counts", "_durations", "_origin", "interval")

    def __init__(self, started: int) -> None:
        """Start at wall-clock time `started`, in ns since the Unix epoch."""
        self.interval = FINEST
        self._origin = started // FINEST  # number, on the grid, of the first row
        self._counts = np.zeros((4, ROWS), np.int64)
        # written at once: zeros() takes its memory only as rows fill, and it would look like growth
        self._durations = np.full((CELLS, ROWS), 0, np.int64)

    def add(self, series: "NDArray[np.int64]", at: "NDArray[np.int64]") -> None:
        """Count one for each pair of a series' number and a wall-clock time in ns."""
        if not len(at):
            return
        rows = self._rows(at)
        while int(series.max()) >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        np.add.at(self._counts.reshape(-1), series * ROWS + rows, 1)

    def took(self, at: "NDArray[np.int64]", durations: "NDArray[np.int64]") -> None:
        """Count how long (ns) what was sent at these times took."""
        if len(at):
            rows = self._rows(at)
            np.add.at(self._durations.reshape(-1), cells(durations) * ROWS + rows, 1)

    def _rows(self, at: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Return the rows of these times, after making rows long enough to reach the last of them."""
        while int(at.max()) // self.interval - self._origin >= ROWS:
            odd = bool(self._origin % 2)
            _halve(self._counts, odd=odd)
            _halve(self._durations, odd=odd)
            self._origin //= 2
            self.interval *= 2
        rows: NDArray[np.int64] = np.maximum(at // self.interval - self._origin, 0)
        return rows

    def start(self) -> int:
        """Return the wall-clock time (ns) at which the first row begins."""
        return self._origin * self.interval

    def rows(self) -> int:
        """Return the number of rows up to the last in which anything was counted."""
        used = np.flatnonzero(self._counts.any(axis=0))
        return int(used[-1]) + 1 if len(used) else 0

    def series(self, number: int, rows: int) -> list[int]:
        """Return the first `rows` counts of one series; zeros where it was never counted."""
        if number >= len(self._counts):
            return [0] * rows
        counts: list[int] = self._counts[number, :rows].tolist()
        return counts

    def durations(self, rows: int) -> Cells:
        """Return the counts by duration of each of the first `rows`."""
        return Cells(self._durations[:, :rows].T.copy())


def _halve(counts: "NDArray[np.int64]", *, odd: bool) -> None:
    """Add up pairs of rows, in place; `odd`: the first row is the second of its pair on the grid."""
    if odd:
        last = counts[:, -1].copy()
        counts[:, 1 : ROWS // 2] = counts[:, 1:-1:2] + counts[:, 2:-1:2]
        counts[:, ROWS // 2] = last
        counts[:, ROWS // 2 + 1 :] = 0
    else:
        counts[:, : ROWS // 2] = counts[:, ::2] + counts[:, 1::2]
        counts[:, ROWS // 2 :] = 0
