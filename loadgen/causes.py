"""Why calls fell on backends as they did: rules, each giving its finding or None."""

from collections.abc import Callable

from loadgen import handshake, policies, replicas
from loadgen.attribution import PEER
from loadgen.events import Event
from loadgen.result import Result
from loadgen.spread import Spread
from loadgen.weighing import blackout, unweighted

Rule = Callable[[Result], str | None]


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
    if evidence.discovery == "dns":
        cure = f"{cure[:-1]}, or --rotate-connections."
    now = "The Service now has" if evidence.discovery == "watch" else "The name now resolves to"
    return (
        f"{now} {len(evidence.addresses_now)} addresses,"
        f" and {len(unknown)} of them got no call: the client never learnt of them.{lost} {why}{cure}"
    )


def connection_balanced(result: Result) -> str | None:
    """One address, one connection, one backend: connections were balanced, not calls."""
    evidence = result.evidence
    if len(result.backends) != 1 or evidence.connections != len(result.shards):
        return None
    addresses = evidence.addresses_now or evidence.addresses
    if addresses is None or len(addresses) != 1:
        return None
    if evidence.discovery == "watch" or any(
        one.ip is not None and addresses[0].startswith((f"{one.ip}:", f"[{one.ip}]:"))
        for one in replicas.of(result)
    ):
        return None  # the address is a pod's own: a headless service of one replica
    over = "one connection" if evidence.connections == 1 else f"{evidence.connections} connections"
    went = (
        f"All {result.totals.sent} calls went over {over} to the one address {addresses[0]} and reached one"
        " backend."
    )
    why = "picks a backend for each connection, not for each call, and gRPC keeps its connection"
    cure = "Make it headless (headless=true) and use --lb-policy round_robin."
    if replicas.idle(result):
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
    if not policies.of(result.evidence.policy).equal:
        return None
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
    failed = [e for e in result.events if e.name == "connection.failed"]
    policy = policies.of(evidence.policy)
    if policy is policies.PICK_FIRST or not spread.idle or not (failed or policy.connects_early):
        return None
    if failed:
        last = failed[-1].attributes
        reason = f": {last.get('address')} could not be connected ({last.get('reason')})"
    else:
        reason = "; the evidence does not say why"
    return (
        f"{spread.idle} of the addresses that the name resolves to got no call{reason}."
        f" The other {spread.backends} took all of them."
    )


def by_key(result: Result) -> str | None:
    """The policy goes by a key of the calls."""
    if policies.of(result.evidence.policy) is not policies.RING_HASH:
        return None
    spread = Spread.of(result)
    header = result.plan.get("hash_header", "its header")
    reached = f"{spread.backends} backend{'' if spread.backends == 1 else 's'} got calls"
    if spread.idle:
        reached += f", and no value that was sent belongs to the other {spread.idle}"
    return (
        f"ring_hash sends calls with the same value of {header} to the same backend: {reached}. How evenly"
        " depends on how many values there are, and on where they fall on the ring."
    )


def by_weight(result: Result) -> str | None:
    """The policy weighs backends by the load that they report."""
    spread = Spread.of(result)
    if policies.of(result.evidence.policy) is not policies.WEIGHTED_ROUND_ROBIN or spread.backends < 2:
        return None
    waits = blackout(result)
    if spread.even or waits >= result.duration / 1e9:
        return None
    return (
        f"weighted_round_robin gave {spread.backends} backends {spread.least / result.totals.sent:.1%} to"
        f" {spread.most / result.totals.sent:.1%} of the calls, by the load that they reported (ORCA): who"
        f" can do more gets more.{f' In the first {waits:g} s they got as many each.' if waits else ''}"
    )


def even(result: Result) -> str | None:
    """Every backend got its share."""
    spread = Spread.of(result)
    if not spread.even or spread.backends < 2:
        return None
    each = f"{spread.least}" if spread.least == spread.most else f"{spread.least} to {spread.most}"
    why = unweighted(result)
    return (
        f"Even: {spread.backends} backends got {each} calls each by {result.evidence.policy}"
        f"{f', as {why}' if why else ''}."
    )


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
    by_key,
    by_weight,
    even,
    unexplained,
)
