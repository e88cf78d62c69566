"""`make bench-accuracy`: measure how right the figures are, and write the tables of docs/accuracy.md."""

import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import document
from benchmarks.accuracy import beside, merging, pacing, queueing, recording, stall
from benchmarks.noise import Noise

DOCUMENT = Path(__file__).parents[2] / "docs" / "accuracy.md"
PARTS: dict[str, Callable[..., str]] = {
    "stall": stall.measure,
    "queue": queueing.measure,
    "ghz": beside.measure,
    "pacing": pacing.measure,
    "merge": merging.measure,
    "recording": recording.measure,
}


@click.command()
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--short", is_flag=True, help="A look in 5 minutes in place of 20: nothing is written.")
@click.option("--no-write", is_flag=True, help="Print the tables only.")
@click.option(
    "--document",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=DOCUMENT,
    help="The document to write the tables into. [default: docs/accuracy.md]",
)
def main(parts: tuple[str, ...], short: bool, no_write: bool, path: Path) -> None:
    """Measure PART, or all: stall (2 minutes), queue (4), ghz (6), pacing (3), merge (1), recording (1).

    Each part compares within its own run. A figure that misses its limit is written down as such: the exit
    code is 0 all the same, as it may be the machine's fault.
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
            text = document.replaced(path.read_text("utf-8"), part, block)
            path.write_text(document.replaced(text, "misses", document.misses(text, list(PARTS))), "utf-8")


main()
