"""Measured tables in a document: each part's between markers of its own, so one can be made anew alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = "| figure | must be | seen | holds |\n|---|---|---|---|"
HOLDS = "yes"
OPEN = "(no limit)"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was seen beside what must be seen."""

    name: str
    expected: str
    seen: str
    verdict: str
    """`HOLDS`, `OPEN`, or by how much it misses."""

    def row(self) -> str:
        """Return it as a row of Markdown."""
        verdict = self.verdict if self.verdict in {HOLDS, OPEN} else f"**no**: {self.verdict}"
        return f"| {self.name} | {self.expected} | {self.seen} | {verdict} |"


def within(low: float, value: float, high: float, *, unit: str = "", scale: float = 1.0) -> str:
    """Return the verdict on a value that must be in a range, both shown times `scale` with a unit."""
    if low <= value <= high:
        return HOLDS
    bound, side = (low, "below") if value < low else (high, "above")
    return f"{abs(value - bound) * scale:.3g}{unit} {side}"


def table(figures: Sequence[Figure], note: str) -> str:
    """Return a part's table with a note under it."""
    return "\n".join([HEAD, *(figure.row() for figure in figures), "", note])


def _marks(part: str) -> tuple[str, str]:
    return f"<!-- {part}: begin -->", f"<!-- {part}: end -->"


def replaced(text: str, part: str, block: str) -> str:
    """Return the document with another block between a part's markers; raises ValueError without these."""
    begin, end = _marks(part)
    before, found, rest = text.partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise ValueError(f"the document has no {begin} with {end} after it")
    return f"{before}{begin}\n{block}\n{end}{after}"


def block(text: str, part: str) -> str:
    """Return what is between a part's markers; raises ValueError without these."""
    begin, end = _marks(part)
    match = re.search(re.escape(begin) + "\n(.*?)\n?" + re.escape(end), text, re.DOTALL)
    if match is None:
        raise ValueError(f"the document has no {begin} with {end} after it")
    return match[1]


def misses(text: str, parts: Sequence[str]) -> str:
    """Return the list of all rows of these parts that do not hold, of whichever run each table is."""
    rows = [
        f"- {part}, {cells[1].strip()}: {cells[4].strip().removeprefix('**no**: ')}"
        f" (seen {cells[3].strip()}, must be {cells[2].strip()})"
        for part in parts
        for line in block(text, part).splitlines()
        if len(cells := line.split("|")) == 6 and cells[4].strip().startswith("**no**")
    ]
    return "\n".join(rows) or "Nothing: every figure with a limit is within it."
