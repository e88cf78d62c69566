"""The memory that a Get takes, and that is given back to the system when its time is over.

So load makes memory, spreading the load relieves each replica of it, and an autoscaler that watches
memory has something to see: Python alone keeps what it once had.
"""

import asyncio
import mmap
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns

from server.settings import SECOND, Footprint

PIECE = 64 << 20
"""Bytes of one mapping. Large: a process may have 65,530 of them, and a tenth of that is slow."""
BATCHES = 1000
"""Into so many parts the hold is cut; what is taken within one is given back at once."""


@dataclass(slots=True)
class _Batch:
    began: int
    until: int
    size: int


class Account:
    """Knows how much is held until when: arithmetic only, no clock and no memory."""

    def __init__(self, footprint: Footprint) -> None:
        self.held = 0
        """In bytes, never more than `footprint.most`."""
        self.capped = 0
        """How many calls held nothing, as there was no room."""
        self._footprint = footprint
        self._span = footprint.hold // BATCHES
        self._batches: deque[_Batch] = deque()

    @property
    def until(self) -> int | None:
        """When there is something to release; None: nothing is held."""
        return self._batches[0].until if self._batches else None

    @property
    def full(self) -> bool:
        """Whether one more call would be too much."""
        most = self._footprint.most
        return most is not None and self.held + self._footprint.per_call > most

    def take(self, now: int) -> None:
        """Hold one call's memory from now on."""
        size, until = self._footprint.per_call, now + self._footprint.hold
        self.held += size
        if self._batches and now < self._batches[-1].began + self._span:
            last = self._batches[-1]
            last.until = until
            last.size += size
        else:
            self._batches.append(_Batch(now, until, size))

    def release(self, now: int) -> int:
        """Hold no longer what was held long enough; returns how many bytes that is."""
        size = 0
        while self._batches and self._batches[0].until <= now:
            size += self._batches.popleft().size
        self.held -= size
        return size


class Pieces:
    """A queue of resident bytes: it grows at one end and shrinks at the other.

    Calls follow each other in it without gaps, so a small one costs no page of its own, let alone a
    mapping.
    """

    def __init__(self, size: int = PIECE) -> None:
        self._size = size
        self._pieces: deque[mmap.mmap] = deque()
        # offsets in the queue since its begin: of the first piece, of the first and after the last byte
        self._first = self._start = self._end = 0

    def __len__(self) -> int:
        """How many mappings there are."""
        return len(self._pieces)

    def grow(self, size: int) -> bool:
        """Make so many more bytes resident; False if the system refuses."""
        end = self._end + size
        before = len(self._pieces)
        try:
            while self._first + len(self._pieces) * self._size < end:
                self._pieces.append(self._map())
        except OSError:
            while len(self._pieces) > before:  # others need address space too
                self._pieces.pop().close()
            return False
        while self._end < end:
            number, start = divmod(self._end - self._first, self._size)
            stop = min(start + end - self._end, self._size)
            self._end += stop - start
            start -= start % mmap.PAGESIZE
            # one byte written in each page makes it resident
            self._pieces[number][start : stop : mmap.PAGESIZE] = b"1" * -((start - stop) // mmap.PAGESIZE)
        return True

    def shrink(self, size: int) -> None:
        """Give the oldest bytes back to the system, but for a page that others are on too."""
        start, self._start = self._start, self._start + size
        while self._pieces and self._first + self._size <= self._start:
            self._pieces.popleft().close()
            self._first += self._size
        start = max(start - self._first, 0)
        start -= start % mmap.PAGESIZE
        stop = self._start - self._first
        stop -= stop % mmap.PAGESIZE
        if start < stop:
            self._pieces[0].madvise(mmap.MADV_DONTNEED, start, stop - start)

    def _map(self) -> mmap.mmap:
        # private: given back page by page, which shared memory (the default) would not be
        piece = mmap.mmap(-1, self._size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel may have no huge pages
            # one touched byte would take 2 MiB, and a part of that is not given back at once
            piece.madvise(mmap.MADV_NOHUGEPAGE)
        return piece


class Memory:
    """Holds memory for each call. Used by the event loop only."""

    def __init__(self, footprint: Footprint) -> None:
        self.account = Account(footprint)
        self._size = footprint.per_call
        self._pieces = Pieces()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, now: int) -> None:
        """Hold one call's memory from now (`monotonic_ns`) on; without room, count it as capped."""
        self._release(now)  # where the loop is busy, calls come before a timer that is due
        if self.account.full or not self._pieces.grow(self._size):
            self.account.capped += 1
            return
        self.account.take(now)
        if self._timer is None:
            self._wait()

    def _release(self, now: int) -> None:
        if size := self.account.release(now):
            self._pieces.shrink(size)

    def _wait(self) -> None:
        until = self.account.until
        loop = asyncio.get_running_loop()
        # both clocks are the monotonic one
        self._timer = None if until is None else loop.call_at(until / SECOND, self._wake)

    def _wake(self) -> None:
        self._release(monotonic_ns())
        self._wait()
