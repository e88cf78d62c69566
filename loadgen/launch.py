"""Starts a load: in this process, or in several."""

from collections.abc import Callable

from loadgen import barrier, eventloop
from loadgen.plan import Plan
from loadgen.progress import Progress
from loadgen.result import Result
from loadgen.run import Run
from loadgen.shard import WHOLE, Shard
from loadgen.workers import Workers

Launch = Callable[[], tuple[Result, list[str]]]
"""Makes the load; returns its result, and a sentence for each worker that was lost."""


def prepare(
    plan: Plan,
    progress: Progress,
    *,
    shard: Shard = WHOLE,
    meeting: tuple[str, int] | None = None,
    workers: int = 1,
) -> Launch:
    """Check the plan (PlanError), and return what makes its load. `meeting`: where shards start together."""
    if workers > 1:
        return Workers(plan, shard, meeting, workers, progress).run
    together = None if meeting is None else lambda: barrier.wait(shard, *meeting)
    todo = Run(plan, shard, together)

    def alone() -> tuple[Result, list[str]]:
        loop = eventloop.new()
        try:
            return loop.run_until_complete(todo.execute(progress)), []
        finally:
            eventloop.close(loop)

    return alone
