"""Result files: read whole, and written whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from loadgen import resultjson
from loadgen.errors import LoadgenError
from loadgen.result import Result


def content_of(path: Path) -> Any:
    """Return the JSON in a file; raises LoadgenError naming the file and what is wrong with it."""
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LoadgenError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise LoadgenError(f"{path} is not JSON, or was cut short: {error}") from None


def read(path: Path) -> Result:
    """Return the result in a file; raises LoadgenError naming the file and what is wrong with it."""
    return result_of(path, content_of(path))


def result_of(path: Path, content: object) -> Result:
    """Return the result in a file's content; raises LoadgenError as `read` does."""
    try:
        return resultjson.from_json(content)
    except ValueError as error:
        raise LoadgenError(f"{path} {error}") from None


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give what writes a result file's content: it is opened now, so a bad path is found before the work.

    What it gives does nothing where `path` is None. Raises LoadgenError as ResultFile does.
    """
    if path is None:
        yield lambda _: None
        return
    file = ResultFile(path)
    try:
        yield file.write
    finally:
        file.discard()


class ResultFile:
    """A result file that will be written: opened before the load, so a bad path is found in time.

    It is written beside its place and moved there whole, so an older file stays until then. A device or a
    pipe is written to: replacing it would take it away.
    """

    def __init__(self, path: Path) -> None:
        """Raise LoadgenError where no file can be written at `path`."""
        self._path = path
        self._place = Path(os.path.realpath(path))  # a link stays: the file that it names is replaced
        self._temporary: Path | None = None
        try:
            if path.is_dir():
                raise LoadgenError(f"cannot write {path}: it is a directory")
            if path.exists() and not path.is_file():
                if not os.access(path, os.W_OK):
                    raise LoadgenError(f"cannot write {path}: Permission denied")
                return
            handle, name = tempfile.mkstemp(prefix=f".{self._place.name}.", dir=self._place.parent)
        except OSError as error:
            raise LoadgenError(f"cannot write {path}: {error.strerror}") from None
        os.close(handle)
        self._temporary = Path(name)

    def write(self, content: Mapping[str, Any]) -> None:
        """Write the content and put the file in its place; raises LoadgenError where that fails."""
        try:
            if self._temporary is None:
                self._path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
                return
            with self._temporary.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            self._temporary.chmod(0o666 & ~_umask())
            self._temporary.replace(self._place)
        except OSError as error:
            self.discard()
            raise LoadgenError(
                f"cannot write {self._path}: {error.strerror}; what was there is untouched"
            ) from None

    def discard(self) -> None:
        """Leave nothing behind, unless the file was written."""
        if self._temporary is None:
            return
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
