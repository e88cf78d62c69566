"""What a search leaves behind: its steps and what they say, and the content of its file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from loadgen import resultjson, summary
from loadgen.result import Json
from loadgen.step import Step, Try
from loadgen.thresholds import Threshold

FORMAT = "grpc-spread/search"
VERSION = 1


def is_search(content: object) -> bool:
    """Return whether a file's content is that of a search."""
    return isinstance(content, dict) and content.get("format") == FORMAT


@dataclass(slots=True)
class Found:
    """What a search found. Rates are calls per second."""

    plan: Json
    """The plan of every step, without its rate and length."""
    limits: Sequence[Threshold]
    precision: float
    """What failed is at most this share above what passed."""
    steps: list[Step]
    rate: float | None = None
    """The highest rate that passed."""
    failed: float | None = None
    """The lowest that failed above it; None where none did."""
    client: bool = False
    """The load generator, not the service, was the limit."""
    partial: str | None = None
    """Why it ended early, or None."""

    def step(self, rate: float) -> Step:
        """Return the last step of this rate."""
        return next(step for step in reversed(self.steps) if step.rate == rate)

    def to_json(self) -> Json:
        """Return the file's content."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "plan": self.plan,
            "thresholds": [str(limit) for limit in self.limits],
            "precision": self.precision,
            "rate": self.rate,
            "failed": self.failed,
            "client": self.client,
            "partial": self.partial,
            "steps": [
                {
                    "rate": step.rate,
                    "passed": step.passed,
                    "sure": step.sure,
                    "tries": [
                        {
                            "growth": one.growth,
                            "result": resultjson.to_json(one.result, summary.of(one.result)),
                        }
                        for one in step.tries
                    ],
                }
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the search in a file's content; raises ValueError saying where it is none."""
        if not is_search(content):
            raise ValueError(f'is not a search: it has no "format": "{FORMAT}"')
        version = content.get("version")
        if isinstance(version, int) and version > VERSION:
            raise ValueError(f"has format version {version}, newer than this loadgen's: update loadgen")
        try:
            limits = [Threshold.parse(text) for text in content["thresholds"]]
            steps = []
            for step in content["steps"]:
                tries = [
                    Try.of(resultjson.from_json(one["result"]), one["growth"], limits)
                    for one in step["tries"]
                ]
                steps.append(Step(step["rate"], limits, tries))
            rest = {key: content[key] for key in ("plan", "precision", "rate", "failed", "client", "partial")}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is not a whole search: {error}") from None
        return cls(limits=limits, steps=steps, **rest)
