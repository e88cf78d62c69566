"""`lab run`: the experiments on a cluster on loopback."""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lab import report
from lab.cluster import LocalCluster
from lab.errors import LabError
from lab.experiments import CALLS, EXPERIMENTS, Experiment, perform
from lab.load import LocalLoad
from lab.report import Outcome

NAMES = [experiment.name for experiment in EXPERIMENTS]
DEMO_RATE = 200.0  # calls/s of loads during which replicas come and go
ARTICLE_RATE = 20.0


@click.command(epilog="\b\nExperiments:\n" + "\n".join(f"  {name}" for name in NAMES))
@click.argument("experiments", metavar="EXPERIMENT...|all", nargs=-1, required=True)
@click.option(
    "--article-pace",
    is_flag=True,
    help=f"Scale during {ARTICLE_RATE:g} calls/s over {CALLS / ARTICLE_RATE:g} s, as the article did,"
    f" instead of {DEMO_RATE:g} calls/s over {CALLS / DEMO_RATE:g} s.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="build/demo",
    show_default=True,
    help="Folder for the result files.",
)
def run(experiments: tuple[str, ...], *, article_pace: bool, output: Path) -> None:
    """Run experiments and say whether each came out as it should; exit code 1 where one did not."""
    unknown = [name for name in experiments if name not in {*NAMES, "all"}]
    if unknown:
        raise click.UsageError(f"there is no experiment {unknown[0]!r}: choose of {', '.join(NAMES)} or all")
    chosen = [one for one in EXPERIMENTS if "all" in experiments or one.name in experiments]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot write to {output}: {error.strerror}") from None
    outcomes = asyncio.run(_all(chosen, ARTICLE_RATE if article_pace else DEMO_RATE, output))
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    if wrong:
        raise LabError(f"{wrong} of {len(outcomes)} experiments came out otherwise than they should")


async def _all(chosen: Sequence[Experiment], rate: float, output: Path) -> list[Outcome]:
    """Run the experiments; those with steps side by side, each on a cluster of its own."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    began, console = time.monotonic(), report.console()
    still = [one for one in chosen if not one.steps]
    moving = [one for one in chosen if one.steps]
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        console.print(report.paragraph(outcome) + "\n", markup=False, soft_wrap=True)

    try:
        if still:
            async with LocalCluster() as cluster:
                for experiment in still:
                    tell(await _one(experiment, cluster, rate, output))
        if moving:
            names = ", ".join(one.name for one in moving)
            rates = " or ".join(f"{one:g}" for one in sorted({one.calls / CALLS * rate for one in moving}))
            length = f"{CALLS / rate:g} s at {rates} calls/s"
            console.print(f"{names}: {length} while replicas come and go\n", markup=False)
            async with asyncio.TaskGroup() as group:
                for experiment in moving:
                    group.create_task(_moving(experiment, rate, output, tell))
    except asyncio.CancelledError:
        raise click.Abort from None
    outcomes.sort(key=lambda outcome: NAMES.index(outcome.experiment.name))
    console.print(report.table(outcomes))
    console.print(
        f"{len(outcomes)} experiments in {time.monotonic() - began:.0f} s; results: {output}/*.json",
        markup=False,
        soft_wrap=True,
    )
    return outcomes


async def _moving(experiment: Experiment, rate: float, output: Path, tell: Callable[[Outcome], None]) -> None:
    async with LocalCluster(ttl=experiment.ttl) as cluster:
        tell(await _one(experiment, cluster, rate, output))


async def _one(experiment: Experiment, cluster: LocalCluster, rate: float, output: Path) -> Outcome:
    async def start(target: str, plan: Mapping[str, Any]) -> LocalLoad:
        file = output / f"{experiment.name}.json"
        return await LocalLoad.start(cluster.guard, target, plan, file, cluster.api.kubeconfig())

    try:
        seen = await perform(experiment, cluster, start, rate=rate)
    except LabError as error:
        return Outcome(experiment, None, [error.message])
    return Outcome(experiment, seen, experiment.check(seen))
