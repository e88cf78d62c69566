"""Types of the command line's values. What they refuse is a usage error of one line."""

import re
from typing import Any

import click

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
LONGEST = 24 * 3600.0
OWN = ("host", "port", "metrics-port", "name", "address")
"""Options of the server that the lab sets itself."""


class Seconds(click.ParamType[float]):
    """A time such as `5`, `5s`, `250ms` or `1m`, at most a day; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):  # a default
            return value
        parts = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|)", value)
        if parts is None:
            self.fail(f"{value!r} is not a time such as 5s, 250ms or 1m.", param, ctx)
        seconds = float(parts[1]) * UNITS[parts[2]]
        if seconds > LONGEST:
            self.fail(f"{value!r} is more than a day.", param, ctx)
        return seconds


class ServerOption(click.ParamType[tuple[str, str]]):
    """An option of the server, `drain-delay=5s` for `--drain-delay=5s`: its name and value."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return name and value; the server itself checks them when it starts."""
        if isinstance(value, tuple):
            return value
        key, equals, setting = value.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", key):
            self.fail(f"{value!r} is not KEY=VALUE, such as drain-delay=5s.", param, ctx)
        if key in OWN:
            self.fail(f"{key} is set by the lab.", param, ctx)
        return key, setting
