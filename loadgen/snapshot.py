"""Makes a result of what ledger, recorder and engine hold; during a run or after it."""

import platform
from collections.abc import Mapping
from dataclasses import replace

import grpc

from loadgen import __version__, fallback
from loadgen.addresses import APPEARED, MADE, nearest
from loadgen.engines import Connections
from loadgen.events import Event
from loadgen.ledger import Ledger
from loadgen.peers import Peer, settled, within
from loadgen.plan import Plan
from loadgen.recorder import (
    DROPPED,
    UNATTRIBUTED,
    BackendCounts,
    Recorder,
    failed_series,
    sent_series,
)
from loadgen.result import Backend, Evidence, Outcome, Part, Result, Timeline, Totals
from loadgen.shard import WHOLE, Shard


def snapshot(
    plan: Plan,
    ledger: Ledger,
    recorder: Recorder,
    connections: Connections,
    addresses_now: list[str] | None,
    shard: Shard = WHOLE,
) -> Result:
    """Return what there is now. Histograms are the recorder's own: they go on counting."""
    recorder.flush()
    names = list(ledger.backends)
    counts = {name: recorder.backend(number) for number, name in enumerate(names)}
    unattributed = _backend(counts.pop(names[UNATTRIBUTED]))
    backends = {name: _backend(one) for name, one in counts.items() if one.calls}
    timeline = _timeline(names, recorder)
    if connections.peers is not None:
        lost = {name: one.lost(over=not ledger.in_flight) for name, one in connections.peers.items()}
        cancels = plan.stream_cancel_after is not None
        backends, unattributed = _counted(connections.peers, lost, unattributed, recorder.last_done, cancels)
        _settle(timeline, backends, recorder)
    for number, name in enumerate(names):
        if name in backends:
            address = name if connections.peers is not None else ledger.addresses.of(number)
            _place(backends[name], address, ledger.events)
    return Result(
        plan=plan.to_json(),
        pacing=str(ledger.pacer),
        versions={
            "loadgen": __version__,
            "grpc": grpc.__version__,
            "python": platform.python_version(),
        },
        shards=[Part(shard.index, shard.count, recorder.started, recorder.last_done)],
        started=recorder.started,
        duration=recorder.last_done,
        partial=None if ledger.stopped is None else f"stopped by {ledger.stopped}",
        totals=Totals(ledger.due, ledger.sent, ledger.ok, ledger.failed, ledger.dropped),
        messages_out=recorder.messages_out,
        messages_in=recorder.messages_in,
        unattributed=unattributed,
        backends=backends,
        latency=recorder.latency,
        service=recorder.service,
        lag=recorder.lag,
        failed_latency=recorder.failed_latency,
        outcomes=_outcomes(ledger, recorder),
        timeline=timeline,
        events=sorted(ledger.events, key=lambda event: event.at),
        events_left_out=ledger.events_left_out,
        evidence=Evidence(
            discovery=fallback.used(ledger.events) or plan.discovery,
            policy=plan.lb_policy,
            cold=plan.cold,
            addresses=connections.addresses,
            addresses_seen=connections.seen,
            addresses_now=addresses_now,
            connections=connections.made,
            connections_lost=connections.lost,
            retries=_retries(plan, ledger, connections),
        ),
        warmup=None if plan.warmup is None else replace(ledger.warmup),
    )


def _retries(plan: Plan, ledger: Ledger, connections: Connections) -> int | None:
    """Count attempts beyond one a call. Health checks are attempts to channelz, too: they hide the number."""
    if plan.retry is None or plan.health_check or connections.attempts is None:
        return None
    return max(0, connections.attempts - ledger.sent)


def _backend(counts: BackendCounts) -> Backend:
    return Backend(
        counts.calls,
        counts.ok,
        counts.calls - counts.ok,
        counts.first_call,
        counts.last_call,
        counts.latency,
    )


def _place(backend: Backend, address: str | None, events: list[Event]) -> None:
    """Note where a backend is, and when the client learnt of that and got there."""
    backend.address = address
    backend.known = nearest(events, APPEARED, address, backend.first_call)
    backend.connected = nearest(events, MADE, address, backend.first_call)


def _counted(
    peers: Mapping[str, Peer], lost: Mapping[str, int], whole: Backend, end: int, cancels: bool
) -> tuple[dict[str, Backend], Backend]:
    """Return what connections counted by address, and what is left of all calls, none of which said more."""
    ok = {name: one.ok for name, one in peers.items()}
    early = within(
        {name: min(one.early, one.ok) for name, one in peers.items()}, max(0, sum(ok.values()) - whole.ok)
    )
    ok = within({name: count - early[name] for name, count in ok.items()}, whole.ok)
    failed = within(lost, whole.failed)
    if cancels:  # a stream that the client cancelled as asked is ok, but its connection counts it as failed
        beyond = {name: count - failed[name] for name, count in lost.items()}
        for name, more in within(beyond, whole.ok - sum(ok.values())).items():
            ok[name] += more
    backends = {
        name: Backend(
            ok[name] + failed[name],
            ok[name],
            failed[name],
            None if one.first is None else min(one.first, end),
            None if one.last is None else min(one.last, end),
            None,
        )
        for name, one in peers.items()
        if ok[name] + failed[name]
    }
    rest_ok, rest_failed = whole.ok - sum(ok.values()), whole.failed - sum(failed.values())
    rest = Backend(rest_ok + rest_failed, rest_ok, rest_failed, whole.first_call, whole.last_call, None)
    if not rest.calls:
        rest.first_call = rest.last_call = None
    return backends, rest


def _settle(timeline: Timeline, backends: Mapping[str, Backend], recorder: Recorder) -> None:
    """Make the timeline that of calls counted by address: what was recorded of calls names nobody."""
    rows = recorder.timeline.rows()
    timeline.sent = recorder.timeline.series(sent_series(UNATTRIBUTED), rows)
    timeline.backends = {
        name: settled(timeline.backends.get(name, [0] * rows), one.calls) for name, one in backends.items()
    }


def _outcomes(ledger: Ledger, recorder: Recorder) -> list[Outcome]:
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    calls = ((recorder.outcome(number), name) for number, name in enumerate(ledger.outcomes))
    found = [Outcome(codes[code], message, count) for count, (code, message) in calls if count]
    return sorted(found, key=Outcome.order)


def _timeline(names: list[str], recorder: Recorder) -> Timeline:
    timeline = recorder.timeline
    rows = timeline.rows()
    numbers = range(len(names))
    sent = {number: timeline.series(sent_series(number), rows) for number in numbers}
    failed = {number: timeline.series(failed_series(number), rows) for number in numbers}
    return Timeline(
        interval=timeline.interval,
        start=timeline.start(),
        sent=[sum(row) for row in zip(*sent.values(), strict=True)],
        failed=[sum(row) for row in zip(*failed.values(), strict=True)],
        dropped=timeline.series(DROPPED, rows),
        backends=_named(names, sent),
        failures=_named(names, failed),
        latency=timeline.durations(rows),
        latencies={
            names[number]: cells
            for number in numbers
            if (cells := timeline.durations_of(number, rows)) is not None
        },
    )


def _named(names: list[str], rows: Mapping[int, list[int]]) -> dict[str, list[int]]:
    """Return the rows of backends in which something was counted."""
    return {names[number]: row for number, row in rows.items() if number != UNATTRIBUTED and any(row)}
