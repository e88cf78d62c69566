"""Shows on stderr how a run is going: a bar on a terminal, else a line every 10 seconds."""

import asyncio
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from loadgen.ledger import Counts
from loadgen.plan import Plan

LINE_EVERY = 10.0  # seconds
BAR_EVERY = 0.2


class Progress:
    """Tells people about a run. Its first line says that the load has begun."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._counts: Callable[[], Counts] | None = None
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._length: int | None = None
        self._next_line = 0.0

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            self._console.print(f"loadgen: {text}", markup=False)
            sys.stderr.flush()

    def start(self, plan: Plan, pacing: str, counts: Callable[[], Counts]) -> None:
        """Say that the load begins; `counts` tells how far it is."""
        self._counts = counts
        self._length = None if plan.length is None else plan.length + (plan.warmup or 0)
        policy = plan.lb_policy if plan.connections else "a connection for every call"
        method = f" {plan.call}" if plan.call is not None else ""
        self.say(f"calling {plan.target}{method} ({pacing}, {policy}, discovery {plan.discovery})")
        self._next_line = time.monotonic() + LINE_EVERY
        if self._console.is_terminal and not self._quiet:
            self._bar = RichProgress(
                BarColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0)
            self._bar.start()

    async def run(self) -> None:
        """Show the state again and again, until cancelled."""
        while not self._quiet:
            await asyncio.sleep(BAR_EVERY if self._bar else LINE_EVERY / 10)
            self.show()

    def show(self) -> None:
        """Bring what is shown up to date, where it is time for that."""
        if self._counts is None:
            return
        if self._bar is not None:
            counts = self._counts()
            self._bar.update(self._task, completed=self._share(counts), description=_state(counts))
        elif time.monotonic() >= self._next_line:
            counts = self._counts()
            self._next_line += LINE_EVERY
            self.say(f"{counts.at / 1e9:.0f} s: {_state(counts)}")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _share(self, counts: Counts) -> float:
        shares = [0.0]
        if counts.expected:
            shares.append(counts.due / counts.expected)
        if self._length:
            shares.append(counts.at / self._length)
        return min(1.0, max(shares))


def _state(counts: Counts) -> str:
    text = f"{counts.sent} sent, {counts.ok} ok, {counts.failed} failed, {counts.in_flight} in flight"
    backends = len(counts.backends)
    dropped = f", {counts.dropped} dropped" if counts.dropped else ""
    warmup = "warm-up, " if counts.warming_up else ""
    return f"{warmup}{text}{dropped}, {backends} backend{'s' if backends != 1 else ''}"
