"""Pods, autoscalers and metrics as the Kubernetes API writes them: what an observer takes of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from lightkube.utils.quantity import parse_quantity

from loadgen.endpoints import MalformedError, name_of
from loadgen.observed import Number

_WRONG = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod (core/v1) as it is now."""

    name: str
    ip: str | None
    request: int | None
    limit: int | None
    ready: bool
    """It is, and does not terminate."""
    ready_since: int | None
    """ns since the Unix epoch, exact to a second."""
    terminating: bool
    restarts: int
    oom_killed: bool
    owner: tuple[str, str] | None
    """Kind and name of its controller."""

    @classmethod
    def read(cls, content: Any) -> Self:
        """Take what the API gave; raises MalformedError."""
        try:
            about, status = content["metadata"], content.get("status") or {}
            statuses = status.get("containerStatuses") or ()
            ready = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), None)
            is_ready = ready is not None and ready["status"] == "True"
            terminating = about.get("deletionTimestamp") is not None
            return cls(
                name=name_of(content),
                ip=status.get("podIP") or None,
                request=_memory(content.get("spec") or {}, "requests"),
                limit=_memory(content.get("spec") or {}, "limits"),
                ready=is_ready and not terminating,
                ready_since=_time(ready.get("lastTransitionTime")) if ready and is_ready else None,
                terminating=terminating,
                restarts=sum(int(one.get("restartCount") or 0) for one in statuses),
                oom_killed=any(_oom_killed(one) for one in statuses),
                owner=owner_of(content),
            )
        except _WRONG as error:
            raise MalformedError(f"malformed Pod: {type(error).__name__}: {error}"[:200]) from None


def owner_of(content: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and name of the object's controller."""
    owners = content["metadata"].get("ownerReferences") or ()
    return next(((str(one["kind"]), str(one["name"])) for one in owners if one.get("controller")), None)


def _memory(spec: Mapping[str, Any], which: str) -> int | None:
    """Return bytes, of the pod's own resources or else of all its containers."""
    whole = ((spec.get("resources") or {}).get(which) or {}).get("memory")
    if whole is not None:
        return amount(whole)
    each = [((one.get("resources") or {}).get(which) or {}).get("memory") for one in spec["containers"]]
    return None if None in each else sum(amount(one) for one in each)


def amount(quantity: Any) -> int:
    """Return a quantity such as 190Mi as a whole number, rounded up; raises ValueError."""
    value = parse_quantity(str(quantity))
    assert value is not None
    return math.ceil(value)


def _oom_killed(status: Mapping[str, Any]) -> bool:
    states = [status.get("state") or {}, status.get("lastState") or {}]
    return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)


def _time(text: Any) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Scaler:
    """A HorizontalPodAutoscaler (autoscaling/v2) as it is now."""

    name: str
    target: tuple[str, str]
    """Kind and name of what it scales."""
    wanted: int | None
    """Replicas; None where it has not decided yet, or is disabled."""
    metrics: dict[str, tuple[str, Number, Number | None]]
    """Unit, target and current number by name."""

    @classmethod
    def read(cls, content: Any) -> Self:
        """Take what the API gave; raises MalformedError."""
        try:
            spec, status = content["spec"], content.get("status") or {}
            target = spec["scaleTargetRef"]
            return cls(
                name_of(content),
                (str(target["kind"]), str(target["name"])),
                int(status.get("desiredReplicas") or 0) or None,
                _metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()),
            )
        except _WRONG as error:
            kind = "HorizontalPodAutoscaler"
            raise MalformedError(f"malformed {kind}: {type(error).__name__}: {error}"[:200]) from None


def _metrics(targets: Any, currents: Any) -> dict[str, tuple[str, Number, Number | None]]:
    seen = {_metric(one): _part(one).get("current") or {} for one in currents if one.get("type")}
    found: dict[str, tuple[str, Number, Number | None]] = {}
    for one in targets:
        name, target = _metric(one), _part(one)["target"]
        current = seen.get(name) or {}
        if target.get("averageUtilization") is not None:
            percent = current.get("averageUtilization")
            found[name] = ("%", int(target["averageUtilization"]), None if percent is None else int(percent))
            continue
        key = next((key for key in ("averageValue", "value") if target.get(key) is not None), None)
        if key is not None:
            now = current.get(key)
            found[name] = ("", _number(target[key]), None if now is None else _number(now))
    return found


def _part(metric: Mapping[str, Any]) -> Any:
    kind = str(metric["type"])
    return metric[kind[0].lower() + kind[1:]]


def _metric(metric: Mapping[str, Any]) -> str:
    part = _part(metric)
    return str(part["name"] if "name" in part else part["metric"]["name"])


def _number(quantity: Any) -> Number:
    value = parse_quantity(str(quantity))
    assert value is not None
    return int(value) if value == int(value) else float(value)


def usage(content: Any) -> tuple[str, int, int]:
    """Return name, time (ns since the Unix epoch) and bytes of a pod's metrics (metrics.k8s.io/v1beta1).

    Raises MalformedError.
    """
    try:
        at = _time(content["timestamp"])
        if at is None:
            raise ValueError("no timestamp")
        return name_of(content), at, sum(amount(one["usage"]["memory"]) for one in content["containers"])
    except _WRONG as error:
        raise MalformedError(f"malformed PodMetrics: {type(error).__name__}: {error}"[:200]) from None
