"""A replica as the lab and its tests see it."""

import signal
from dataclasses import dataclass
from enum import StrEnum

SECOND = 1_000_000_000


class State(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    TERMINATING = "terminating"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as it was at one moment. Times are wall-clock, ns since 1970; None: not yet."""

    name: str
    address: str
    """IP address."""
    port: int
    id: str = ""
    """What it answers calls with; empty until it serves."""
    metrics_port: int | None = None
    frozen: bool = False
    """Stopped by SIGSTOP."""
    started_at: int | None = None
    ready_at: int | None = None
    """When the health check first said SERVING."""
    terminating_at: int | None = None
    """When it was sent SIGTERM."""
    overdue: bool = False
    """Not gone within its grace after SIGTERM, and therefore sent SIGKILL."""
    exited_at: int | None = None
    exit_code: int | None = None
    """As the process gave it, or minus the number of the signal that ended it."""

    @property
    def state(self) -> State:
        """Return where it is in its life."""
        if self.exited_at is not None:
            return State.GONE
        if self.terminating_at is not None:
            return State.TERMINATING
        return State.STARTING if self.ready_at is None else State.READY

    def __str__(self) -> str:
        """Say in a line who it is and how it is."""
        return f"{self.name:10} {self.address}:{self.port}  {self._condition()}"

    def _condition(self) -> str:
        words = str(self.state)
        if self.state is State.READY:
            words += f"{_between(self.started_at, self.ready_at)}, id {self.id}"
        elif self.state is State.GONE:
            words += f"{_between(self.terminating_at, self.exited_at)}, {ending(self.exit_code)}"
        if self.overdue:
            words += ", sent SIGKILL as it took too long"
        return words + (", frozen" if self.frozen else "")


def _between(start: int | None, end: int | None) -> str:
    return "" if start is None or end is None else f" after {(end - start) / SECOND:.1f} s"


def ending(code: int | None) -> str:
    """Say how a process ended."""
    return f"with code {code}" if code is None or code >= 0 else f"by {signal.Signals(-code).name}"
