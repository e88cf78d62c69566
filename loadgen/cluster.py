"""Reads a load-generator Job and the server's pods from a Kubernetes cluster."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.models.core_v1 import ContainerStatus
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

from loadgen.errors import LoadgenError
from loadgen.result import Replica

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, slots=True)
class ShardPod:
    """One pod of the Job, with its log."""

    index: int
    """Which shard it is: the Job's completion index."""
    pod: str
    exit_code: int | None
    """None while it has not ended."""
    log: list[str]

    @property
    def last_words(self) -> str:
        """Return the last line of its log that says something, at most 200 characters of it."""
        return next((line for line in reversed(self.log) if line.strip()), "nothing")[:200]


class Cluster:
    """One namespace of a cluster. Raises LoadgenError wherever the API says no."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    def connect(cls, *, kubeconfig: Path | None, context: str | None, namespace: str | None) -> Self:
        """Connect as kubectl would: flags, KUBECONFIG, the default file, or else the pod's own account."""
        try:
            config = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
            single = config.get(context)
        except (ConfigError, OSError, ValueError) as error:
            raise LoadgenError(f"cannot read the kubeconfig: {error}") from None
        if single is None:
            raise LoadgenError("there is no cluster in the kubeconfig: set KUBECONFIG or --kubeconfig")
        found = namespace or single.namespace or "default"
        return cls(Client(config=single, namespace=found, trust_env=False), found)

    def job(self, name: str) -> Job:
        """Return the Job of this name."""
        try:
            return self._client.get(Job, name)
        except ApiError as error:
            if error.status.code == 404:
                raise LoadgenError(f"there is no Job {name} in namespace {self.namespace}") from None
            raise LoadgenError(f"Job {name}: {error.status.message}") from None
        except httpx2.HTTPError as error:
            raise LoadgenError(f"the cluster does not answer: {error}") from None

    def shards(self, job: Job) -> Iterator[ShardPod]:
        """Give the Job's pods with their logs, in order of their shards."""
        assert job.metadata is not None
        found = []
        for pod in self._pods({"job-name": str(job.metadata.name)}):
            assert pod.metadata is not None
            labels = pod.metadata.labels or {}
            found.append((int(labels.get(INDEX, 0)), str(pod.metadata.name), pod))
        for index, name, pod in sorted(found, key=lambda one: one[:2]):
            code = next((_exit_code(one) for one in _statuses(pod)), None)
            yield ShardPod(index, name, code, self._log(name))

    def replicas(self, job: Job, calls: dict[str, int]) -> list[Replica]:
        """Return the server's pods of the Job's release; `calls` are those of each backend's id."""
        labels = (job.metadata and job.metadata.labels) or {}
        instance = labels.get(INSTANCE)
        if instance is None:
            return []
        found = []
        for pod in self._pods({INSTANCE: instance, COMPONENT: "server"}):
            assert pod.metadata is not None
            name = str(pod.metadata.name)
            serving = _serving(self._log(name))
            statuses = _statuses(pod)
            found.append(
                Replica(
                    pod=name,
                    ip=(pod.status and pod.status.podIP) or None,
                    id=serving,
                    ready_at=_ready_at(pod),
                    restarts=sum(one.restartCount for one in statuses),
                    oom_killed=any(_oom_killed(one) for one in statuses),
                    calls=None if serving is None else calls.get(serving, 0),
                )
            )
        return found

    def _pods(self, labels: dict[str, Any]) -> list[Pod]:
        try:
            pods = list(self._client.list(Pod, labels=labels))
        except ApiError as error:
            raise LoadgenError(f"cannot list pods in {self.namespace}: {error.status.message}") from None
        except httpx2.HTTPError as error:
            raise LoadgenError(f"the cluster does not answer: {error}") from None
        return sorted(pods, key=lambda pod: str(pod.metadata and pod.metadata.name))

    def _log(self, pod: str) -> list[str]:
        try:
            return list(self._client.log(pod, newlines=False))
        except (ApiError, httpx2.HTTPError):
            return []  # a pod that has not started has no log: its result is then named as missing


def _statuses(pod: Pod) -> list[ContainerStatus]:
    return list((pod.status and pod.status.containerStatuses) or [])


def _exit_code(status: ContainerStatus) -> int | None:
    ended = status.state and status.state.terminated
    return ended.exitCode if ended else None


def _oom_killed(status: ContainerStatus) -> bool:
    states = [status.state, status.lastState]
    ended = [state.terminated for state in states if state is not None and state.terminated]
    return any(one.reason == "OOMKilled" for one in ended)


def _ready_at(pod: Pod) -> int | None:
    for condition in (pod.status and pod.status.conditions) or []:
        at = condition.lastTransitionTime
        if condition.type == "Ready" and condition.status == "True" and isinstance(at, datetime):
            return int(at.astimezone(UTC).timestamp()) * 1_000_000_000
    return None


def _serving(log: list[str]) -> str | None:
    """Return the id that the server's log names, of its last start."""
    for line in reversed(log):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "serving":
            return str(entry.get("id"))
    return None
