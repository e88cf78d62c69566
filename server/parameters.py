"""Types of the command line's values. What they refuse is a usage error of one line."""

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil
from typing import Any

import click
import durationpy

_DURATION = re.compile(r"0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(us|µs|ms|s|m|h))+")
_PLACES = 9
# bounded: ten thousand digits would be a number too
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(?:([kMGT]|[KMGT]i)?B?)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def nanoseconds(text: str) -> int:
    """Read a duration as Go writes it, to the microsecond; ValueError if it is none."""
    # durationpy looks for durations in the text: it would take "1s or 2s", and years
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 250ms or 1m30s.")
    try:
        return durationpy.from_str(text) // timedelta(microseconds=1) * 1000
    except durationpy.DurationError as error:
        raise ValueError(f"{text!r} is too long.") from error


class Duration(click.ParamType[int]):
    """A duration such as `1m30s` or `250ms`; the value is int nanoseconds.

    Refused are negative ones, numbers without a unit, and what is out of bounds. The bounds are
    written in the same way.
    """

    name = "duration"

    def __init__(self, at_least: str = "0s", at_most: str = "24h") -> None:
        self.at_least = at_least
        self.at_most = at_most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds."""
        try:
            duration = nanoseconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not nanoseconds(self.at_least) <= duration <= nanoseconds(self.at_most):
            self.fail(f"{value!r} is not from {self.at_least} to {self.at_most}.", param, ctx)
        return duration


class Ratio(click.ParamType[Fraction]):
    """A share from 0 to 1, kept exact: 0.1 is a tenth, not the float next to it."""

    name = "ratio"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Return the fraction."""
        try:
            ratio = Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not ratio.is_finite() or not 0 <= ratio <= 1:
            self.fail(f"{value!r} is not from 0 to 1.", param, ctx)
        if ratio != round(ratio, _PLACES):  # bounds the fraction's size: 1e-999999 is a number too
            self.fail(f"{value!r} has more than {_PLACES} decimal places.", param, ctx)
        return Fraction(ratio)


class Size(click.ParamType[int]):
    """A number of bytes such as `225KiB`, `64Mi` or `1.5G`; the value is a whole one, rounded up.

    Units are those of Kubernetes' quantities, with or without a B.
    """

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        found = _SIZE.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is not a size such as 225KiB or 64Mi.", param, ctx)
        number, unit = found.groups()
        size = ceil(Fraction(number) * _UNITS[unit or ""])
        if not 1 <= size <= _UNITS["Ti"]:
            self.fail(f"{value!r} is not from 1 byte to 1TiB.", param, ctx)
        return size


class Label(click.ParamType[str]):
    """A text that fits into gRPC metadata: printable ASCII, at most 253 characters."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text itself."""
        text = str(value)
        if not re.fullmatch(r"[!-~]([ -~]{0,251}[!-~])?", text):
            self.fail(f"{value!r} is not a text of 1 to 253 printable ASCII characters.", param, ctx)
        return text
