"""A bearer token (RFC 6750): read from a file or a variable, sent with every call, and shown nowhere."""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from loadgen.errors import LoadgenError
from loadgen.ledger import Ledger

Metadata = Sequence[tuple[str, str | bytes]]

READ_EVERY = 10.0  # seconds: Kubernetes renews a projected token long before it expires
HIDDEN = "[token]"


class Token:
    """What `authorization` carries. A file is read again and again, as Kubernetes rotates it."""

    def __init__(self, text: str, path: Path | None = None) -> None:
        self._text = text
        self._path = path
        self._before = text  # a server's late complaint may be about it
        self._plain: Metadata | None = None
        self._signed: Metadata = ()

    @classmethod
    def from_file(cls, name: str) -> Self:
        """Read it; raises LoadgenError where there is none."""
        path = Path(name)
        return cls(_read(path), path)

    @classmethod
    def from_variable(cls, name: str) -> Self:
        """Take it from the environment; raises LoadgenError where there is none."""
        return cls(_checked(os.environ.get(name, ""), f"the variable {name} (--token-env)"))

    def signed(self, metadata: Metadata) -> Metadata:
        """Return the metadata with the token: the same object for the same one."""
        if metadata is not self._plain:
            self._plain = metadata
            self._signed = (*metadata, ("authorization", f"Bearer {self._text}"))
        return self._signed

    def hide(self, text: str) -> str:
        """Return a text, such as a server's complaint, without the token."""
        return text.replace(self._text, HIDDEN).replace(self._before, HIDDEN)

    def again(self) -> bool:
        """Read the file once more; tells whether the token is another one. Raises as at first."""
        if self._path is None:
            return False
        text = _read(self._path)
        if text == self._text:
            return False
        self._before, self._text, self._plain = self._text, text, None
        return True

    async def follow(self, ledger: Ledger) -> None:
        """Read the file again and again, without end; where that fails the old token stays."""
        failing = False
        while self._path is not None:
            await asyncio.sleep(READ_EVERY)
            try:
                if self.again():
                    ledger.event("token.renewed")
                failing = False
            except LoadgenError as error:
                if not failing:
                    ledger.event("token.unreadable", reason=error.message)
                failing = True


def _read(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise LoadgenError(f"cannot read --token-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LoadgenError(f"--token-file {path} is no text") from None
    return _checked(text, f"--token-file {path}")


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token:
        raise LoadgenError(f"{where} holds no token")
    if not re.fullmatch(r"[!-~]+", token):  # what a header can carry; never shown in the error
        raise LoadgenError(f"{where} holds no token: it has spaces or characters that are not ASCII")
    return token
