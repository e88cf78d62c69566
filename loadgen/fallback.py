"""Another discovery in place of `watch`, where the Kubernetes API cannot be asked and the plan says so."""

from collections.abc import AsyncGenerator, Iterable

from loadgen.discovery import Backends, Discovery
from loadgen.errors import NoAccessError, NoAnswerError
from loadgen.events import Event
from loadgen.ledger import Ledger

EVENT = "discovery.fallback"


def note(ledger: Ledger, used: Discovery, reason: str) -> None:
    """Note which discovery is used in place of another, and why."""
    ledger.event(EVENT, to=used.kind, reason=reason)


def used(events: Iterable[Event]) -> str | None:
    """Return the kind of the discovery that was used in place of another; None where none was."""
    return next((str(event.attributes["to"]) for event in events if event.name == EVENT), None)


class Fallback:
    """Looks up by one discovery until that may not be asked or gives no answer, and by another from then on.

    Once the load has begun it stays as it is: addresses from one of them are there then.
    """

    def __init__(self, first: Discovery, second: Discovery, ledger: Ledger) -> None:
        self._first = first
        self._second = second
        self._used = first
        self._ledger = ledger
        self._begun = False
        self.kind = first.kind

    async def lookup(self) -> Backends:
        """Return the backends there are now; raises ResolutionError where there are none."""
        if self._used is self._first:
            try:
                return await self._first.lookup()
            except (NoAccessError, NoAnswerError) as error:
                if self._begun:
                    raise
                self._used = self._second
                self.kind = self._second.kind
                note(self._ledger, self._second, error.message)
        return await self._second.lookup()

    def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None] | None:
        """Return what the discovery in use gives: the load begins, and it stays in use."""
        self._begun = True
        return self._used.changes(known, ledger)

    async def close(self) -> None:
        """Let go of what both hold."""
        await self._first.close()
        await self._second.close()
