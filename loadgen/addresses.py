"""Where backends are: the address of each, as far as what came back with calls tells it."""

from collections.abc import Iterable

from loadgen.attribution import Metadata
from loadgen.events import Event

KEY = "replica-address"
LOOKS = 8  # calls of a backend: a name that several replicas share shows by then that it is no replica's

APPEARED = frozenset({"backend.known", "backend.added"})
MADE = frozenset({"connection.made"})


class Addresses:
    """Learns backends' addresses from trailing metadata of their first calls only: later ones pay nothing."""

    __slots__ = ("_found", "_looks", "settled")

    def __init__(self, *never: int) -> None:
        """`never`: numbers of what is no backend."""
        self.settled: set[int] = set(never)
        """Numbers of backends that need no more looking at."""
        self._looks: dict[int, int] = {}
        self._found: dict[int, str | None] = {}

    def learn(self, backend: int, metadata: Metadata) -> None:
        """Take the address from a call's trailing metadata, if it is there."""
        looks = self._looks[backend] = self._looks.get(backend, 0) + 1
        if looks >= LOOKS:
            self.settled.add(backend)
        for key, value in metadata:
            if key == KEY and isinstance(value, str) and value:
                if self._found.setdefault(backend, value) != value:  # it is no replica's name
                    self._found[backend] = None
                    self.settled.add(backend)
                return

    def of(self, backend: int) -> str | None:
        """Return the backend's address; None where it was not told, or told in several ways."""
        return self._found.get(backend)


def nearest(
    events: Iterable[Event], names: frozenset[str], address: str | None, first_call: int | None
) -> int | None:
    """Return when the event of an address was that let a backend's first call happen.

    That is the last one before it: an address can have been another replica's. On a cold channel a call is
    there first and waits, so where none was before it is the first one after.
    """
    if address is None:
        return None
    times = [one.at for one in events if one.name in names and one.attributes.get("address") == address]
    before = [at for at in times if first_call is not None and at <= first_call]
    return max(before) if before else min(times, default=None)
