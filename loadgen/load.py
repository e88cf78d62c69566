"""The load that a plan asks for."""

import secrets
from dataclasses import replace

from loadgen import payload, stages
from loadgen.arrivals import Arrivals, WarmedUp
from loadgen.curve import Curve
from loadgen.errors import PlanError
from loadgen.goal import MAX_IN_FLIGHT
from loadgen.pacing import Closed, Constant, Pacer
from loadgen.plan import Plan
from loadgen.shard import WHOLE, Shard


def settled(plan: Plan, shard: Shard = WHOLE) -> Plan:
    """Return the plan with data from stdin in it, and a seed where it needs one.

    So the result tells how to repeat the run. Raises PlanError where several shards would each draw a seed of
    their own, or where data cannot be read.
    """
    plan = payload.taken(plan)
    chance = None if plan.seed is not None else payload.chance(plan)
    if chance is None:
        return plan
    if shard.count > 1:
        raise PlanError(f"{chance} with several shards needs --seed, the same one for all of them")
    return replace(plan, seed=secrets.randbits(32))


def in_flight_of(plan: Plan, shard: Shard = WHOLE) -> int:
    """Return how many calls a shard may have in flight."""
    most = (plan.max_in_flight or MAX_IN_FLIGHT) if plan.open else (plan.concurrency or 1)
    return max(1, shard.share(most))


def pacer_of(plan: Plan, shard: Shard = WHOLE) -> Pacer:
    """Return the pacer for a shard's part of the plan's load; raises PlanError where that is no call."""
    if not plan.open:
        return _closed(plan, shard)
    if plan.stages is not None:
        warmup, pacer = _staged(plan, shard)
    else:
        total, duration = plan.limits
        pacer = _steady(plan, total, duration, shard, "load")
        warmup = None if plan.warmup is None else _steady(plan, None, plan.warmup, shard, "warm-up")
    if pacer.expected() == 0:
        raise PlanError(f"the load has fewer calls than shards ({shard.count}): each needs one")
    return pacer if warmup is None else WarmedUp(warmup, pacer, plan.warmup or 0)


def _closed(plan: Plan, shard: Shard) -> Pacer:
    total, duration = plan.limits
    concurrency = plan.concurrency or 1
    for flag, whole in (("--total", total), ("--concurrency", concurrency)):
        if whole is not None and whole < shard.count:
            raise PlanError(f"{flag} {whole} is less than there are shards ({shard.count}): each needs one")
    if total is not None:
        concurrency = min(concurrency, total)
    return Closed(
        concurrency,
        total=total,
        duration=duration,
        pause=plan.interval or 0,
        warmup=plan.warmup or 0,
        shard=shard,
    )


def _steady(plan: Plan, total: int | None, duration: int | None, shard: Shard, part: str) -> Pacer:
    assert plan.rps is not None
    if plan.arrival != "poisson":
        return Constant(plan.rps, total=total, duration=duration, shard=shard)
    curve = Curve.flat(plan.rps, duration)
    name = f"Poisson{{{plan.rps:g}/s, seed {plan.seed}}}"
    return Arrivals.poisson(name, curve, seed=plan.seed or 0, total=total, shard=shard, part=part)


def _staged(plan: Plan, shard: Shard) -> tuple[Pacer | None, Pacer]:
    """Return the pacers of what is before the end of the warm-up and of what is after it."""
    assert plan.stages is not None
    words = ", ".join(map(str, plan.stages))
    before, after = stages.curve(plan.stages).cut(plan.warmup or 0)
    if not after.amount:
        raise PlanError("--stages make no call after --warmup: their rate is 0 from then on")

    def pacer(curve: Curve, part: str) -> Pacer:
        if plan.arrival != "poisson":
            return Arrivals.even(f"Stages{{{words}}}", curve, shard=shard)
        name = f"Poisson{{{words}, seed {plan.seed}}}"
        return Arrivals.poisson(name, curve, seed=plan.seed or 0, shard=shard, part=part)

    return None if plan.warmup is None else pacer(before, "warm-up"), pacer(after, "load")
