"""What happened, why, and what to change: rules over a result's evidence.

Each rule is a function that returns its finding or None. The first of `CAUSES` that applies explains the
spread; all of `WARNINGS` that apply follow. A rule speaks only of what the result shows: where evidence
is missing it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from loadgen import goal, handshake
from loadgen.attribution import PEER
from loadgen.events import Event
from loadgen.result import Replica, Result
from loadgen.shard import Shard
from loadgen.spread import Spread, present

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
SKEW = 250 * MILLISECOND  # between shards: more is said
LATE = 20 * MILLISECOND  # of 1 call in 100: less is not worth a word


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found."""

    rule: str
    """The rule's name, for scripts."""
    text: str
    """One or two sentences: what, why, and what to change."""


Rule = Callable[[Result], str | None]


def judge(result: Result) -> list[Finding]:
    """Return the cause first, then the warnings."""
    causes = ((rule.__name__, rule(result)) for rule in CAUSES)
    cause = next(Finding(name, text) for name, text in causes if text is not None)
    warnings = ((rule.__name__, rule(result)) for rule in WARNINGS)
    return [cause, *(Finding(name, text) for name, text in warnings if text is not None)]


def _idle(result: Result) -> list[Replica]:
    """Return those that got no call while others got some."""
    replicas = present(result)
    return [one for one in replicas if one.calls == 0] if any(one.calls for one in replicas) else []


def _calls(number: int) -> str:
    return f"{number} call{'' if number == 1 else 's'}"


# Causes


def nothing_succeeded(result: Result) -> str | None:
    """No call succeeded, so there is no spread."""
    if result.totals.ok:
        return None
    if not result.outcomes:
        return "No call was made." if result.warmup is None else "No call was made after the warm-up."
    worst = result.outcomes[0]
    cures = {
        "UNIMPLEMENTED": (
            f"The server has no such method: check what {result.plan['target']} serves"
            f" (loadgen list {result.plan['target']})."
        ),
        "UNAVAILABLE": "The backends could not be reached: check address, port and whether they run.",
        "DEADLINE_EXCEEDED": "No answer came within the deadline: the server is slower than --timeout.",
        "UNAUTHENTICATED": "The server wants credentials: give them with --token-file or --metadata.",
        "PERMISSION_DENIED": "The server refuses these credentials.",
    }
    secured = handshake.cure(worst.message) if worst.code == "UNAVAILABLE" else None
    cure = cures.get(worst.code, "The status code and message above are what the server said.")
    if secured is not None:
        cure = f"{worst.message}: {secured}."
    return f"No call succeeded; {worst.calls} of {result.totals.sent} ended {worst.code}. {cure}"


def unknown_backends(result: Result) -> str | None:
    """Replies did not say who sent them."""
    if result.backends:
        return None
    if result.plan.get("backend_from") == PEER:
        return (
            "The connections counted none of the calls, so the spread is not known: they ended before their"
            " counts could be read."
        )
    return (
        "No reply said which backend sent it, so the spread is not known."
        " Name the field or metadata key that does with --backend-from."
    )


def new_addresses_unused(result: Result) -> str | None:
    """The name resolves to addresses that the client never learnt of."""
    evidence = result.evidence
    if evidence.addresses_now is None or evidence.addresses_seen is None:
        return None
    unknown = set(evidence.addresses_now) - set(evidence.addresses_seen)
    if not unknown:
        return None
    why = {
        "static": "Discovery static looks a name up once.",
        "dns": "gRPC's resolver looks a name up again only when a connection is lost, it never polls.",
        "poll": "They came after the last look-up.",
        "watch": "They became ready as the run ended, or the Kubernetes API did not tell of them in time.",
    }.get(evidence.discovery, f"Discovery {evidence.discovery} did not tell of them.")
    gone = len(set(evidence.addresses_seen) - set(evidence.addresses_now))
    lost = f" {gone} that it did know {'is' if gone == 1 else 'are'} gone." if gone else ""
    follows = evidence.discovery in {"poll", "watch"}
    cure = "" if follows else " Use --discovery poll or watch to follow replicas."
    now = "The Service now has" if evidence.discovery == "watch" else "The name now resolves to"
    return (
        f"{now} {len(evidence.addresses_now)} addresses,"
        f" and {len(unknown)} of them got no call: the client never learnt of them.{lost} {why}{cure}"
    )


