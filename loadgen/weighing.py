"""What a result tells of weighted_round_robin's weights (gRFC A58)."""

import durationpy

from loadgen import policies
from loadgen.result import Result
from loadgen.spread import Spread


def _seconds(text: object) -> float:
    return float(durationpy.from_str(str(text)).total_seconds())


def blackout(result: Result) -> float:
    """Return for how many seconds of the run reports could not weigh yet: a warm-up is before it."""
    config = result.plan.get("lb_config") or {}
    period = _seconds(config["blackoutPeriod"]) if "blackoutPeriod" in config else policies.BLACKOUT
    return max(0.0, period - _seconds(result.plan.get("warmup", "0s")))


def unweighted(result: Result) -> str | None:
    """Return why the policy gave equal shares, or None where it did not, or is another one."""
    if policies.of(result.evidence.policy) is not policies.WEIGHTED_ROUND_ROBIN or not Spread.of(result).even:
        return None
    waits = blackout(result)
    if waits >= result.duration / 1e9:
        return f"reports of load weigh after {waits:g} s only (blackoutPeriod), and the run was over by then"
    out_of_band = (result.plan.get("lb_config") or {}).get("enableOobLoadReport")
    how = "out of band" if out_of_band else "with each answer"
    return f"the loads that they reported were alike, or no reports (ORCA, {how}) came"
