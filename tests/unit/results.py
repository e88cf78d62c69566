"""Results for tests: whole ones, made of what a test says and sensible values for the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadgen.cells import Cells
from loadgen.events import Event
from loadgen.histogram import Histogram
from loadgen.result import Backend, Evidence, Outcome, Part, Replica, Result, Timeline, Totals

SECOND = 1_000_000_000
MS = 1_000_000
STARTED = 1_800_000_000 * SECOND
TWO, THREE = ["10.0.0.1:9090", "10.0.0.2:9090"], ["10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090"]


def histogram(*values: int) -> Histogram:
    """Count these values (ns)."""
    made = Histogram()
    made.add(np.array(values, np.int64))
    return made


def evidence(**changes: Any) -> Evidence:
    """Return what a warm round_robin channel to three replicas leaves."""
    fields: dict[str, Any] = {
        "discovery": "dns",
        "policy": "round_robin",
        "cold": False,
        "addresses": THREE,
        "addresses_seen": changes.get("addresses", THREE),
        "addresses_now": changes.get("addresses", THREE),
        "connections": 3,
        "connections_lost": 0,
    }
    return Evidence(**{**fields, **changes})


def result(  # a test names what matters to it
    calls: Mapping[str, int],
    *,
    failed: int = 0,
    dropped: int = 0,
    error: str = "UNAVAILABLE",
    message: str = "Connection refused",
    plan: Mapping[str, Any] | None = None,
    latency: Histogram | None = None,
    service: Histogram | None = None,
    lag: Histogram | None = None,
    events: tuple[Event, ...] = (),
    partial: str | None = None,
    duration: int = 10 * SECOND,
    unattributed_ok: int = 0,
    shards: Sequence[Part] = (Part(0, 1, STARTED, 10 * SECOND),),
    replicas: Sequence[Replica] | None = None,
    warmup: Totals | None = None,
    latencies: Mapping[str, Histogram] | None = None,
    evidence: Evidence = evidence(),  # noqa: B008
) -> Result:
    """Return a result in which each backend answered so many calls; the failed ones are unattributed."""
    ok = sum(calls.values()) + unattributed_ok
    sent = ok + failed
    latency = latency or histogram(*[2 * MS] * ok)
    lost = histogram(*[MS] * failed)
    outcomes = [Outcome("OK", "", ok)] if ok else []
    outcomes += [Outcome(error, message, failed)] if failed else []
    return Result(
        plan={"target": "server:9090", "concurrency": 4, "total": sent, **(plan or {})},
        pacing="Closed{4 at a time}",
        versions={"loadgen": "0.1.0", "grpc": "1.85.0", "python": "3.11.0"},
        shards=list(shards),
        started=STARTED,
        duration=duration,
        partial=partial,
        totals=Totals(sent + dropped, sent, ok, failed, dropped),
        messages_out=sent,
        messages_in=ok,
        unattributed=Backend(unattributed_ok + failed, unattributed_ok, failed, None, None, histogram()),
        backends={
            name: Backend(
                count,
                count,
                0,
                number * MS,
                duration,
                (latencies or {}).get(name) or histogram(*[2 * MS] * count),
            )
            for number, (name, count) in enumerate(calls.items())
        },
        latency=latency,
        service=service or latency,
        lag=lag or histogram(*[1000] * sent),
        failed_latency=lost,
        outcomes=outcomes,
        timeline=Timeline(
            100 * MS,
            STARTED,
            [sent],
            [failed],
            [dropped],
            {name: [count] for name, count in calls.items()},
            latency=Cells.of([{99: sent} if sent else {}]),
            latencies={name: Cells.of([{99: count}]) for name, count in calls.items()},
        ),
        events=list(events),
        events_left_out=0,
        evidence=evidence,
        replicas=None if replicas is None else list(replicas),
        warmup=warmup,
    )


def replica(calls: int | None, *, ready_at: int | None = STARTED - SECOND) -> Replica:
    """Return a pod of the server that got so many calls."""
    return Replica(f"pod-{calls}", "10.0.0.1", "id", ready_at, 0, oom_killed=False, calls=calls)
