"""What must be seen, by mathematics alone. Times are seconds, rates are calls per second."""

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Student's t for 95 % and 1, 2, ... degrees of freedom
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def stall_quantile(quantile: float, stall: float, period: float) -> float:
    """Return the wait that this share (0 to 1) of uniform arrivals does not exceed.

    The server stalls for `stall` in each `period` and answers at once otherwise: a call that arrives x
    before a stall's end waits x, so (stall - x) / period of all calls wait longer than x.
    """
    return max(0.0, stall - (1 - quantile) * period)


def uniform_rate(rate: float, period: float, periods: int) -> float:
    """Return the rate next to `rate` whose even calls reach a period at other points than those before.

    Over so many periods they lie in it as evenly as calls at `periods` times the rate. With a whole number
    of calls a period all periods would be met at the same points, and quantiles be off by up to a spacing.
    """
    return (round(rate * period) + 1 / periods) / period


def drain(queued: float, capacity: float, rate: float) -> float:
    """Return the time to work `queued` calls off at `capacity`, while others come at `rate`."""
    return queued / (capacity - rate) if capacity > rate else math.inf


def md1_wait(rate: float, service: float) -> float:
    """Return the mean wait before service: Poisson arrivals, one server, a fixed time of service.

    Pollaczek and Khinchine: rho D / (2 (1 - rho)) with rho = rate D.
    """
    load = rate * service
    return load * service / (2 * (1 - load)) if load < 1 else math.inf


def waits(arrivals: "NDArray[np.float64]", service: float) -> "NDArray[np.float64]":
    """Return the wait of each of these arrivals (ascending) before one server that starts idle.

    Lindley: the next waits max(0, wait + service - time between them); here in one pass, as the height
    of the walk of these steps above its lowest point so far.
    """
    if not len(arrivals):
        return np.zeros(0)
    walk = np.concatenate([[0.0], np.cumsum(service - np.diff(arrivals))])
    above: NDArray[np.float64] = walk - np.minimum.accumulate(walk)
    return above


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of independent values and the half width of its 95 % confidence interval."""
    if len(values) < 2:
        return statistics.fmean(values), math.inf
    freedom = len(values) - 1
    # beyond the table this is right to 1 %
    t = T_95[freedom - 1] if freedom <= len(T_95) else 1.96 + 2.45 / freedom
    return statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(len(values))
