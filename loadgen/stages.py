"""Stages: a load whose rate changes, as `--stages` has it.

`30s:100,1m:500,10s:0` ramps in a straight line: from 0 to 100 calls/s over 30 s, on to 500 over a minute,
and down to 0. With `@` a stage begins with a step: `30s@100` is 100 calls/s from its first moment to its
last. The first stage ramps from 0; begin with a step to begin elsewhere.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import durationpy

from loadgen.curve import Curve, Piece, exactly

FASTEST = 1_000_000
"""Calls per second."""

_STAGE = re.compile(r"(?P<length>[^:@]*)(?P<how>[:@])(?P<rate>[^:@]*)")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `str()` of it is as it is written."""

    length: int
    """ns."""
    rate: float
    """Calls per second at its end, with a step also before."""
    step: bool

    def __str__(self) -> str:
        return f"{_written(self.length)}{'@' if self.step else ':'}{repr(self.rate).removesuffix('.0')}"

    @classmethod
    def parse(cls, text: str) -> "Stage":
        """Return the stage; raises ValueError saying what is wrong with it."""
        found = _STAGE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no stage: write DURATION:RATE to ramp, DURATION@RATE to step")
        return cls(_length(found["length"].strip(), text), _rate(found["rate"].strip()), found["how"] == "@")


def _written(length: int) -> str:
    """Return a time in ns as a Go-style duration, exactly."""
    text = ""
    for unit, size in (
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ):
        number, length = divmod(length, size)
        text += f"{number}{unit}" if number else ""
    return text + (f"{f'{length / 1000:.3f}'.rstrip('0').rstrip('.')}us" if length else "")


def _length(text: str, stage: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{stage!r} goes back in time: a stage's duration must be more than 0")
    try:
        length = round(durationpy.from_str(text).total_seconds() * 1e9)
    except (durationpy.DurationError, ValueError, OverflowError):
        raise ValueError(f"{text!r} in {stage!r} is no duration: write it like 500ms or 1m30s") from None
    if not length:
        raise ValueError(f"{stage!r} takes no time: for a jump in the rate write @, such as 30s@100")
    return length


def _rate(text: str) -> float:
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= FASTEST:
        raise ValueError(f"{text!r} is no rate: write calls per second, from 0 up to {FASTEST}")
    return abs(rate)  # -0 is 0


def parse(text: str) -> tuple[Stage, ...]:
    """Return the stages; raises ValueError saying what is wrong with the first wrong one."""
    stages = tuple(Stage.parse(part.strip()) for part in text.split(","))
    if not any(stage.rate for stage in stages):
        raise ValueError(f"{text!r} makes no call: its rate never rises above 0")
    return stages


def write(stages: Sequence[Stage]) -> str:
    """Return the stages as they are written: `30s:100,1m:500`."""
    return ",".join(map(str, stages))


def length(stages: Sequence[Stage]) -> int:
    """Return how long they take, in ns."""
    return sum(stage.length for stage in stages)


def curve(stages: Sequence[Stage]) -> Curve:
    """Return the rate over time that they describe."""
    pieces: list[Piece] = []
    rate = Fraction(0)
    for stage in stages:
        before, rate = rate, exactly(stage.rate)
        pieces.append(Piece(stage.length, rate if stage.step else before, rate))
    return Curve(pieces)
