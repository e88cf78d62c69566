"""`make bench`: what recording and pacing cost beside a bare grpc.aio loop, and how memory grows."""

import json
import statistics
import subprocess
import sys

import click

from benchmarks.replica import Replica

MEBIBYTE = 1 << 20


def client(kind: str, target: str, total: int, concurrency: int) -> dict[str, float]:
    """Run one client in a process of its own and return its figures."""
    command = [sys.executable, "-m", "benchmarks.client", kind, target, str(total), str(concurrency)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(target: str, concurrency: int, total: int, pairs: int) -> None:
    """Print the client CPU a call of engine and bare loop, one after the other, pair by pair."""
    ratios, engines, bares = [], [], []
    for _ in range(pairs):
        bares.append(client("bare", target, total, concurrency)["cpu_us"])
        engines.append(client("engine", target, total, concurrency)["cpu_us"])
        ratios.append(engines[-1] / bares[-1])
    click.echo(
        f"client CPU a call, {concurrency:>3} in flight: engine {statistics.median(engines):6.1f} us,"
        f" bare grpc.aio {statistics.median(bares):6.1f} us,"
        f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f},"
        f" {pairs} pairs of {total} calls)"
    )


@click.command()
@click.option("--pairs", type=click.IntRange(1), default=7, show_default=True)
@click.option("--calls", type=click.IntRange(1000), default=10_000, show_default=True, help="A run's calls.")
@click.option(
    "--memory-calls",
    type=click.IntRange(200_000),
    default=2_000_000,
    show_default=True,
    help="Calls of the memory run; 2,000,000 take some 8 minutes.",
)
def main(pairs: int, calls: int, memory_calls: int) -> None:
    """Measure on this machine. Look at the ratios: absolute figures change with the machine."""
    with Replica() as server:
        for concurrency in (100, 1):
            compare(server.address, concurrency, calls, pairs)
        seen = client("engine", server.address, memory_calls, 100)
    growth = (seen["late"] - seen["early"]) / MEBIBYTE
    click.echo(
        f"resident memory: {seen['early'] / MEBIBYTE:.1f} MiB after 100,000 calls,"
        f" {seen['late'] / MEBIBYTE:.1f} MiB after {memory_calls:,}: {growth:+.1f} MiB"
    )


main()
