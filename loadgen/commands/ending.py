"""How a command ends: what it prints of a result, and the error where a threshold was crossed."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from loadgen import logged, thresholds
from loadgen.errors import CrossedError
from loadgen.report import text
from loadgen.thresholds import Check


def file_of(output: Path | None) -> Path | None:
    """Return the file that `--output` names: none where that is `-`, for stdout."""
    return None if str(output) == "-" else output


def deliver(content: Mapping[str, Any], report: str, *, output: Path | None, log_result: bool) -> None:
    """Print a report and, where asked for, the content itself and the lines that carry it in a log."""
    to_stdout = str(output) == "-"
    if to_stdout:
        json.dump(content, sys.stdout, indent=1)
        click.echo()
    click.echo(report, err=to_stdout)
    if log_result:
        for line in logged.lines(content):
            click.echo(line)


def check(checks: Sequence[Check]) -> None:
    """Raise CrossedError naming the thresholds that were crossed, if any was."""
    if thresholds.passed(checks) is False:
        raise CrossedError(f"thresholds crossed: {text.crossed(checks)}")
