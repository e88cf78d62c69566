"""Objects as the Kubernetes API writes them, of a service's replicas."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

RESOURCES = {
    "services": ("v1", "Service"),
    "pods": ("v1", "Pod"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
    "deployments": ("apps/v1", "Deployment"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "horizontalpodautoscalers": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "pods.metrics.k8s.io": ("metrics.k8s.io/v1beta1", "PodMetrics"),
}
"""What there can be, with version and kind."""


def time_of(nanoseconds: int) -> str:
    """Return a time since the Unix epoch as the API writes it: to a second."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def endpoint(address: str, **conditions: bool | None) -> Json:
    """Return an endpoint: ready, unless the conditions are others."""
    return {"addresses": [address], "conditions": {"ready": True, **conditions}}


def owned(kind: str, name: str) -> Json:
    """Return what an object's metadata says of its controller."""
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


def pod(
    address: str | None,
    *,
    ready: bool,
    changed: int,
    deleted: int | None = None,
    restarts: int = 0,
    last_state: Json | None = None,
    resources: Json | None = None,
    owner: tuple[str, str] | None = None,
) -> Json:
    """Return a pod of one container.

    `changed` is since when it is `ready` or not, in ns since the Unix epoch.
    """
    about: Json = {} if deleted is None else {"deletionTimestamp": time_of(deleted)}
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": time_of(changed),
    }
    return {
        "metadata": {**about, **({} if owner is None else owned(*owner))},
        "spec": {"containers": [{"name": "server", "resources": resources or {}}]},
        "status": {
            "podIP": address,
            "conditions": [condition],
            "containerStatuses": [{"restartCount": restarts, "lastState": last_state or {}}],
        },
    }


def autoscaler(target: str, wanted: int, *, percent: int | None = None, at: int = 80) -> Json:
    """Return one of a Deployment, by memory: `percent` is the mean now, `at` the target."""
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    aim = {"name": "memory", "target": {"type": "Utilization", "averageUtilization": at}}
    seen = {"name": "memory", "current": {"averageUtilization": percent}}
    return {
        "spec": {"scaleTargetRef": ref, "metrics": [{"type": "Resource", "resource": aim}]},
        "status": {
            "desiredReplicas": wanted,
            "currentMetrics": [] if percent is None else [{"type": "Resource", "resource": seen}],
        },
    }


def metrics(at: int, memory: int) -> Json:
    """Return what a pod's one container took at a time: bytes, written in Ki as the API does."""
    usage = {"cpu": "1000000n", "memory": f"{memory // 1024}Ki"}
    return {"timestamp": time_of(at), "window": "15s", "containers": [{"name": "server", "usage": usage}]}


def chosen(one: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether the selectors of a request choose an object: those of equality."""
    about = one["metadata"]
    labels = about.get("labels") or {}
    wanted = dict(part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part)
    field = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return all(labels.get(key) == value for key, value in wanted.items()) and field in {"", about["name"]}