def connection_balanced(result: Result) -> str | None:
    """One address, one connection, one backend: connections were balanced, not calls."""
    evidence, replicas = result.evidence, result.replicas or ()
    if len(result.backends) != 1 or evidence.connections != len(result.shards):
        return None
    addresses = evidence.addresses_now or evidence.addresses
    if addresses is None or len(addresses) != 1:
        return None
    if evidence.discovery == "watch" or any(
        one.ip is not None and addresses[0].startswith((f"{one.ip}:", f"[{one.ip}]:")) for one in replicas
    ):
        return None  # the address is a pod's own: a headless service of one replica
    over = "one connection" if evidence.connections == 1 else f"{evidence.connections} connections"
    went = (
        f"All {result.totals.sent} calls went over {over} to the one address {addresses[0]} and reached one"
        " backend."
    )
    why = "picks a backend for each connection, not for each call, and gRPC keeps its connection"
    cure = "Make it headless (headless=true) and use --lb-policy round_robin."
    if _idle(result):
        return f"{went} A ClusterIP {why}: the other replicas got nothing. {cure}"
    return f"{went} A ClusterIP {why}: if the service has more replicas they got nothing. {cure}"


def pick_first(result: Result) -> str | None:
    """Several addresses, and the policy uses one."""
    evidence = result.evidence
    addresses = evidence.addresses_now or evidence.addresses or ()
    if evidence.policy != "pick_first" or len(result.backends) != 1 or len(addresses) < 2:
        return None
    return (
        f"The name resolves to {len(addresses)} addresses, but the policy pick_first sends every call to the"
        " first that connects. Use --lb-policy round_robin."
    )


def one_address(result: Result) -> str | None:
    """Several connections to one address, and only the address is known."""
    evidence = result.evidence
    if result.plan.get("backend_from") != PEER or len(result.backends) != 1 or not evidence.connections:
        return None
    addresses = evidence.addresses_now or evidence.addresses
    if addresses is None or len(addresses) != 1 or evidence.connections <= len(result.shards):
        return None
    return (
        f"All calls went to the one address {addresses[0]} over {evidence.connections} connections. Calls are"
        " counted by address, so what is behind that one is not seen: if it is a ClusterIP, each connection"
        " has a backend of its own. Name what tells replicas apart with --backend-from metadata:KEY or"
        " field:NAME, or use a headless service."
    )


def by_connection(result: Result) -> str | None:
    """Several connections to one address reached several backends."""
    evidence = result.evidence
    addresses = evidence.addresses_now or evidence.addresses
    if evidence.connections is None or len(result.backends) < 2:
        return None
    if addresses is None or len(addresses) != 1:
        return None
    per_call = result.plan.get("connections") == "per-call"
    how = "a new connection for every call" if per_call else f"{evidence.connections} connections"
    cost = (
        " That spreads, at the price of a handshake for each call: a headless service with round_robin"
        " spreads calls over kept connections."
        if per_call
        else " With so few connections the spread is chance: a headless service with round_robin"
        " spreads calls."
    )
    return (
        f"{how[0].upper()}{how[1:]} to one address reached {len(result.backends)} backends, each connection"
        f" balanced by itself.{cost}"
    )


def _during(result: Result, name: str) -> list[Event]:
    """Return the events of this name after every shard had started."""
    return [event for event in result.events if event.name == name and event.at > result.skew()]


