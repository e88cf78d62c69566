"""What calls send: the data that a user gives, as the messages of each call."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from loadgen import mapping, template
from loadgen.descriptors import Method
from loadgen.errors import PlanError
from loadgen.plan import Plan
from loadgen.shard import WHOLE, Shard
from loadgen.target import Metadata, Request, Target, Uri
from loadgen.template import Extreme, Moment

_LISTS = {"google.protobuf.ListValue", "google.protobuf.Value"}  # for these an array is one message
_HIGH = (1 << 31) - 2  # a number that calls may come to
_METADATA = 1 << 32  # random numbers before those of metadata


class Stream:
    """The messages of a stream: the same ones again and again where it is longer than they are."""

    def __init__(self, messages: Sequence[bytes], length: int | None) -> None:
        self._messages = messages
        self._length = len(messages) if length is None else length

    def __iter__(self) -> Iterator[bytes]:
        return islice(cycle(self._messages), self._length)


def target(plan: Plan, uri: Uri, method: Method, shard: Shard = WHOLE) -> Target:
    """Return what the plan's calls send; raises PlanError where its data does not fit the method."""
    entries = [_entry(plan, method, value, where) for value, where in _given(plan)]
    headers = metadata(plan)
    fixed = headers(Moment(0)) if headers.same else None
    seed = plan.seed or 0

    def of(number: int) -> tuple[Request, Metadata]:
        number = number * shard.count + shard.index
        if plan.data_order == "random":
            turn = template.mix(seed, number) * len(entries) >> 64
        else:
            turn = number % len(entries)
        entry = entries[turn]
        return (
            entry(Moment(number, seed)) if callable(entry) else entry,
            headers(Moment(number, seed, drawn=_METADATA)) if fixed is None else fixed,
        )

    first = entries[0]
    if len(entries) == 1 and not callable(first) and fixed is not None:
        return Target(uri, method, first, fixed)
    return Target(uri, method, vary=of)


class Headers:
    """The metadata of calls."""

    def __init__(self, given: Sequence[tuple[str, str]]) -> None:
        """Raise PlanError where a value holds an unknown template."""
        self._given = [(key, template.text(value, f"--metadata {key}")) for key, value in given]
        self.same = not any(callable(value) for _, value in self._given)
        """It is that for every call."""

    def __call__(self, moment: Moment) -> Metadata:
        """Return that of one call."""
        return tuple((key, value(moment) if callable(value) else value) for key, value in self._given)


def metadata(plan: Plan) -> Headers:
    """Return the metadata that calls send; raises PlanError for an unknown template."""
    return Headers(plan.metadata)


def taken(plan: Plan) -> Plan:
    """Return the plan with data from stdin in it, which can be read once only, and by no other process."""
    if plan.data != "@-":
        return plan
    text = _read("--data", "-")
    return replace(plan, data=f" {text}" if text.startswith("@") else text)  # it names no other file


def chance(plan: Plan) -> str | None:
    """Return what the plan leaves to chance, also in the files of its data, or None."""
    found = plan.chance
    if found is None and plan.data_elsewhere is not None:
        flag = "--data" if plan.data_file is None else "--data-file"
        if template.is_random(_read(flag, plan.data_elsewhere)):
            return template.RANDOM
    return found


def _given(plan: Plan) -> Iterator[tuple[Any, str]]:
    """Give each call's data, and where it stands."""
    if plan.data_file is not None:
        lines = _read("--data-file", plan.data_file).splitlines()
        found = False
        for number, line in enumerate(lines, 1):
            if line.strip():
                found = True
                where = f"--data-file {plan.data_file} line {number}"
                yield mapping.parse(line, where), where
        if not found:
            raise PlanError(f"--data-file {plan.data_file} holds no line")
        return
    text, where = "{}" if plan.data is None else plan.data, "--data"
    if text.startswith("@"):
        where = f"--data {text}"
        text = _read("--data", text.removeprefix("@"))
    yield mapping.parse(text, where), where


def _read(flag: str, name: str) -> str:
    try:
        if flag == "--data" and name == "-":
            return sys.stdin.buffer.read().decode()
        return Path(name).read_text("utf-8")
    except OSError as error:
        raise PlanError(f"{flag}: cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{flag}: {name} is not UTF-8") from None


def _entry(plan: Plan, method: Method, value: Any, where: str) -> Request | Callable[[Moment], Request]:
    """Return one call's request, or what makes it."""
    if not method.sends_many:
        if isinstance(value, list) and method.takes.full_name not in _LISTS:
            raise PlanError(
                f"{where} is an array, but {method.call} takes one message ({method.kind}):"
                " arrays are for streams of the client; many payloads come from --data-file, one a line"
            )
        return _message(method, value, where)
    values = value if isinstance(value, list) else [value]
    messages = [_message(method, each, f"{where}[{turn}]") for turn, each in enumerate(values)]
    length = plan.stream_messages
    if not messages and length:
        raise PlanError(f"{where} holds no message, so --stream-messages {length} cannot be sent")
    if all(isinstance(one, bytes) for one in messages):
        return Stream([one for one in messages if isinstance(one, bytes)], length)

    def stream(moment: Moment) -> Iterator[bytes]:
        for turn, one in enumerate(islice(cycle(messages), len(messages) if length is None else length)):
            yield one if isinstance(one, bytes) else one(Moment(moment.number, moment.seed, turn))

    return stream


def _message(method: Method, value: Any, where: str) -> bytes | Callable[[Moment], bytes]:
    """Return a message, or what makes it for a call; either has been checked."""
    made = template.tree(value, where)
    if not callable(made):
        mapping.check(made, method, where)
        return mapping.serialise(made, method)
    for number, high in ((0, False), (_HIGH, True)):
        mapping.check(made(Extreme(number, high=high)), method, where)
    return lambda moment: mapping.serialise(made(moment), method)
