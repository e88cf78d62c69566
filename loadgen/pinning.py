"""`--insecure-skip-verify`: gRPC always verifies, so it is given what the backends show as what to trust."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from loadgen import handshake
from loadgen.credentials import Tls
from loadgen.discovery import Backends, Discovery, resolve
from loadgen.errors import PlanError, ResolutionError
from loadgen.ledger import Ledger
from loadgen.target import Uri


class Pinned:
    """A discovery that asks each backend it finds for its certificate and has it trusted, whatever it is.

    What is found by others, such as gRPC's own resolver during the load, must show one that is known.
    """

    def __init__(self, inner: Discovery, uri: Uri, tls: Tls) -> None:
        """Raise PlanError where the target has no address that could be asked."""
        if uri.name is None and not uri.literal:
            raise PlanError(f"--insecure-skip-verify needs a target with a host name or IPs, not {uri.text}")
        self.kind = inner.kind
        self._inner = inner
        self._uri = uri
        self._tls = tls
        self._asked = tls.name
        self._names: dict[str, list[str]] = {}

    async def lookup(self) -> Backends:
        """Return the backends there are; raises ResolutionError where none of them shows a certificate."""
        found = await self._inner.lookup()
        addresses = found.addresses
        if addresses is None:
            assert self._uri.name is not None
            addresses = await resolve(self._uri.name)
        await self._pin(addresses)
        return found

    def changes(self, known: Backends, ledger: Ledger) -> AsyncGenerator[Backends, None] | None:
        """Return the backends whenever they are others than before; None where they stay."""
        changes = self._inner.changes(known, ledger)
        return None if changes is None else self._pinning(changes, ledger)

    async def close(self) -> None:
        """Let go of what the discovery within holds."""
        await self._inner.close()

    async def _pinning(
        self, changes: AsyncGenerator[Backends, None], ledger: Ledger
    ) -> AsyncGenerator[Backends, None]:
        async with aclosing(changes):
            async for found in changes:
                try:
                    await self._pin([one for one in found.addresses or () if one not in self._names])
                except ResolutionError as error:
                    ledger.event("certificate.unknown", reason=error.message)
                yield found

    async def _pin(self, addresses: Sequence[str]) -> None:
        shown = await asyncio.gather(
            *(handshake.shown(address, self._tls) for address in addresses), return_exceptions=True
        )
        certificates = []
        errors = []
        for address, one in zip(addresses, shown, strict=True):
            if isinstance(one, ResolutionError):
                errors.append(one)
            elif isinstance(one, BaseException):
                raise one
            else:
                certificates.append(one[0])
                self._names[address] = one[1]
        if certificates:
            self._tls.pin(certificates, self._common())
        elif errors:
            raise errors[0]

    def _common(self) -> str:
        """Return a name that is in all certificates: gRPC expects one name of a channel."""
        every = list(self._names.values())
        candidates = [self._asked] if self._asked else []
        candidates += [one.replace("*", "any", 1) for names in every for one in names]
        for name in candidates:
            if all(any(_matches(name, pattern) for pattern in names) for names in every):
                return name
        raise ResolutionError("the backends' certificates have no name in common, and gRPC expects one name")


def _matches(name: str, pattern: str) -> bool:
    """Compare as in RFC 6125, 6.4.3: a `*` stands for the first label."""
    name, pattern = name.lower(), pattern.lower()
    return name == pattern or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])