def replicas_changed(result: Result) -> str | None:
    """Backends joined or left during the run."""
    added, removed, lost = (
        {str(event.attributes.get("address")) for event in _during(result, name)}
        for name in ("backend.added", "backend.removed", "connection.lost")
    )
    if not added and not removed and not lost:
        return None
    if added or removed:
        return (
            f"Backends changed during the run ({len(added)} joined, {len(removed)} left) and the client"
            f" followed by discovery {result.evidence.discovery}: {len(result.backends)} took calls, each"
            " for as long as it was there, so their totals differ."
        )
    if len(result.backends) < 2:
        return None
    return (
        f"The client lost its connection to {', '.join(sorted(lost))} during the run, and calls went to the"
        " other backends meanwhile, so totals differ."
    )


def cold_channel(result: Result) -> str | None:
    """The burst came before the connections were there."""
    spread = Spread.of(result)
    uneven = spread.backends > 1 and not spread.even
    failed = any(event.name == "connection.failed" for event in result.events)
    if not result.evidence.cold or not (uneven or (spread.idle and not failed)):
        return None
    return (
        "The load began on a channel that had not connected: calls waited, and the queue went to whichever"
        " backend connected first. That is start-up, not policy: without --cold the run waits for the"
        " connections, and round_robin is even."
    )


def backends_unreached(result: Result) -> str | None:
    """Addresses the client knew got no call."""
    spread, evidence = Spread.of(result), result.evidence
    if evidence.policy == "pick_first" or not spread.idle:
        return None
    failed = [e for e in result.events if e.name == "connection.failed"]
    if failed:
        last = failed[-1].attributes
        reason = f": {last.get('address')} could not be connected ({last.get('reason')})"
    else:
        reason = "; the evidence does not say why"
    return (
        f"{spread.idle} of the addresses that the name resolves to got no call{reason}."
        f" The other {spread.backends} took all of them."
    )


def even(result: Result) -> str | None:
    """Every backend got its share."""
    spread = Spread.of(result)
    if not spread.even or spread.backends < 2:
        return None
    each = f"{spread.least}" if spread.least == spread.most else f"{spread.least} to {spread.most}"
    return f"Even: {spread.backends} backends got {each} calls each by {result.evidence.policy}."


def unexplained(result: Result) -> str | None:
    """The evidence does not explain what was seen."""
    spread = Spread.of(result)
    if spread.backends == 1:
        return (
            "One backend took every call, and the evidence does not say whether there are others: neither"
            " its addresses nor its connections could be counted."
            if result.evidence.connections is None or result.evidence.addresses is None
            else "One backend took every call, and the client knew of no other."
        )
    return (
        f"Uneven: the busiest of {spread.backends} backends got {spread.peak_to_mean:.2f} times the mean,"
        " and the evidence does not say why."
    )


CAUSES: tuple[Rule, ...] = (
    nothing_succeeded,
    unknown_backends,
    new_addresses_unused,
    connection_balanced,
    pick_first,
    one_address,
    by_connection,
    replicas_changed,
    cold_channel,
    backends_unreached,
    even,
    unexplained,
)


# Warnings


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


def idle_replicas(result: Result) -> str | None:
    """Replicas that are there got nothing, which an autoscaler does not see."""
    idle, replicas = _idle(result), present(result)
    if not idle:
        return None
    counts = [one.calls or 0 for one in replicas]
    hot = max(counts) * len(counts) / sum(counts)
    return (
        f"{len(idle)} of {len(replicas)} replicas got no call, and the busiest got {hot:.1f} times the mean."
        " The mean hides it: an autoscaler works with the mean over all replicas, so it can be content while"
        " one carries the load, and a replica that it adds relieves nobody."
    )


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


WARNINGS: tuple[Rule, ...] = (
    stopped_early,
    some_failed,
    some_dropped,
    client_late,
    closed_hides_stalls,
    retries_hide,
    idle_replicas,
    shards_missing,
    shards_apart,
)
