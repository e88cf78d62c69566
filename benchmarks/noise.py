"""How much of the machine other programs took while something was measured."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")  # of Linux
WAITING = {3, 4}  # its columns idle and iowait
COLUMNS = 8  # the further ones are parts of these


class Noise:
    """Counts processor time from its making on: the machine's, less this program's and its children's."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._others = _others()

    def __str__(self) -> str:
        took = time.monotonic() - self._began
        load = f"load average {os.getloadavg()[0]:.1f} at the end"
        if self._others is None or (now := _others()) is None:
            return load
        cores = max(0.0, now - self._others) / took
        return f"other programs took {cores:.2f} of {os.cpu_count()} cores meanwhile, {load}"


def _others() -> float | None:
    """Return the processor seconds of all other programs so far; None where the system does not tell."""
    if not STAT.exists():
        return None
    ticks = [int(one) for one in STAT.read_text("ascii").split("\n", 1)[0].split()[1 : COLUMNS + 1]]
    busy = sum(one for column, one in enumerate(ticks) if column not in WAITING)
    mine = os.times()
    return busy / os.sysconf("SC_CLK_TCK") - (
        mine.user + mine.system + mine.children_user + mine.children_system
    )
