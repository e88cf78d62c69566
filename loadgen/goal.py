"""What a plan aims at: the rate of open load, and how long it lasts. Read from the plan in a result file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import durationpy

from loadgen import stages
from loadgen.curve import SECOND

TOTAL = 200  # calls, where a plan says neither how many nor how long
MAX_IN_FLIGHT = 10_000  # calls of open load, where it is not said


@dataclass(frozen=True, slots=True)
class Goal:
    """What is aimed at after the warm-up; None where that is left to the server, or to chance."""

    rate: float | None
    """Calls per second, on average; all shards together."""
    length: int | None
    """ns in which calls fall due."""


def of(plan: Mapping[str, Any]) -> Goal:
    """Return the goal of a plan, given as the keys of a plan file."""
    try:
        if "stages" in plan:
            _, curve = stages.curve(stages.parse(plan["stages"])).cut(_ns(plan.get("warmup", "0s")))
            if curve.amount and curve.length:
                return Goal(curve.amount / curve.unit * SECOND / curve.length, curve.length)
        elif "rps" in plan:
            return Goal(float(plan["rps"]), _length(plan, float(plan["rps"])))
    except (
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        ZeroDivisionError,
        durationpy.DurationError,
    ):
        pass  # a file of another version, or one that somebody wrote by hand
    return Goal(None, None)


def _length(plan: Mapping[str, Any], rate: float) -> int | None:
    lengths = [_ns(plan["duration"])] if "duration" in plan else []
    if plan.get("arrival") != "poisson":  # which takes its own time for a number of calls
        total = plan.get("total", None if lengths else TOTAL)
        lengths += [] if total is None else [round(total * SECOND / rate)]
    return min(lengths, default=None)


def _ns(text: str) -> int:
    return round(durationpy.from_str(text).total_seconds() * 1e9)
