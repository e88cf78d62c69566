"""Makes one result of several: exactly, in any order and grouping.

Counts and histograms add up. Times, which count from each run's start, are moved to that of the first one;
timelines lie on one grid of wall-clock time and add up cell by cell. What was asked must be the same.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial, reduce
from typing import TypeVar

import numpy as np

from loadgen import observed
from loadgen.cells import Cells
from loadgen.events import Event
from loadgen.histogram import Histogram
from loadgen.result import Backend, Evidence, Outcome, Replica, Result, Timeline, Totals
from loadgen.timeline import ROWS

T = TypeVar("T")
AND = " and "


def merge(results: Iterable[Result]) -> Result:
    """Return the result of all; raises ValueError where they are of different plans or programs.

    None of the given ones is changed. There must be one at least.
    """
    return reduce(_two, results)


def _two(one: Result, other: Result) -> Result:
    _check(one, other)
    started = min(one.started, other.started)
    both = [(result, result.started - started) for result in (one, other)]
    return Result(
        plan=one.plan,
        pacing=one.pacing,
        versions={
            name: _joined(one.versions[name], other.versions[name], ", ") or "" for name in one.versions
        },
        shards=sorted(
            [*one.shards, *other.shards], key=lambda shard: (shard.index, shard.count, shard.started)
        ),
        started=started,
        # a shard that made no call has no last one
        duration=max((result.duration + later for result, later in both if result.totals.sent), default=0),
        partial=_joined(one.partial, other.partial, AND),
        totals=_totals(one.totals, other.totals),
        messages_out=one.messages_out + other.messages_out,
        messages_in=one.messages_in + other.messages_in,
        unattributed=_sum_backend(*(_moved(result.unattributed, later) for result, later in both)),
        backends=reduce(
            partial(_union, add=_sum_backend),
            ({name: _moved(b, later) for name, b in result.backends.items()} for result, later in both),
        ),
        latency=_sum_histogram(one.latency, other.latency),
        service=_sum_histogram(one.service, other.service),
        lag=_sum_histogram(one.lag, other.lag),
        failed_latency=_sum_histogram(one.failed_latency, other.failed_latency),
        outcomes=_outcomes(one.outcomes, other.outcomes),
        timeline=_timeline(one.timeline, other.timeline),
        events=_events(both),
        events_left_out=one.events_left_out + other.events_left_out,
        evidence=_evidence(one.evidence, other.evidence),
        replicas=_replicas(one.replicas, other.replicas),
        warmup=_totals(one.warmup, other.warmup)
        if one.warmup and other.warmup
        else one.warmup or other.warmup,
        observed=observed.merge(one.observed, other.observed),
    )


def _check(one: Result, other: Result) -> None:
    for key in sorted({*one.plan, *other.plan}):
        mine, theirs = one.plan.get(key), other.plan.get(key)
        if mine != theirs:
            raise ValueError(f"{key} is {json.dumps(mine)} in one result and {json.dumps(theirs)} in another")
    if {part.count for part in one.shards} != {part.count for part in other.shards}:
        raise ValueError("one result is of a load of more shards than another")
    for part in one.shards:
        if any(part == twin or (part.count > 1 and part.index == twin.index) for twin in other.shards):
            raise ValueError(f"the result of shard {part.index}/{part.count} is there twice")
    if one.versions.keys() != other.versions.keys() or one.versions["loadgen"] != other.versions["loadgen"]:
        mine, theirs = (result.versions.get("loadgen") for result in (one, other))
        raise ValueError(f"one result is of loadgen {mine}, another of loadgen {theirs}")


def _joined(one: str | None, other: str | None, between: str) -> str | None:
    """Return what either says, each thing once."""
    said = {part for text in (one, other) if text is not None for part in text.split(between)}
    return between.join(sorted(said)) if said else None


def _union(one: Mapping[str, T], other: Mapping[str, T], add: Callable[[T, T], T]) -> dict[str, T]:
    """Return both, with what both have added up."""
    made = {**one, **other}
    for name in one.keys() & other.keys():
        made[name] = add(one[name], other[name])
    return made


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _most(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _known(one: int | None, other: int | None) -> int | None:
    """Return the sum, which is not known where one is not."""
    return None if one is None or other is None else one + other


def _totals(one: Totals, other: Totals) -> Totals:
    return Totals(
        one.due + other.due,
        one.sent + other.sent,
        one.ok + other.ok,
        one.failed + other.failed,
        one.dropped + other.dropped,
    )


def _sum_histogram(one: Histogram, other: Histogram) -> Histogram:
    made = Histogram()
    made.merge(one)
    made.merge(other)
    return made


def _moved(backend: Backend, later: int) -> Backend:
    def moved(at: int | None) -> int | None:
        return None if at is None else at + later

    return replace(
        backend,
        first_call=moved(backend.first_call),
        last_call=moved(backend.last_call),
        known=moved(backend.known),
        connected=moved(backend.connected),
    )


def _sum_backend(one: Backend, other: Backend) -> Backend:
    here = one.address is not None and one.address == other.address  # else nothing is known of its place
    return Backend(
        one.calls + other.calls,
        one.ok + other.ok,
        one.failed + other.failed,
        _least(one.first_call, other.first_call),
        _most(one.last_call, other.last_call),
        None if one.latency is None or other.latency is None else _sum_histogram(one.latency, other.latency),
        one.address if here else None,
        _least(one.known, other.known) if here else None,
        _least(one.connected, other.connected) if here else None,
    )


def _outcomes(one: list[Outcome], other: list[Outcome]) -> list[Outcome]:
    calls: dict[tuple[str, str], int] = {}
    for outcome in (*one, *other):
        key = (outcome.code, outcome.message)
        calls[key] = calls.get(key, 0) + outcome.calls
    return sorted((Outcome(*key, count) for key, count in calls.items()), key=Outcome.order)


def _timeline(one: Timeline, other: Timeline) -> Timeline:
    """Add cell by cell, at the finest interval that both have and that needs 1024 rows at most."""
    interval = max(one.interval, other.interval)
    begin = min(one.start, other.start)
    ends = [
        timeline.start + len(timeline.sent) * timeline.interval for timeline in (one, other) if timeline.sent
    ]
    last = max(ends, default=begin) - 1
    while last // interval - begin // interval >= ROWS:
        interval *= 2
    first = begin // interval
    rows = last // interval - first + 1 if ends else 0

    def placed(timeline: Timeline, counts: list[int]) -> list[int]:
        cells = [0] * rows
        for number, count in enumerate(counts, timeline.start // timeline.interval):
            if count:
                cells[number * timeline.interval // interval - first] += count
        return cells

    def summed(mine: list[int], theirs: list[int]) -> list[int]:
        return [a + b for a, b in zip(mine, theirs, strict=True)]

    def by_name(mine: dict[str, list[int]], theirs: dict[str, list[int]]) -> dict[str, list[int]]:
        return _union(
            {name: placed(one, counts) for name, counts in mine.items()},
            {name: placed(other, counts) for name, counts in theirs.items()},
            summed,
        )

    latency = Cells.of([{}] * rows)
    for timeline in (one, other):
        numbers = np.arange(len(timeline.latency)) + timeline.start // timeline.interval
        latency.add(timeline.latency, numbers * timeline.interval // interval - first)

    made = Timeline(
        interval=interval,
        start=first * interval,
        sent=summed(placed(one, one.sent), placed(other, other.sent)),
        failed=summed(placed(one, one.failed), placed(other, other.failed)),
        dropped=summed(placed(one, one.dropped), placed(other, other.dropped)),
        backends=by_name(one.backends, other.backends),
        failures=by_name(one.failures, other.failures),
        latency=latency,
    )
    coarse = made.coarse()
    for timeline in (one, other):
        numbers = (np.array(timeline.coarse(), np.int64) - coarse.start) // coarse.step
        for name, cells in timeline.latencies.items():
            made.latencies.setdefault(name, Cells.of([{}] * len(coarse))).add(cells, numbers)
    return made


def _events(results: list[tuple[Result, int]]) -> list[Event]:
    moved = [
        Event(event.at + later, event.name, event.attributes)
        for result, later in results
        for event in result.events
    ]
    return sorted(
        moved, key=lambda event: (event.at, event.name, json.dumps(event.attributes, sort_keys=True))
    )


def _evidence(one: Evidence, other: Evidence) -> Evidence:
    return Evidence(
        discovery=min(one.discovery, other.discovery),  # where some shards fell back: poll, not watch
        policy=one.policy,
        cold=one.cold,
        addresses=_all_known(one.addresses, other.addresses),
        addresses_seen=_all_known(one.addresses_seen, other.addresses_seen),
        addresses_now=_any_known(one.addresses_now, other.addresses_now),
        connections=_known(one.connections, other.connections),
        connections_lost=_known(one.connections_lost, other.connections_lost),
        retries=_known(one.retries, other.retries),
    )


def _all_known(one: list[str] | None, other: list[str] | None) -> list[str] | None:
    return None if one is None or other is None else sorted({*one, *other})


def _any_known(one: list[str] | None, other: list[str] | None) -> list[str] | None:
    return None if one is None and other is None else sorted({*(one or ()), *(other or ())})


def _replicas(one: list[Replica] | None, other: list[Replica] | None) -> list[Replica] | None:
    if one is None and other is None:
        return None
    mine, theirs = ({replica.pod: replica for replica in replicas or ()} for replicas in (one, other))
    return [replica for _, replica in sorted(_union(mine, theirs, _sum_replica).items())]


def _sum_replica(one: Replica, other: Replica) -> Replica:
    return Replica(
        pod=one.pod,
        ip=max(one.ip, other.ip, key=lambda ip: ip or ""),
        id=max(one.id, other.id, key=lambda id_: id_ or ""),
        ready_at=_most(one.ready_at, other.ready_at),
        restarts=max(one.restarts, other.restarts),
        oom_killed=one.oom_killed or other.oom_killed,
        calls=_known(one.calls, other.calls),
    )
