"""`make bench-discovery`: measure on a real cluster, and write the tables of docs/discovery.md."""

import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click

from benchmarks import document
from benchmarks.discovery import delay, restarts, scaling
from benchmarks.noise import Noise
from tests.e2e.kube import CommandError, call

DOCUMENT = Path(__file__).parents[2] / "docs" / "discovery.md"
PARTS: dict[str, Callable[..., str]] = {
    "delay": delay.measure,
    "scaling": scaling.measure,
    "restarts": restarts.measure,
}


@click.command()
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--short", is_flag=True, help="A look only: nothing is written.")
def main(parts: tuple[str, ...], short: bool) -> None:
    """Measure PART, or all, on the cluster of KUBECONFIG, which has the images."""
    try:
        namespace = f"discovery-{uuid4().hex[:6]}"
        call("kubectl", "create", "namespace", namespace)
    except (CommandError, FileNotFoundError) as error:
        sys.exit(f"a cluster is needed, with its kubeconfig in KUBECONFIG, and kubectl and helm: {error}")
    try:
        for part in parts or PARTS:
            click.echo(f"{part} ...", err=True)
            began, noise = time.monotonic(), Noise()
            block = PARTS[part](namespace, short=short)
            block += (
                f"\n\nMeasured {datetime.now(UTC):%Y-%m-%d} in {time.monotonic() - began:.0f} s by Python"
                f" {platform.python_version()} on {os.cpu_count()} cores beside the cluster itself;"
                f" {noise}."
            )
            click.echo(f"{block}\n")
            if not short:
                DOCUMENT.write_text(document.replaced(DOCUMENT.read_text("utf-8"), part, block), "utf-8")
    finally:
        call("kubectl", "delete", "namespace", namespace, "--wait=false")


main()
