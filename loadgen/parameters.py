"""Click types for what users write: durations, rates, stages, connections, metadata, shards, thresholds."""

import math
import re
from typing import Any

import click
import durationpy
import grpc

from loadgen import stages, thresholds
from loadgen.stages import Stage


class Duration(click.ParamType[int]):
    """A Go-style duration such as `500ms`, `30s` or `1m30s`; converted to whole ns."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        """Allow 0 only where `zero` is set."""
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ns; fail where it is none, is negative, or is 0 and must not be."""
        text = str(value).strip()
        try:
            duration = durationpy.from_str(text)
        except (durationpy.DurationError, ValueError, OverflowError):
            self.fail(f"{text!r} is no duration: write it like 500ms, 30s or 1m30s", param, ctx)
        nanoseconds = round(duration.total_seconds() * 1e9)
        if nanoseconds < 0 or text.startswith("-"):
            self.fail(f"{text!r} is negative", param, ctx)
        if not nanoseconds and not self._zero:
            self.fail(f"{text!r} is too short: it must be more than 0", param, ctx)
        return nanoseconds

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show DURATION in the help."""
        return "DURATION"


class Rate(click.ParamType[float]):
    """Calls per second: a number above 0, with or without `/s`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return calls per second; fail where it is not a number above 0 and at most 1,000,000."""
        text = str(value).strip().removesuffix("/s")
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not 0 < rate <= 1_000_000:
            self.fail(
                f"{str(value)!r} is no rate: write calls per second, above 0 and up to 1000000",
                param,
                ctx,
            )
        return rate


class Stages(click.ParamType[tuple[Stage, ...]]):
    """`30s:100,1m:500,10s@0`: how the rate changes, see `loadgen.stages`."""

    name = "stages"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Stage, ...]:
        """Return the stages; fail where one is none, or none makes a call."""
        if isinstance(value, tuple):
            return value
        try:
            return stages.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "DURATION:RATE,..."


class Threshold(click.ParamType[thresholds.Threshold]):
    """`p99<50ms`: what must hold of the result, see `loadgen.thresholds`."""

    name = "threshold"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> thresholds.Threshold:
        """Return the threshold; fail where its metric, comparison or limit is none."""
        if isinstance(value, thresholds.Threshold):
            return value
        try:
            return thresholds.Threshold.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "METRIC<LIMIT"


class Percent(click.ParamType[float]):
    """A percentage such as `2%`, converted to a share."""

    name = "percentage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the share; fail where it is not a number from 0.1 to 50, with or without `%`."""
        try:
            number = float(str(value).strip().removesuffix("%"))
        except ValueError:
            number = math.nan
        if not 0.1 <= number <= 50:
            self.fail(f"{str(value)!r} is no percentage from 0.1% to 50%", param, ctx)
        return number / 100


class Connections(click.ParamType[int]):
    """How many connections to make to each backend, or `per-call`, converted to 0."""

    name = "connections"
    PER_CALL = 0
    MOST = 1000

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or PER_CALL; fail where it is neither."""
        text = str(value).strip()
        if text == "per-call":
            return self.PER_CALL
        if not text.isdecimal() or not 1 <= int(text) <= self.MOST:
            self.fail(f"{text!r} is neither a number from 1 to {self.MOST} nor per-call", param, ctx)
        return int(text)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show both forms in the help."""
        return "N|per-call"


class Metadata(click.ParamType[tuple[str, str]]):
    """`key:value`, as gRPC metadata: keys are lower case; a `-bin` value is base64."""

    name = "metadata"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return key and value; fail where a request with them could not be sent."""
        if isinstance(value, tuple):
            return (str(value[0]), str(value[1]))
        key, colon, text = str(value).partition(":")
        key, text = key.strip().lower(), text.strip()
        if not colon:
            self.fail(f"{str(value)!r} has no colon: write key:value", param, ctx)
        if wrong := _no_key(key):
            self.fail(wrong, param, ctx)
        if not all(" " <= c <= "~" for c in text):
            self.fail(f"the value of {key!r} is not printable ASCII", param, ctx)
        return key, text

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "KEY:VALUE"


class HeaderName(click.ParamType[str]):
    """The key of gRPC metadata whose values are texts."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the key in lower case; fail where it is none, or is one of binary values."""
        key = str(value).strip().lower()
        if wrong := _no_key(key):
            self.fail(wrong, param, ctx)
        if key.endswith("-bin"):
            self.fail(f"{key!r} is a key of binary values, which gRPC does not hash (gRFC A76)", param, ctx)
        return key

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show KEY in the help."""
        return "KEY"


def _no_key(key: str) -> str | None:
    """Return why a text is no key of metadata that a request could have."""
    # gRPC over HTTP/2, "Custom-Metadata": Header-Name is 1*( %x30-39 / %x61-7A / "_" / "-" / ".")
    if not key or not all(c.isascii() and (c.isalnum() or c in "_-.") for c in key):
        return f"{key!r} is no metadata key: use letters, digits, - _ and ."
    if key.startswith("grpc-"):
        return f"{key!r} is reserved: keys that begin with grpc- are gRPC's own"
    return None


class Codes(click.ParamType[str]):
    """Names of gRPC status codes with commas between them."""

    name = "codes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the names in capitals, each once; fail where one is no code of an error."""
        names = [one.strip().upper() for one in str(value).split(",")]
        known = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
        for name in names:
            if name not in known:
                self.fail(
                    f"{name!r} is no status code of an error: write one of {', '.join(known)}", param, ctx
                )
        return ",".join(dict.fromkeys(names))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "CODE,..."


class Share(click.ParamType[tuple[int, int]]):
    """`INDEX/COUNT`: one of so many shards, counted from 0."""

    name = "shard"
    MOST = 1000

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return index and count; fail where there is no such shard."""
        if isinstance(value, tuple):
            return (int(value[0]), int(value[1]))
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", str(value).strip(), re.ASCII)
        if found is None:
            self.fail(f"{str(value)!r} is no shard: write INDEX/COUNT, such as 0/4", param, ctx)
        index, count = int(found[1]), int(found[2])
        if not 1 <= count <= self.MOST:
            self.fail(f"{str(value)!r}: there can be 1 to {self.MOST} shards", param, ctx)
        if index >= count:
            self.fail(
                f"{str(value)!r}: shards count from 0, so the last of {count} is {count - 1}", param, ctx
            )
        return index, count

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "INDEX/COUNT"


class Endpoint(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`; an IPv6 address in brackets."""

    name = "endpoint"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port; fail where either is missing or the port is none."""
        if isinstance(value, tuple):
            return (str(value[0]), int(value[1]))
        host, colon, port = str(value).strip().rpartition(":")
        if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            self.fail(f"{str(value)!r} is no address: write HOST:PORT", param, ctx)
        return host.removeprefix("[").removesuffix("]"), int(port)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "HOST:PORT"
