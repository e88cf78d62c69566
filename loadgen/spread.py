"""How calls fell on backends, in figures."""

import math
from dataclasses import dataclass
from typing import Self

from loadgen.result import Result


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the backends that got calls."""

    backends: int
    least: int
    """Calls of the backend that got the fewest."""
    most: int
    peak_to_mean: float
    """The most over the mean: 1.0 is even, the number of backends is all on one of them."""
    variation: float
    """Standard deviation over mean."""
    idle: int | None
    """Addresses that got no call; None where one address may stand for many backends."""

    @classmethod
    def of(cls, result: Result) -> Self:
        """Return the spread of a result; all zeros where no call said who answered."""
        counts = [backend.calls for backend in result.backends.values()]
        if not counts:
            return cls(0, 0, 0, 0.0, 0.0, None)
        mean = sum(counts) / len(counts)
        deviation = math.sqrt(sum((count - mean) ** 2 for count in counts) / len(counts))
        return cls(
            backends=len(counts),
            least=min(counts),
            most=max(counts),
            peak_to_mean=max(counts) / mean,
            variation=deviation / mean,
            idle=_idle(result, len(counts)),
        )

    @property
    def even(self) -> bool:
        """Most and least are at most 2 calls, or 2 % of the mean, apart."""
        return self.most - self.least <= max(2, 0.02 * self.most / (self.peak_to_mean or 1))


def _idle(result: Result, used: int) -> int | None:
    evidence = result.evidence
    addresses = evidence.addresses_now or evidence.addresses
    # a single address may be a service's own, with any number of backends behind it
    if addresses is None or len(addresses) < 2:
        return None
    gone = len(set(evidence.addresses_seen or ()) - set(addresses))
    return max(0, len(addresses) + gone - used)
