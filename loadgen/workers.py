"""Several processes that make one load, for rates beyond what one process can do.

Each worker is a shard of the run, in a process of its own with its own connections. They start together, and
their results are merged. A worker that dies takes what it counted with it; the others go on.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from loadgen import barrier, eventloop, merging
from loadgen.errors import LoadgenError, PlanError
from loadgen.ledger import Counts
from loadgen.load import pacer_of
from loadgen.plan import Plan
from loadgen.progress import Progress
from loadgen.result import Result
from loadgen.run import Run
from loadgen.shard import Shard

TELL_EVERY = 0.2  # seconds between a worker's counts


@dataclass(frozen=True, slots=True)
class Failure:
    """How a worker ended that has no result."""

    reason: str
    usage: bool = False
    """The plan is wrong, as only the server's description of its service could tell."""


@dataclass(slots=True)
class _Worker:
    shard: Shard
    process: SpawnProcess
    pipe: Connection
    counts: Counts = field(default_factory=Counts)
    end: Result | Failure | None = None


class Workers:
    """The workers of one run: `run` starts them and returns what each one ended with."""

    def __init__(
        self, plan: Plan, shard: Shard, together: tuple[str, int] | None, count: int, progress: Progress
    ) -> None:
        """Make `count` workers of the shard's part of the plan. Raises PlanError as a run would."""
        self._plan = plan
        self._progress = progress
        shards = [Shard(shard.index * count + number, shard.count * count) for number in range(count)]
        Run(plan, shards[0])  # wrong plans are refused here, once
        for one in shards[1:]:
            pacer_of(plan, one)
        context = multiprocessing.get_context("spawn")
        self._gate = context.Barrier(count)
        self._workers = []
        for number, one in enumerate(shards):
            mine, theirs = context.Pipe()
            meeting = (shard, *together) if together is not None and number == 0 else None
            process = context.Process(
                target=_work, args=(plan, one, self._gate, meeting, theirs), daemon=True, name=f"worker {one}"
            )
            self._workers.append(_Worker(one, process, mine))

    def run(self) -> tuple[Result, list[str]]:
        """Run all to their end; SIGINT and SIGTERM are passed on to them.

        Returns the merged result and a sentence for each worker that has none. Raises LoadgenError where
        none has.
        """
        before = {number: signal.signal(number, self._pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for worker in self._workers:
                worker.process.start()
            self._listen()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._progress.stop()
            for worker in self._workers:
                worker.process.join()
        results = [worker.end for worker in self._workers if isinstance(worker.end, Result)]
        wrong: dict[str, list[str]] = {}
        for worker in self._workers:
            if isinstance(worker.end, Failure):
                wrong.setdefault(worker.end.reason, []).append(str(worker.shard))
        if not results:
            usage = all(isinstance(worker.end, Failure) and worker.end.usage for worker in self._workers)
            raise (PlanError if usage else LoadgenError)("; ".join(wrong))
        return merging.merge(results), [f"worker {', '.join(who)}: {why}" for why, who in wrong.items()]

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self._progress.say(f"{name}: ending the calls in flight; once more cancels them")
        for worker in self._workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, number)

    def _listen(self) -> None:
        begun = False
        while waiting := [worker for worker in self._workers if worker.end is None]:
            for pipe in wait([worker.pipe for worker in waiting], timeout=TELL_EVERY):
                worker = next(one for one in waiting if one.pipe is pipe)
                try:
                    said = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    code = worker.process.exitcode
                    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
                    said = Failure(f"died ({how}), so its calls are not in the report")
                if isinstance(said, Counts):
                    worker.counts = said
                    if not begun:
                        begun = True
                        self._progress.start(self._plan, str(pacer_of(self._plan)), self._counts)
                else:
                    worker.end = said
                    if isinstance(said, Failure):
                        self._gate.abort()  # whoever waits for it to be ready need not
            self._progress.show()

    def _counts(self) -> Counts:
        return sum((worker.counts for worker in self._workers), Counts())


def _work(
    plan: Plan,
    shard: Shard,
    gate: threading.Barrier,
    meeting: tuple[Shard, str, int] | None,
    pipe: Connection,
) -> None:
    """Be one worker."""
    os.setsid()  # a terminal's Ctrl-C goes to the parent alone, which passes it on
    run = Run(plan, shard, together=lambda: _together(gate, meeting))
    progress = _Telling(pipe)
    loop = eventloop.new()
    end: Result | Failure
    try:
        end = loop.run_until_complete(run.execute(progress))
    except (LoadgenError, PlanError) as error:
        end = Failure(error.format_message(), usage=isinstance(error, PlanError))
    finally:
        eventloop.close(loop)
    pipe.send(end)


async def _together(gate: threading.Barrier, meeting: tuple[Shard, str, int] | None) -> list[int]:
    """Wait for the other workers, and the first one for the other shards on behalf of all."""
    absent: list[int] = []
    try:
        await asyncio.to_thread(gate.wait, barrier.LIMIT)
        if meeting is not None:
            absent = await barrier.wait(*meeting)
        await asyncio.to_thread(gate.wait, barrier.LIMIT + barrier.GRACE)
    except threading.BrokenBarrierError:
        pass  # one has failed, or did not come: the others start without it
    return absent


class _Telling(Progress):
    """Tells the parent's progress instead of people."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(quiet=True)
        self._pipe = pipe

    def start(self, plan: Plan, pacing: str, counts: Callable[[], Counts]) -> None:
        """Tell that the load begins."""
        super().start(plan, pacing, counts)
        self._pipe.send(counts())

    async def run(self) -> None:
        """Send the counts again and again, until cancelled."""
        assert self._counts is not None
        while True:
            await asyncio.sleep(TELL_EVERY)
            self._pipe.send(self._counts())
