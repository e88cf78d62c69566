"""`python -m benchmarks.search`: how near a search comes to a limit that is known.

A server with k slots that takes d for a call answers k / d calls a second and no more.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.replica import Replica


def search(target: str, file: Path, step: str) -> dict[str, float]:
    """Search once, in a process of its own, and return the file's content."""
    command = [sys.executable, "-m", "loadgen", "search", target, "--from", "50", "--step", step, "--quiet"]
    subprocess.run(
        [*command, "--threshold", "p99<500ms", "-o", str(file)], check=True, stdout=subprocess.DEVNULL
    )
    content: dict[str, float] = json.loads(file.read_text("utf-8"))
    return content


@click.command()
@click.option("--runs", type=click.IntRange(1), default=10, show_default=True)
@click.option("--step", default="5s", show_default=True)
@click.option("--delay", type=click.IntRange(1), default=100, show_default=True, help="ms a call.")
@click.option("--slots", type=click.IntRange(1), default=20, show_default=True, help="Calls at a time.")
def main(runs: int, step: str, delay: int, slots: int) -> None:
    """Search again and again, and print how far off each answer is."""
    limit = slots / delay * 1000
    click.echo(f"limit {limit:g} calls/s ({slots} slots, {delay} ms a call)")
    off = []
    with (
        Replica("--delay", f"{delay}ms", "--slots", str(slots)) as replica,
        tempfile.TemporaryDirectory() as at,
    ):
        for number in range(1, runs + 1):
            content = search(replica.address, Path(at, "search.json"), step)
            off.append(content["rate"] / limit - 1)
            click.echo(
                f"{number:>3}: {content['rate']:.1f} passed ({off[-1]:+.1%}), {content['failed']:.1f} failed"
            )
    click.echo(f"off by {min(off):+.1%} to {max(off):+.1%} in {runs} runs")


if __name__ == "__main__":
    main()
