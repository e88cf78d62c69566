"""Calls per interval and backend over a run of any length, in a fixed number of rows."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 1024
FINEST = 100_000_000  # ns


class Timeline:
    """Counts per interval and series, by the time at which a call was sent.

    The intervals lie on a grid of wall-clock time (multiples of `interval` since the Unix epoch), so the
    timelines of several shards merge cell by cell. When a run outgrows the rows, pairs of rows are
    added up and the interval doubles: it is always 100 ms times a power of two.

    Shape: (series, rows), int64; a series is a backend, or another thing that is counted over time.
    """

    __slots__ = ("_counts", "_origin", "interval")

    def __init__(self, started: int) -> None:
        """Start at wall-clock time `started`, in ns since the Unix epoch."""
        self.interval = FINEST
        self._origin = started // FINEST  # number, on the grid, of the first row
        self._counts = np.zeros((4, ROWS), np.int64)

    def add(self, series: "NDArray[np.int64]", at: "NDArray[np.int64]") -> None:
        """Count one for each pair of a series' number and a wall-clock time in ns."""
        if not len(at):
            return
        while int(at.max()) // self.interval - self._origin >= ROWS:
            self._coarsen()
        while int(series.max()) >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        rows = at // self.interval - self._origin
        np.add.at(self._counts.reshape(-1), series * ROWS + np.maximum(rows, 0), 1)

    def _coarsen(self) -> None:
        if self._origin % 2:  # rows pair up by the grid, not by their place in the array
            self._counts = np.roll(self._counts, 1, axis=1)
            last, self._counts[:, 0] = self._counts[:, 0].copy(), 0
        else:
            last = np.zeros(len(self._counts), np.int64)
        pairs = self._counts.reshape(len(self._counts), ROWS // 2, 2).sum(axis=2)
        self._counts = np.zeros_like(self._counts)
        self._counts[:, : ROWS // 2] = pairs
        self._counts[:, ROWS // 2] = last
        self._origin //= 2
        self.interval *= 2

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
