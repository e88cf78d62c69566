"""`make bench-loss`: measure what is lost, in the lab, and write the tables of docs/zero-loss.md."""

import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import document
from benchmarks.loss import absence, freeze, kill, restarts
from benchmarks.noise import Noise

DOCUMENT = Path(__file__).parents[2] / "docs" / "zero-loss.md"
PARTS: dict[str, Callable[..., str]] = {
    "restarts": restarts.measure,
    "kill": kill.measure,
    "freeze": freeze.measure,
    "absence": absence.measure,
}


@click.command()
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--short", is_flag=True, help="A look in 2 minutes in place of 6: nothing is written.")
@click.option("--no-write", is_flag=True, help="Print the tables only.")
def main(parts: tuple[str, ...], short: bool, no_write: bool) -> None:
    """Measure PART, or all: restarts, kill, freeze, absence (1 to 2 minutes each).

    A figure that misses its limit is written down as such: the exit code is 0 all the same.
    """
    for part in parts or PARTS:
        click.echo(f"{part} ...", err=True)
        began, noise = time.monotonic(), Noise()
        block = PARTS[part](short=short)
        block += (
            f"\n\nMeasured {datetime.now(UTC):%Y-%m-%d} in {time.monotonic() - began:.0f} s by Python"
            f" {platform.python_version()} on {os.cpu_count()} cores; {noise}."
        )
        click.echo(f"{block}\n")
        if not short and not no_write:
            text = document.replaced(DOCUMENT.read_text("utf-8"), part, block)
            DOCUMENT.write_text(
                document.replaced(text, "misses", document.misses(text, list(PARTS))), "utf-8"
            )


main()
