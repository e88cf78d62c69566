"""What a result says of each replica, and of all together over time; pure: a result in, figures out.

Replicas are pods as the observer saw them, or as `collect` found them; calls are known by backend. A backend
is in the pod that has its address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadgen import observed as steps
from loadgen.attribution import PEER
from loadgen.observed import Observed, Pod
from loadgen.result import Backend, Replica, Result

EVEN = 1.1  # times the mean that the busiest replica may get, and the least one as much below it
ROUND = 1_000_000_000  # ns: calls are compared over intervals of so long at least
ROUNDS = 3  # intervals in a row that must be even
TOGETHER = 1_000_000_000  # ns: changes so near to each other are one
SOON = 5_000_000_000  # ns: a replica that was ready for less, or a tenth of a shorter run, is not idle


def backends(result: Result) -> dict[str, list[str]] | None:
    """Return the names of the backends in each observed pod.

    None where none can be placed: they do not tell their address, or it is the Service's own.
    """
    observed = result.observed
    if observed is None:
        return None
    found: dict[str, list[str]] = {name: [] for name in observed.pods}
    for name, backend in result.backends.items():
        pod = _pod_of(observed, _host(result, name, backend), result.started + (backend.first_call or 0))
        if pod is not None:
            found[pod].append(name)
    return found if any(found.values()) else None


def _host(result: Result, name: str, backend: Backend) -> str | None:
    address = name if result.plan.get("backend_from") == PEER else backend.address
    return None if address is None else address.rpartition(":")[0].strip("[]")


def _pod_of(observed: Observed, host: str | None, first_call: int) -> str | None:
    """Return the pod that had the address at the first call: another may have had it before."""
    there = [(pod.first_seen, name) for name, pod in observed.pods.items() if host and pod.ip == host]
    before = [one for one in there if one[0] <= first_call]
    return max(before)[1] if before else min(there)[1] if there else None


def of(result: Result) -> list[Replica]:
    """Return all replicas: those observed, with what `collect` adds, and those that it alone found."""
    if result.observed is None:
        return list(result.replicas or ())
    collected = {one.pod: one for one in result.replicas or ()}
    placed = backends(result)
    every = sum(map(len, placed.values())) == len(result.backends) if placed is not None else False
    made = []
    for name, pod in result.observed.pods.items():
        names = [] if placed is None else placed[name]
        # without a place for each backend, one with none may have calls all the same
        calls = sum(result.backends[one].calls for one in names) if names or every else None
        found = collected.pop(name, None)
        if calls is None and found is not None:
            calls = found.calls
        made.append(
            Replica(
                pod=name,
                ip=pod.ip,
                id=names[0] if names else found.id if found is not None else None,
                ready_at=pod.ready_at,
                restarts=max(pod.restarts, found.restarts if found is not None else 0),
                oom_killed=pod.oom_killed or (found is not None and found.oom_killed),
                calls=calls,
            )
        )
    return made + list(collected.values())


def present(result: Result) -> list[Replica]:
    """Return the replicas that could have got calls: ready before the end, and for long enough."""
    end = result.started + result.duration
    pods = {} if result.observed is None else result.observed.pods
    enough = min(SOON, result.duration // 10)
    return [
        one
        for one in of(result)
        if one.ready_at is not None
        and one.ready_at < end
        and (one.pod not in pods or _ready_for(pods[one.pod], result.started, end) >= enough)
    ]


def _ready_for(pod: Pod, begin: int, end: int) -> int:
    return sum(max(0, min(until, end) - max(since, begin)) for since, until, _ in pod.ready)


def idle(result: Result) -> list[Replica]:
    """Return the replicas that got no call while others got some."""
    replicas = present(result)
    return [one for one in replicas if one.calls == 0] if any(one.calls for one in replicas) else []


def first_calls(result: Result) -> dict[str, int]:
    """Return when each observed pod got its first call, in ns since the start: of those that got one."""
    every = (
        (pod, result.backends[name].first_call)
        for pod, names in (backends(result) or {}).items()
        for name in names
    )
    found: dict[str, int] = {}
    for pod, at in every:
        if at is not None:
            found[pod] = min(at, found.get(pod, at))
    return found


# Over time


@dataclass(frozen=True, slots=True)
class Interval:
    """Some time of the run, in ns since the Unix epoch."""

    begin: int
    end: int
    wanted: int | None
    """Replicas at its end; None where that was not known."""
    ready: int | None
    idle: int | None
    """Replicas that were ready throughout and got no call, where there were some; None where not known."""
    sent: int
    even: bool | None
    """Whether those ready throughout got alike; None where that is not known."""


def intervals(result: Result, size: int) -> list[Interval]:
    """Return the run in steps of `size` intervals of its timeline; none where nobody observed it."""
    observed, timeline = result.observed, result.timeline
    if observed is None:
        return []
    placed = backends(result)
    made = []
    for first in range(0, len(timeline.sent), size):
        rows = slice(first, first + size)
        begin = timeline.start + first * timeline.interval
        end = timeline.start + min(first + size, len(timeline.sent)) * timeline.interval
        last = min(end, result.started + result.duration) - 1  # nothing was seen after it
        seen = steps.at(observed.seen, last) is not None
        wanted = steps.at(observed.wanted, last)
        sent = sum(timeline.sent[rows])
        counts = None if placed is None or not seen else _calls(result, observed, placed, rows, begin, last)
        made.append(
            Interval(
                begin,
                end,
                None if wanted is None else int(wanted),
                sum(pod.is_ready(last, last) for pod in observed.pods.values()) if seen else None,
                None if counts is None else counts.count(0) if sent else 0,
                sent,
                None if counts is None or not sent else _even(counts),
            )
        )
    return made


def _calls(
    result: Result, observed: Observed, placed: dict[str, list[str]], rows: slice, begin: int, last: int
) -> list[int]:
    """Return the calls of each pod that was ready throughout."""
    none: list[int] = []
    return [
        sum(sum(result.timeline.backends.get(one, none)[rows]) for one in placed[name])
        for name, pod in observed.pods.items()
        if pod.is_ready(max(begin, result.started), last)
    ]


def _even(counts: Sequence[int]) -> bool:
    """Return whether none is more than a tenth, or a call, from the mean."""
    if not counts:
        return False
    mean = sum(counts) / len(counts)
    return all(abs(count - mean) <= max(1.0, (EVEN - 1) * mean) for count in counts)


@dataclass(frozen=True, slots=True)
class Change:
    """Replicas became ready, or were no longer so. Times are ns since the start of the run."""

    at: int
    came: tuple[str, ...]
    left: tuple[str, ...]
    ready: int
    """How many were ready then."""
    even_after: int | None
    """From then to the first of `ROUNDS` intervals, at least a second each, that are even; None: never."""


def changes(result: Result) -> list[Change]:
    """Return each change of the replicas that were ready during the run; those within a second are one."""
    observed = result.observed
    if observed is None:
        return []
    end = result.started + result.duration
    moments = sorted(
        (at, name, came)
        for name, pod in observed.pods.items()
        for since, until, _ in pod.ready
        for at, came in ((since, True), (until, False))
        # one shard observes: where another's last call ended later, nobody saw a replica leave
        if result.started < at < end and (came or steps.at(observed.seen, at) is not None)
    )
    groups: list[list[tuple[int, str, bool]]] = []
    for moment in moments:
        if groups and moment[0] - groups[-1][0][0] <= TOGETHER:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    rounds = intervals(result, -(-ROUND // result.timeline.interval))
    return [
        Change(
            at=group[0][0] - result.started,
            came=tuple(name for _, name, came in group if came),
            left=tuple(name for _, name, came in group if not came),
            ready=sum(pod.is_ready(group[-1][0], group[-1][0] + 1) for pod in observed.pods.values()),
            even_after=_even_after(rounds, group[0][0]),
        )
        for group in groups
    ]


def _even_after(rounds: Sequence[Interval], at: int) -> int | None:
    for number, one in enumerate(rounds):
        following = rounds[number : number + ROUNDS]
        if one.begin >= at and len(following) == ROUNDS and all(other.even for other in following):
            return one.begin - at
    return None


def last_memory(result: Result) -> dict[str, int]:
    """Return the last reading (bytes) of each observed pod before the load ended that was there then."""
    observed, end = result.observed, result.started + result.duration
    if observed is None:
        return {}
    return {
        name: [value for at, value in pod.memory if at <= end][-1]
        for name, pod in observed.pods.items()
        if any(at <= end for at, _ in pod.memory) and (pod.gone is None or pod.gone > end)
    }


def summary(result: Result) -> dict[str, Any] | None:
    """Return what is derived of the replicas, times in seconds since the start; None where nobody looked."""
    observed = result.observed
    if observed is None:
        return None
    rows = intervals(result, 1)
    last, first = last_memory(result), first_calls(result)
    mean = sum(last.values()) / len(last) if last else 0

    def seconds(at: int | None) -> float | None:
        return None if at is None else at / 1e9

    def row(one: Replica) -> dict[str, Any]:
        pod = observed.pods.get(one.pod)
        ready = None if one.ready_at is None else one.ready_at - result.started
        return {
            "pod": one.pod,
            "calls": one.calls,
            "ready_s": seconds(ready),
            "first_call_s": seconds(first.get(one.pod)),
            "memory_last_bytes": last.get(one.pod),
            "memory_most_bytes": max((value for _, value in pod.memory), default=None) if pod else None,
        }

    return {
        "replicas": [row(one) for one in of(result)],
        "idle": [one.pod for one in idle(result)],
        "memory_peak_to_mean": round(max(last.values()) / mean, 4) if mean else None,
        "changes": [
            {
                "at_s": seconds(one.at),
                "came": list(one.came),
                "left": list(one.left),
                "ready": one.ready,
                "even_after_s": seconds(one.even_after),
            }
            for one in changes(result)
        ],
        "wanted": [one.wanted for one in rows],
        "ready": [one.ready for one in rows],
        "idle_over_time": [one.idle for one in rows],
        "calls_per_replica": [round(one.sent / one.ready, 3) if one.ready else None for one in rows],
    }
