"""Who answered a call: the name of its backend, read from the reply."""

from collections.abc import Callable, Sequence
from typing import Protocol

from google.protobuf.message import Message

from loadgen.errors import PlanError

Metadata = Sequence[tuple[str, str | bytes]]
AUTO, PEER, NONE = "auto", "peer", "none"


class Attribution(Protocol):
    """Reads the backend's name from what came back."""

    needs_metadata: bool
    """Whether `name` wants the reply's metadata: fetching it takes time."""
    counts_peers: bool
    """Whether calls are counted by connection, as no call says who answered."""

    def name(self, reply: bytes | None, metadata: Metadata) -> str:
        """Return the name, or "" where the reply does not say. `reply` is None for a failed call."""
        ...


class FromField:
    """The name is a field of the reply message, such as `id` or `server.name`."""

    needs_metadata = False
    counts_peers = False

    def __init__(self, path: str, message: type[Message]) -> None:
        """Raise PlanError where replies have no such field."""
        self._message = message
        self._path = path.split(".")
        descriptor = message.DESCRIPTOR
        for depth, part in enumerate(self._path):
            field = descriptor.fields_by_name.get(part)
            if field is None:
                known = ", ".join(sorted(descriptor.fields_by_name)) or "none"
                raise PlanError(
                    f"--backend-from field:{path}: {descriptor.full_name} has no field {part!r};"
                    f" its fields: {known}"
                )
            more = depth + 1 < len(self._path)
            if field.is_repeated or (field.message_type is not None) != more:
                raise PlanError(f"--backend-from field:{path}: {part!r} is not a single value")
            if field.message_type is not None:
                descriptor = field.message_type

    def name(self, reply: bytes | None, metadata: Metadata) -> str:
        """Return the field's value as text."""
        if reply is None:
            return ""
        value = self._message.FromString(reply)
        for part in self._path:
            value = getattr(value, part)
        return str(value)


class FromMetadata:
    """The name is the value of a key of the trailing or initial metadata; failed calls can have it too."""

    needs_metadata = True
    counts_peers = False

    def __init__(self, key: str) -> None:
        self._key = key.lower()

    def name(self, reply: bytes | None, metadata: Metadata) -> str:
        """Return the value of the key, the last one where it stands several times."""
        for key, value in reversed(metadata):
            if key == self._key:
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return ""


class Unnamed:
    """No call is named by what came back: `peer` counts calls by connection instead, `none` not at all."""

    needs_metadata = False

    def __init__(self, *, counts_peers: bool) -> None:
        self.counts_peers = counts_peers

    def name(self, reply: bytes | None, metadata: Metadata) -> str:
        """Return ""."""
        return ""


def parse(text: str, message: type[Message]) -> Attribution:
    """Return what `--backend-from` asks for; raises PlanError naming the forms."""
    if text in {PEER, NONE}:
        return Unnamed(counts_peers=text == PEER)
    kind, _, rest = text.partition(":")
    kinds: dict[str, Callable[[str], Attribution]] = {
        "field": lambda path: FromField(path, message),
        "metadata": FromMetadata,
    }
    if kind not in kinds or not rest:
        raise PlanError(
            f"--backend-from {text}: write field:NAME or metadata:KEY, or one of auto, peer and none"
        )
    return kinds[kind](rest)
