"""Shows on stderr how a run is going: a bar on a terminal, else a line every 10 seconds."""

import asyncio
import sys

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from loadgen.ledger import Ledger
from loadgen.plan import Plan

LINE_EVERY = 10.0  # seconds
BAR_EVERY = 0.2


class Progress:
    """Tells people about a run. Its first line says that the load has begun."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._ledger: Ledger | None = None
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._duration: int | None = None

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            self._console.print(f"loadgen: {text}", markup=False)
            sys.stderr.flush()

    def start(self, ledger: Ledger, plan: Plan) -> None:
        """Say that the load begins."""
        self._ledger = ledger
        self._duration = plan.duration
        policy = plan.lb_policy if plan.connections else "a connection for every call"
        method = f" {plan.call}" if plan.call is not None else ""
        self.say(f"calling {plan.target}{method} ({ledger.pacer}, {policy}, discovery {plan.discovery})")
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
        if self._quiet:
            return
        while True:
            await asyncio.sleep(BAR_EVERY if self._bar else LINE_EVERY)
            if self._bar is not None:
                self._bar.update(self._task, completed=self._share(), description=self._state())
            elif self._ledger is not None:
                self.say(f"{self._ledger.now() / 1e9:.0f} s: {self._state()}")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _share(self) -> float:
        assert self._ledger is not None
        expected, shares = self._ledger.pacer.expected(), [0.0]
        if expected:
            shares.append(self._ledger.due / expected)
        if self._duration:
            shares.append(self._ledger.now() / self._duration)
        return min(1.0, max(shares))

    def _state(self) -> str:
        assert self._ledger is not None
        ledger = self._ledger
        text = f"{ledger.sent} sent, {ledger.ok} ok, {ledger.failed} failed, {ledger.in_flight} in flight"
        backends = len(ledger.backends) - 1
        dropped = f", {ledger.dropped} dropped" if ledger.dropped else ""
        return f"{text}{dropped}, {backends} backend{'s' if backends != 1 else ''}"
