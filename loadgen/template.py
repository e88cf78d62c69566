"""Values that differ from call to call: `{{name}}` within the texts of a payload or of metadata."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from loadgen.errors import PlanError

_MASK = (1 << 64) - 1
_MARK = re.compile(r"\{\{\{\{|\{\{(.*?)\}\}|\{\{", re.DOTALL)
_RANDOM = re.compile(r"\{\{\s*(uuid|randint)\b")
RANDOM = "{{uuid}} or {{randint}} in data or metadata"
HELP = "{{number}}, {{message}}, {{uuid}}, {{randint LOW HIGH}}, {{now}}, {{now_iso}}"


@dataclass(slots=True)
class Moment:
    """The call that values are for."""

    number: int
    """Of the call, from 0: over all shards no other call has it."""
    seed: int = 0
    message: int = 0
    """Of the message in its stream, from 0."""
    drawn: int = 0
    """Random numbers that were drawn for it."""

    def random(self, size: int) -> int:
        """Return a number from 0 to `size` - 1, the same for the same seed, call and place; up to 64 bits."""
        self.drawn += 1
        return mix(self.seed, self.number, self.message, self.drawn) * size >> 64


@dataclass(slots=True)
class Extreme(Moment):
    """A call whose random numbers are all the lowest, or all the highest: whatever is drawn is in between."""

    high: bool = False

    def random(self, size: int) -> int:
        """Return the first or the last."""
        return size - 1 if self.high else 0


def mix(*numbers: int) -> int:
    """Return 64 bits that look random and depend on all the numbers (splitmix64's finaliser)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


Value = Callable[[Moment], str]


def _now_iso(_: Moment) -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_PLAIN: dict[str, Value] = {
    "number": lambda moment: str(moment.number),
    "message": lambda moment: str(moment.message),
    "uuid": lambda moment: str(
        uuid.UUID(int=moment.random(1 << 64) << 64 | moment.random(1 << 64), version=4)
    ),
    "now": lambda _: str(time.time_ns() // 1_000_000),
    "now_iso": _now_iso,
}


def _value(text: str, where: str) -> Value:
    """Return what stands between the braces; raises PlanError where that is nothing known."""
    name, *arguments = text.split() or [""]
    if name in _PLAIN and not arguments:
        return _PLAIN[name]
    if name == "randint":
        try:
            low, high = map(int, arguments)
        except ValueError:
            low, high = 1, 0
        if low > high:
            raise PlanError(
                f"{where}: {{{{{text}}}}}: write {{{{randint LOW HIGH}}}}, such as {{{{randint 1 100}}}}"
            )
        return lambda moment: str(low + moment.random(high - low + 1))
    raise PlanError(f"{where}: {{{{{text}}}}} is no template: there are {HELP}; {{{{{{{{ stands for {{{{")


def is_random(content: str) -> bool:
    """Tell whether a text holds templates that are left to chance."""
    return _RANDOM.search(content) is not None


def text(content: str, where: str) -> str | Value:
    """Return the text itself where it is always the same, else what renders it; raises PlanError.

    `where` says in an error where it stands. `{{{{` is rendered as `{{`.
    """
    parts: list[str | Value] = []
    end = 0
    for found in _MARK.finditer(content):
        parts.append(content[end : found.start()])
        end = found.end()
        if found[0] == "{{{{":
            parts.append("{{")
        elif found[1] is None:
            raise PlanError(
                f"{where}: {content[found.start() :][:20]!r} has no closing }}}}: {{{{{{{{ stands for {{{{"
            )
        else:
            parts.append(_value(found[1].strip(), where))
    parts.append(content[end:])
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)
    return lambda moment: "".join(part if isinstance(part, str) else part(moment) for part in parts)


def tree(content: Any, where: str) -> Any | Callable[[Moment], Any]:
    """Do the same for a JSON value, of which only texts (also keys) can hold templates."""
    if isinstance(content, str):
        return text(content, where)
    if isinstance(content, list):
        items = [tree(one, where) for one in content]
        if not any(map(callable, items)):
            return items
        return lambda moment: [one(moment) if callable(one) else one for one in items]
    if isinstance(content, dict):
        pairs = [(text(key, where), tree(one, where)) for key, one in content.items()]
        if not any(callable(key) or callable(one) for key, one in pairs):
            return dict(pairs)
        return lambda moment: {
            key(moment) if callable(key) else key: one(moment) if callable(one) else one for key, one in pairs
        }
    return content
