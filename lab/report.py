"""What experiments showed, for people."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lab.experiments import Experiment, Observation

BAR = 30
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Outcome:
    """One experiment's end: what was seen, or why nothing was."""

    experiment: Experiment
    observation: Observation | None
    wrong: Sequence[str]
    """What was otherwise than it should be."""

    @property
    def seen(self) -> str:
        """Return the calls per replica, in order of start, and the failed ones."""
        if self.observation is None:
            return "(no result)"
        counts = " / ".join(str(count) for count in self.observation.counts)
        failed = self.observation.failed
        return f"{counts}{f', {failed} failed' if failed else ''}"


def paragraph(outcome: Outcome) -> str:
    """Return one experiment's distribution and verdict."""
    lines = [f"{outcome.experiment.name}{': NOT AS EXPECTED' if outcome.wrong else ''}"]
    seen = outcome.observation
    if seen is not None:
        sent = seen.result["totals"]["sent"]
        for replica in seen.replicas:
            calls = seen.calls(replica)
            share = calls / sent if sent else 0.0
            bar = "■" * round(share * BAR)
            lines.append(f"  {replica.name:<10}{calls:>6} calls {share:>6.1%}  {bar}".rstrip())
        lines += [_wrapped(finding["text"]) for finding in seen.result["summary"]["verdict"]]
    lines += [_wrapped(f"Not as expected: {sentence}.") for sentence in outcome.wrong]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the table of all experiments."""
    made = Table(title="Calls per replica, in order of their start", title_justify="left")
    made.add_column("experiment", no_wrap=True)
    for heading in ("article saw", "seen here", "as expected", "why"):
        made.add_column(heading, overflow="fold")
    for outcome in outcomes:
        why = "; ".join(outcome.wrong) if outcome.wrong else outcome.experiment.why
        made.add_row(
            outcome.experiment.name,
            outcome.experiment.article,
            outcome.seen,
            "NO" if outcome.wrong else "yes",
            why,
        )
    return made


def console() -> Console:
    """Return where reports go: as wide as the terminal, or wide enough for the table."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)
