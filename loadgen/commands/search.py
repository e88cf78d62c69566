"""`loadgen search`: find the highest rate that keeps the thresholds."""

import signal
import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from loadgen import launch, load, resultfile
from loadgen.commands import ending
from loadgen.commands.run import run
from loadgen.errors import LoadgenError, StoppedError
from loadgen.parameters import Duration, Percent, Rate
from loadgen.plan import Plan
from loadgen.progress import Progress
from loadgen.report import search as report
from loadgen.searchfile import Found
from loadgen.searching import Search
from loadgen.step import Step, Try, Watch, length_for
from loadgen.thresholds import Threshold

TRIES = 3
IMPLIED = ("error_rate<1%", "dropped==0")
"""Thresholds that hold unless others are given for the same metric."""
OF_RUN_ONLY = frozenset(
    {"total", "duration", "concurrency", "interval", "rps", "stages", "warmup"}
    | {"shard", "start_together", "termination_log", "cold", "observe"}
)


@click.command(params=[param for param in run.params if param.name not in OF_RUN_ONLY])
@click.option("--from", "from", type=Rate(), default="10", show_default=True, help="Rate to begin with.")
@click.option("--to", type=Rate(), default="100000", show_default=True, help="Highest rate to try.")
@click.option(
    "--step",
    type=Duration(),
    default="10s",
    show_default=True,
    help="Length of a step; up to 3 times that where a percentile needs more calls.",
)
@click.option(
    "--pause", type=Duration(zero=True), default="1s", show_default=True, help="Recovery between steps."
)
@click.option(
    "--precision",
    type=Percent(),
    default="2%",
    show_default=True,
    help="Stop when what failed is at most so far above what passed.",
)
@click.pass_context
def search(
    ctx: click.Context,
    /,
    *,
    workers: int,
    output: Path | None,
    log_result: bool,
    quiet: bool,
    to: float,
    step: int,
    pause: int,
    precision: float,
    **options: Any,
) -> None:
    """Find the highest rate of open load on TARGET that keeps the thresholds.

    \b
    loadgen search server:9090 --lb-policy round_robin --threshold 'p99<50ms'

    The rate is doubled until a step fails, then narrowed down by bisection. A step fails where a threshold is
    crossed, or where the calls in flight keep growing: such a rate is not sustained, however long it takes to
    show. A step whose percentile is too near to its limit to be sure is made again, up to 3 times.
    Takes the options of `loadgen run`, a plan file too. Exit codes as there; 1 also where no rate passed, or
    where the load generator was the limit and not the service.
    """
    lowest = options.pop("from")
    base = Plan(
        rps=lowest, **{field.name: options[field.name] for field in fields(Plan) if field.name in options}
    )
    if to < lowest:
        raise click.UsageError(f"--to {to:g} is below --from {lowest:g}")
    limits = _limits(base.threshold)
    base = load.settled(replace(base, threshold=tuple(limits)))
    launch.prepare(base, Watch(), workers=workers)  # wrong plans are refused here
    with resultfile.opened(ending.file_of(output)) as write:
        todo = Search(lowest, most=to, precision=precision)
        found = _search(base, limits, todo, length=step, pause=pause, workers=workers, quiet=quiet)
        content = found.to_json()
        write(content)
    ending.deliver(content, report.render(found), output=output, log_result=log_result)
    if found.client:
        raise LoadgenError("the load generator was the limit, not the service: give it --workers or more CPU")
    if found.rate is None and found.partial is None:
        raise LoadgenError("no rate passed: the lowest that was tried did not keep the thresholds")
    ctx.exit(0)


def _limits(given: Sequence[Threshold]) -> list[Threshold]:
    metrics = {limit.metric for limit in given}
    implied = [Threshold.parse(text) for text in IMPLIED]
    return [*given, *(limit for limit in implied if limit.metric not in metrics)]


def _search(
    base: Plan,
    limits: list[Threshold],
    todo: Search,
    *,
    length: int,
    pause: int,
    workers: int,
    quiet: bool,
) -> Found:
    plan = {key: value for key, value in base.to_json().items() if key not in {"rps", "duration"}}
    found = Found(plan, limits, todo.precision, [])
    progress, stop = Progress(quiet=quiet), _Stop()
    while not todo.over and not found.client:
        step = Step(todo.rate, limits)
        lasts = length_for(todo.rate, limits, length)
        while len(step.tries) < TRIES and not (step.tries and step.clear):
            found.partial = stop.during(pause / 1e9 if found.steps or step.tries else 0)
            if found.partial is None:
                watch = Watch()
                todo_now = launch.prepare(
                    replace(base, rps=step.rate, duration=lasts), watch, workers=workers
                )
                try:
                    result, lost = todo_now()
                except StoppedError as error:
                    found.partial = error.message
                else:
                    stop.listen()
                    if lost:
                        raise LoadgenError("; ".join(lost))
                    found.partial = result.partial
            if found.partial is not None:
                return found
            step.tries.append(Try.of(result, watch.growth(lasts) / step.rate, limits))
        found.steps.append(step)
        progress.say(report.row(step).strip())
        found.client = step.client
        if not found.client:
            todo.tell(step.passed)
        found.rate, found.failed = todo.found, todo.failed
    return found


class _Stop:
    """Hears SIGINT and SIGTERM between two runs, which hear them themselves."""

    def __init__(self) -> None:
        self._heard = threading.Event()
        self._name = ""
        self.listen()

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._name = signal.Signals(number).name
        self._heard.set()

    def listen(self) -> None:
        """Hear them from now on: a run that has ended gave back the default."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def during(self, seconds: float) -> str | None:
        """Wait so long; returns why to stop, or None."""
        return f"stopped by {self._name}" if self._heard.wait(seconds) else None
