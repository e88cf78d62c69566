"""What happened, why, and what to change: rules over a result's evidence.

Each rule is a function that returns its finding or None. The first of `CAUSES` that applies explains the
spread; all of `CAUTIONS` that apply follow. A rule speaks only of what the result shows: where evidence
is missing it says so.
"""

from dataclasses import dataclass

from loadgen.causes import CAUSES
from loadgen.cautions import CAUTIONS
from loadgen.result import Result


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found."""

    rule: str
    """The rule's name, for scripts."""
    text: str
    """One or two sentences: what, why, and what to change."""


def judge(result: Result) -> list[Finding]:
    """Return the cause first, then the cautions."""
    causes = ((rule.__name__, rule(result)) for rule in CAUSES)
    cause = next(Finding(name, text) for name, text in causes if text is not None)
    cautions = ((rule.__name__, rule(result)) for rule in CAUTIONS)
    return [cause, *(Finding(name, text) for name, text in cautions if text is not None)]
