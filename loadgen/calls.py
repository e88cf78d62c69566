"""Finished calls on their way from an engine to the recorder."""

from array import array

COLUMNS = 7
DUE, SENT, DONE, BACKEND, OUTCOME, MESSAGES_OUT, MESSAGES_IN = range(COLUMNS)


class Calls:
    """Rows of finished calls, seven 64-bit integers each, row after row in one flat array.

    Times are ns since the start of the run; `backend` and `outcome` are the ledger's numbers.
    """

    __slots__ = ("_extend", "rows")

    def __init__(self) -> None:
        self.rows = array("q")
        self._extend = self.rows.extend

    def __len__(self) -> int:
        return len(self.rows) // COLUMNS

    def add(
        self,
        due: int,
        sent: int,
        done: int,
        backend: int,
        outcome: int,
        messages_out: int = 1,
        messages_in: int = 1,
    ) -> None:
        """Add one call; a stream is one call with several messages."""
        self._extend((due, sent, done, backend, outcome, messages_out, messages_in))

    def column(self, index: int) -> "array[int]":
        """Return one column, a value a call."""
        return self.rows[index::COLUMNS]

    def clear(self) -> None:
        """Forget all rows, keeping the array."""
        del self.rows[:]
