"""Small numbers for names, so that a call's row holds integers only."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Names(Generic[K]):
    """Gives every name a number, in order of first sight; at most `limit` of them.

    A bound is needed because names come from replies: a field that differs in every reply would
    otherwise take memory for every call.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: dict[K, int] = {}

    def number(self, name: K) -> int | None:
        """Return the number of `name`, or None where it is new and there is no room for it."""
        known = self._numbers.get(name)
        if known is None and len(self._numbers) < self._limit:
            known = self._numbers[name] = len(self._numbers)
        return known

    def widen(self, name: K) -> None:
        """Make room for `name` beyond the limit: for the few names that pool all others."""
        self._numbers.setdefault(name, len(self._numbers))

    def __iter__(self) -> Iterator[K]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
