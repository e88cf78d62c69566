"""Makes a result of what ledger, recorder and engine hold; during a run or after it."""

import platform
from dataclasses import replace

import grpc

from loadgen import __version__
from loadgen.engines import Connections
from loadgen.ledger import Ledger
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
    unattributed = counts.pop(names[UNATTRIBUTED])
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
        unattributed=_backend(unattributed),
        backends={name: _backend(one) for name, one in counts.items() if one.calls},
        latency=recorder.latency,
        service=recorder.service,
        lag=recorder.lag,
        failed_latency=recorder.failed_latency,
        outcomes=_outcomes(ledger, recorder),
        timeline=_timeline(names, recorder),
        events=sorted(ledger.events, key=lambda event: event.at),
        events_left_out=ledger.events_left_out,
        evidence=Evidence(
            discovery=plan.discovery,
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
    failed = [timeline.series(failed_series(number), rows) for number in numbers]
    return Timeline(
        interval=timeline.interval,
        start=timeline.start(),
        sent=[sum(row) for row in zip(*sent.values(), strict=True)],
        failed=[sum(row) for row in zip(*failed, strict=True)],
        dropped=timeline.series(DROPPED, rows),
        backends={
            names[number]: counts for number, counts in sent.items() if number != UNATTRIBUTED and any(counts)
        },
    )
