"""JSON values as protobuf messages (https://protobuf.dev/programming-guides/json/).

The conversion itself is protobuf's. What does not fit is found before it, so that an error can name the
field, what it takes and what it may have been meant to be.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Error as ProtobufError
from google.protobuf.message import Message

from loadgen.descriptors import Method, near
from loadgen.errors import PlanError

_OWN_FORM = "google.protobuf."  # messages with a JSON form of their own: Timestamp, Struct, Any, wrappers
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1, "int32"),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1, "uint32"),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1, "int64"),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1, "uint64"),
}
_FLOATS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


def parse(text: str, where: str) -> Any:
    """Return a JSON text's value; raises PlanError with line and column."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        hint = ""
        if re.match(r"\{\{", text[error.pos - 1 :]) or text[error.pos :].startswith("{{"):
            hint = '; templates stand in quotes: "{{number}}"'
        raise PlanError(
            f"{where} is not JSON: line {error.lineno} column {error.colno}: {error.msg}{hint}"
        ) from None
    except ValueError as error:
        raise PlanError(f"{where} is not JSON: {error}") from None
    except RecursionError:
        raise PlanError(f"{where} is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return made


def _constant(name: str) -> Any:
    raise ValueError(f'{name} must be written "{name}"')


def check(value: Any, method: Method, where: str) -> None:
    """Raise PlanError where the value is no request of this method."""
    for problem in _message(value, method.takes, ""):
        raise PlanError(f"{where} does not fit: {problem}")
    try:
        serialise(value, method)
    except (json_format.Error, ProtobufError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())
        raise PlanError(f"{where} does not fit {method.takes.full_name}: {why}") from None


def serialise(value: Any, method: Method) -> bytes:
    """Return the request as bytes; the value must have been checked."""
    message: Message = method.request()
    json_format.ParseDict(value, message, descriptor_pool=method.pool)
    return message.SerializeToString()


_EXAMPLES: dict[str, Any] = {
    "Timestamp": "2026-01-31T12:00:00Z",
    "Duration": "1.5s",
    "FieldMask": "a,b",
    "Struct": {},
    "Value": None,
    "ListValue": [],
    "Any": {"@type": "type.googleapis.com/..."},
    "Empty": {},
    "BoolValue": False,
    "StringValue": "",
    "BytesValue": "",
}


def skeleton(descriptor: Descriptor, above: frozenset[str] = frozenset()) -> Any:
    """Return a JSON value that shows every field; of a oneof the first, of what holds itself nothing."""
    short = descriptor.full_name.removeprefix(_OWN_FORM)
    if short != descriptor.full_name and "." not in short:
        return _EXAMPLES.get(short, 0)
    above |= {descriptor.full_name}
    made: dict[str, Any] = {}
    for field in descriptor.fields:
        group = field.containing_oneof
        if group is not None and len(group.fields) > 1 and group.fields[0] is not field:
            continue
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            made[field.name] = {}
        elif kind is not None and kind.full_name in above:
            continue
        else:
            one = _example(field) if kind is None else skeleton(kind, above)
            made[field.name] = [one] if field.is_repeated else one
    return made


def _example(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[0].name
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return False
    return "" if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else 0


def _message(value: Any, descriptor: Descriptor, path: str) -> Iterator[str]:
    """Give what is wrong."""
    if descriptor.full_name.startswith(_OWN_FORM):
        return
    if not isinstance(value, dict):
        yield f"{path or 'it'} must be an object with fields of {descriptor.full_name}, not {_named(value)}"
        return
    fields = {field.name: field for field in descriptor.fields}
    known = fields | {field.json_name: field for field in descriptor.fields}
    chosen: dict[str, str] = {}
    for key, one in value.items():
        place = f"{path}.{key}" if path else key
        field = known.get(key)
        if field is None:
            if not (key.startswith("[") and key.endswith("]")):  # an extension is left to protobuf
                yield f"{descriptor.full_name} has no field {place!r}{near(key, fields)}"
            continue
        if one is None and not _takes_null(field):
            continue
        group = field.containing_oneof
        if group is not None and chosen.setdefault(group.name, key) != key:
            yield f"{place!r} and {chosen[group.name]!r} exclude each other: the oneof {group.name} has both"
        yield from _field(one, field, place)


def _takes_null(field: FieldDescriptor) -> bool:
    kind = field.message_type.full_name if field.message_type is not None else ""
    return kind == "google.protobuf.Value"


def _field(value: Any, field: FieldDescriptor, path: str) -> Iterator[str]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            yield f"{path!r} is a map and must be an object, not {_named(value)}"
            return
        entry = field.message_type.fields_by_name
        for key, one in value.items():
            place = f"{path}[{key!r}]"
            if entry["key"].cpp_type in _BITS:
                yield from _number(key, entry["key"], f"the key {place}")
            elif entry["key"].cpp_type == FieldDescriptor.CPPTYPE_BOOL and key not in {"true", "false"}:
                yield f"the key {place} must be true or false"
            yield from _single(one, entry["value"], place)
    elif field.is_repeated:
        if not isinstance(value, list):
            yield f"{path!r} is repeated and must be an array, not {_named(value)}"
            return
        for number, one in enumerate(value):
            yield from _single(one, field, f"{path}[{number}]")
    else:
        yield from _single(value, field, path)


def _single(value: Any, field: FieldDescriptor, path: str) -> Iterator[str]:
    kind = field.cpp_type
    if field.message_type is not None:
        yield from _message(value, field.message_type, path)
    elif field.enum_type is not None:
        names = field.enum_type.values_by_name
        if field.enum_type.full_name == "google.protobuf.NullValue":
            return
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield f"{path!r} must be a name of {field.enum_type.full_name}, not {_named(value)}"
        elif isinstance(value, str) and value not in names and not value.lstrip("-").isdecimal():
            yield f"{path!r}: {field.enum_type.full_name} has no value {value!r}{near(value, names)}"
    elif kind in _BITS:
        yield from _number(value, field, repr(path))
    elif kind in _FLOATS:
        if isinstance(value, bool) or (not isinstance(value, int | float) and not _is_float(value)):
            yield f"{path!r} must be a number, not {_named(value)}"
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            yield f"{path!r} must be true or false, not {_named(value)}"
    elif not isinstance(value, str):
        yield f"{path!r} must be a text, not {_named(value)}"
    elif field.type == FieldDescriptor.TYPE_BYTES and not _is_base64(value):
        yield f"{path!r} must be base64, not {_named(value)}"


def _number(value: Any, field: FieldDescriptor, path: str) -> Iterator[str]:
    low, high, name = _BITS[field.cpp_type]
    whole: int | None = None
    if (isinstance(value, str) and re.fullmatch(r"-?\d+", value, re.ASCII)) or (
        isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    ):
        whole = int(value)
    if whole is None:
        yield f"{path} must be a whole number, not {_named(value)}"
    elif not low <= whole <= high:
        yield f"{path} is {whole}, beyond {name} ({low} to {high})"


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
    return True


def _named(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
