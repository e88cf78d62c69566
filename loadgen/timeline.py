"""Calls per interval and backend and how long they took, for runs of any length in a fixed number of rows."""

from typing import TYPE_CHECKING

import numpy as np

from loadgen.cells import CELLS, Cells, cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 1024
FINEST = 100_000_000  # ns
COARSER = 8  # intervals to a row of what is counted for each backend by duration: 115 kB for a backend
APART = 64  # backends for which that is counted, the first that are called
_WIDTH = ROWS // COARSER + 1  # rows need not begin where a coarser one does


class Timeline:
    """Counts per interval and series, by the time at which a call was sent.

    The intervals lie on a grid of wall-clock time (multiples of `interval` since the Unix epoch), so the
    timelines of several shards merge cell by cell. When a run outgrows the rows, pairs of rows are
    added up and the interval doubles: it is always 100 ms times a power of two.

    Shape: (series, rows), int64; a series is a backend, or another thing that is counted over time. Beside
    them is a series for each cell of durations (`loadgen.cells`), 1.9 MB in all, and for each backend one in
    rows of `COARSER` intervals.
    """

    __slots__ = ("_apart", "_counts", "_durations", "_origin", "interval")

    def __init__(self, started: int) -> None:
        """Start at wall-clock time `started`, in ns since the Unix epoch."""
        self.interval = FINEST
        self._origin = started // FINEST  # number, on the grid, of the first row
        self._counts = np.zeros((4, ROWS), np.int64)
        # written at once: zeros() takes its memory only as rows fill, and it would look like growth
        self._durations = np.full((CELLS, ROWS), 0, np.int64)
        self._apart: dict[int, NDArray[np.uint32]] = {}

    def add(self, series: "NDArray[np.int64]", at: "NDArray[np.int64]") -> None:
        """Count one for each pair of a series' number and a wall-clock time in ns."""
        if not len(at):
            return
        rows = self._rows(at)
        while int(series.max()) >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        np.add.at(self._counts.reshape(-1), series * ROWS + rows, 1)

    def took(
        self, at: "NDArray[np.int64]", durations: "NDArray[np.int64]", backends: "NDArray[np.int64]"
    ) -> None:
        """Count how long (ns) what was sent at these times took, and by which backend; 0: not known."""
        if not len(at):
            return
        rows, found = self._rows(at), cells(durations)
        np.add.at(self._durations.reshape(-1), found * ROWS + rows, 1)
        coarse = (rows + self._origin) // COARSER - self._origin // COARSER
        for number in np.unique(backends[backends > 0]).tolist():
            if number not in self._apart:
                if len(self._apart) == APART:
                    continue
                self._apart[number] = np.full((CELLS, _WIDTH), 0, np.uint32)
            mine = backends == number
            np.add.at(self._apart[number].reshape(-1), found[mine] * _WIDTH + coarse[mine], 1)

    def _rows(self, at: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Return the rows of these times, after making rows long enough to reach the last of them."""
        while int(at.max()) // self.interval - self._origin >= ROWS:
            odd = bool(self._origin % 2)
            _halve(self._counts, odd=odd)
            _halve(self._durations, odd=odd)
            odd = bool(self._origin // COARSER % 2)
            for number, counts in self._apart.items():
                self._apart[number] = _halved(counts, odd=odd)
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

    def durations_of(self, backend: int, rows: int) -> Cells | None:
        """Return a backend's counts by duration, in rows of `COARSER` intervals; None where there are none.

        These rows begin at multiples of their length, the first at or before `start()`.
        """
        counts = self._apart.get(backend)
        if counts is None or not rows:
            return None
        coarse = (self._origin + rows - 1) // COARSER - self._origin // COARSER + 1
        return Cells(counts[:, :coarse].T.copy())


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


def _halved(counts: "NDArray[np.uint32]", *, odd: bool) -> "NDArray[np.uint32]":
    """Return pairs of rows added up; `odd` as for `_halve`."""
    begins = np.concatenate([[0], np.arange(1 if odd else 2, _WIDTH, 2)])
    made = np.zeros_like(counts)
    made[:, : len(begins)] = np.add.reduceat(counts, begins, axis=1)
    return made
