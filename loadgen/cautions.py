"""What to know before believing a result's figures: rules, each giving its finding or None."""

from collections.abc import Callable

from loadgen import fallback, goal, policies, replicas, slowness
from loadgen.result import Result
from loadgen.shard import Shard
from loadgen.slowness import Slow
from loadgen.weighing import unweighted

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
SKEW = 250 * MILLISECOND  # between shards: more is said
LATE = 20 * MILLISECOND  # of 1 call in 100: less is not worth a word

Rule = Callable[[Result], str | None]


def _calls(number: int) -> str:
    return f"{number} call{'' if number == 1 else 's'}"


def stopped_early(result: Result) -> str | None:
    """The plan was not finished."""
    if result.partial is None:
        return None
    return f"Partial: the run was {result.partial} after {_calls(result.totals.sent)}."


def some_failed(result: Result) -> str | None:
    """Some calls failed."""
    totals = result.totals
    if not totals.failed or not totals.ok:
        return None
    worst = next(one for one in result.outcomes if one.code != "OK")
    lost = result.evidence.connections_lost
    beside = f", and {lost} connection{'s were' if lost != 1 else ' was'} lost" if lost else ""
    return (
        f"{_calls(totals.failed)} of {totals.sent} failed{beside}; most often {worst.code}"
        f" ({worst.message or 'no message'})."
    )


def some_dropped(result: Result) -> str | None:
    """Calls fell due without room, for want of answers or because the client was late."""
    dropped = result.totals.dropped
    if not dropped:
        return None
    return (
        f"{_calls(dropped)} of {result.totals.due} fell due while --max-in-flight calls were in flight and"
        f" were never sent: {_why_no_room(result)} The percentiles leave them out, so the truth is worse than"
        " they say."
    )


def _why_no_room(result: Result) -> str:
    if _late(result):
        return "the load generator itself was late, so they came in bursts, which says nothing of the server."
    rate = goal.of(result.plan).rate or result.rate()
    mean, most = result.service.mean() / SECOND, int(result.plan.get("max_in_flight", goal.MAX_IN_FLIGHT))
    if rate * mean > 0.8 * most:
        return (
            f"answers took {mean:.2g} s on average, so {rate:g} calls/s keep some {rate * mean:.0f} in"
            " flight. The server is too slow for this rate, or --max-in-flight is too low."
        )
    return f"answers took up to {result.service.max / SECOND:.2g} s, and calls piled up meanwhile."


def _late(result: Result) -> bool:
    """Return whether the client was the limit: calls started late, and not only after the server had stalled.

    When a server that stalled answers all at once, the client is busy for a moment: some calls are late then,
    but by little against what they took. A client at its limit is late with most calls, or by much.
    """
    late = result.lag.percentile(99)
    if not result.open or late < LATE:
        return False
    return result.lag.percentile(50) >= LATE // 4 or late >= result.service.percentile(99) / 4


def client_late(result: Result) -> str | None:
    """The client could not start calls when they were due."""
    if not _late(result):
        return None
    late, took = result.lag.percentile(99) / MILLISECOND, result.service.percentile(99) / MILLISECOND
    return (
        f"The load generator itself was late: 1 call in 100 started {late:.0f} ms or more after it was due,"
        f" while 99 in 100 took up to {took:.0f} ms once started. Latencies include both; lower the rate,"
        " give it more CPU or more shards before blaming the server."
    )


def closed_hides_stalls(result: Result) -> str | None:
    """Closed load stopped asking while the server stalled."""
    if result.open or result.latency.count < 100 or not result.duration:
        return None
    usual, p99 = result.latency.percentile(50), result.latency.percentile(99)
    number, waited = result.latency.above(max(20 * usual, 50 * MILLISECOND, p99))
    whole = int(result.plan.get("concurrency", 1))
    callers = sum(Shard(shard.index, shard.count).share(whole) for shard in result.shards)
    share = waited / callers / result.duration
    if share < 0.03:
        return None
    return (
        f"Closed load hides stalls: callers spent {share:.0%} of the run in {_calls(number)} of up to"
        f" {result.latency.max / SECOND:.2f} s, which the 99th percentile ({p99 / MILLISECOND:.1f} ms) does"
        " not show, as nothing was due meanwhile. Measure latency with open load (--rps)."
    )


def retries_hide(result: Result) -> str | None:
    """Attempts failed that no figure counts, since gRPC made them again."""
    retries = result.evidence.retries
    if not retries:
        return None
    return (
        f"gRPC made attempts again, {retries} at least: failures that the counts do not show. Their time is"
        " part of the latency of the calls."
    )


def discovery_fell_back(result: Result) -> str | None:
    """Backends were found otherwise than was asked for."""
    fell = [event for event in result.events if event.name == fallback.EVENT]
    if not fell:
        return None
    of = fell[0].attributes
    shards = len(result.shards)
    some = f" ({len(fell)} of {shards} shards)" if len(fell) < shards else ""
    return (
        f"Backends were found by --discovery {of.get('to')}, not {result.plan.get('discovery')}{some}, as"
        f" --discovery-fallback says: {str(of.get('reason')).rstrip('.')}."
    )


