"""What was observed, as a part of a result's file."""

from collections.abc import Iterable, Sequence
from typing import Any

from loadgen.observed import Gauge, Observed, Pod, Reading, Step

Json = dict[str, Any]


def to_json(observed: Observed) -> Json:
    """Return it as JSON."""
    return {
        "service": observed.service,
        "workload": observed.workload,
        "autoscaler": observed.autoscaler,
        "memory_interval_ns": observed.interval,
        "seen": _spells(observed.seen),
        "wanted": [list(step) for step in observed.wanted],
        "metrics": {
            name: {
                "unit": gauge.unit,
                "target": gauge.target,
                "current": [list(step) for step in gauge.current],
            }
            for name, gauge in observed.gauges.items()
        },
        "pods": {name: _pod_json(pod) for name, pod in observed.pods.items()},
        "pods_left_out": observed.pods_left_out,
    }


def from_json(content: Json) -> Observed:
    """Return what `to_json` gave, of which the schema holds."""
    return Observed(
        service=content["service"],
        workload=content["workload"],
        autoscaler=content["autoscaler"],
        interval=content["memory_interval_ns"],
        seen=_lasting(content["seen"]),
        wanted=_steps(content["wanted"]),
        gauges={
            name: Gauge(one["unit"], one["target"], _steps(one["current"]))
            for name, one in content["metrics"].items()
        },
        pods={name: _pod(one) for name, one in content["pods"].items()},
        pods_left_out=content["pods_left_out"],
    )


def _pod_json(pod: Pod) -> Json:
    return {
        "ip": pod.ip,
        "request_bytes": pod.request,
        "limit_bytes": pod.limit,
        "first_seen_ns": pod.first_seen,
        "ready": _spells(pod.ready),
        "terminating_ns": pod.terminating,
        "gone_ns": pod.gone,
        "restarts": pod.restarts,
        "oom_killed": pod.oom_killed,
        "memory": [list(reading) for reading in pod.memory],
    }


def _pod(content: Json) -> Pod:
    readings: tuple[Reading, ...] = tuple((at, value) for at, value in content["memory"])
    return Pod(
        ip=content["ip"],
        request=content["request_bytes"],
        limit=content["limit_bytes"],
        first_seen=content["first_seen_ns"],
        ready=_lasting(content["ready"]),
        terminating=content["terminating_ns"],
        gone=content["gone_ns"],
        restarts=content["restarts"],
        oom_killed=content["oom_killed"],
        memory=readings,
    )


def _spells(steps: Iterable[Step]) -> list[list[int]]:
    """Return steps of 1 without it."""
    return [[begin, end] for begin, end, _ in steps]


def _lasting(spells: Iterable[Sequence[int]]) -> tuple[Step, ...]:
    return tuple((begin, end, 1) for begin, end in spells)


def _steps(steps: Iterable[Sequence[int]]) -> tuple[Step, ...]:
    return tuple((begin, end, value) for begin, end, value in steps)