def idle_replicas(result: Result) -> str | None:
    """Replicas that are there got nothing, which an autoscaler does not see."""
    idle, present = replicas.idle(result), replicas.present(result)
    if not idle:
        return None
    counts = [one.calls or 0 for one in present]
    hot = max(counts) * len(counts) / sum(counts)
    return (
        f"{len(idle)} of {len(present)} replicas got no call, and the busiest got {hot:.1f} times the mean."
        " The mean hides it: an autoscaler works with the mean over all replicas, so it can be content while"
        " one carries the load, and a replica that it adds relieves nobody."
    )


def slow_backend(result: Result) -> str | None:
    """A backend is much slower than the others."""
    found = slowness.find(result)
    if not found:
        return None
    slow, policy = found[0], policies.of(result.evidence.policy)
    backend = result.backends[slow.backend]
    name = slow.backend if backend.address in {None, slow.backend} else f"{slow.backend} ({backend.address})"
    more = "" if len(found) == 1 else f" {len(found) - 1} more {'is' if len(found) == 2 else 'are'} slow too."
    share, equal = backend.calls / result.totals.sent, 1 / len(result.backends)
    return (
        f"Backend {name} is slow: {_times(slow)}. It got {share:.1%} of the calls.{more}"
        f" {_about_slow(result, policy, share < 0.8 * equal)}"
    )


def _times(slow: Slow) -> str:
    median, p99 = slow.latency.percentile(50), slow.latency.percentile(99)
    beside = "the other" if slow.others == 1 else f"the {slow.others} fast ones"
    if slow.tail:
        return (
            f"5 in 100 of its calls take {slow.latency.percentile(95) / MILLISECOND:.4g} ms or more, 99 in"
            f" 100 of {beside} at most {slow.p99 / MILLISECOND:.3g} ms, though its median is like theirs"
        )
    return (
        f"its median, {median / MILLISECOND:.3g} ms, is {median / slow.median:.1f} times that of {beside}"
        f" ({slow.median / MILLISECOND:.3g} ms), its p99 {p99 / MILLISECOND:.3g} ms beside"
        f" {slow.p99 / MILLISECOND:.3g} ms"
    )


def _about_slow(result: Result, policy: policies.Policy, spared: bool) -> str:
    """Return what the policy does about a slow backend, and the cure."""
    cure = (
        "weighted_round_robin sends it fewer, if servers report load (ORCA; grpc-spread's own with --orca)."
    )
    if policy is policies.WEIGHTED_ROUND_ROBIN:
        if spared:
            return "That is less than an equal share: weighted_round_robin goes by the load that it reports."
        why = unweighted(result) or "the reports do not tell it from the others"
        return f"weighted_round_robin did not spare it: {why}."
    if policy is policies.RING_HASH:
        return f"ring_hash goes by the key, not by load. Where calls need not stay with a backend, {cure}"
    does = "gives it its turn"
    if policy is policies.PICK_FIRST:
        does = "stays with the backend that it connected to"
    return f"{policy.name} {does}, however slow. In its place {cure}"


def shards_missing(result: Result) -> str | None:
    """Not every shard's calls are in the result."""
    missing = result.missing()
    if not missing or len(result.shards) == 1:
        return None
    names = ", ".join(str(index) for index in missing)
    count = max(shard.count for shard in result.shards)
    return (
        f"{len(missing)} of {count} shards {'is' if len(missing) == 1 else 'are'} missing ({names}): the"
        " figures are those of the others, and the load was less than was asked for if they did not run."
    )


def shards_apart(result: Result) -> str | None:
    """Shards began at different times."""
    if result.skew() <= SKEW:
        return None
    if result.apart():
        return "The shards did not run at the same time: together they were not the load that was asked for."
    return (
        f"The shards started {result.skew() / SECOND:.2f} s apart: at both ends of the run the load was less"
        " than was asked for."
    )


def memory_unknown(result: Result) -> str | None:
    """The replicas were observed, but the metrics API gave nothing of their memory."""
    observed = result.observed
    if observed is None or not observed.pods or any(pod.memory for pod in observed.pods.values()):
        return None
    said = [one for one in result.events if one.name == "observe.failed"]
    reasons = [str(one.attributes.get("reason")) for one in said if one.attributes.get("what") == "memory"]
    why = f": {reasons[-1]}" if reasons else ", which has no reading of these pods yet"
    return f"The replicas' memory is not known{why}. An autoscaler by memory has nothing to go by either."


CAUTIONS: tuple[Rule, ...] = (
    stopped_early,
    some_failed,
    some_dropped,
    client_late,
    closed_hides_stalls,
    retries_hide,
    discovery_fell_back,
    idle_replicas,
    slow_backend,
    memory_unknown,
    shards_missing,
    shards_apart,
)
