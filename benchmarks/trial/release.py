"""One release of the chart in a namespace of its own, by helm and kubectl."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

ROOT = Path(__file__).parents[2]
CHART = str(ROOT / "charts/grpc-spread")
PRESET = str(ROOT / "values/keda-memory.yaml")
NAME = "trial"
LOOK = 5.0  # seconds between looks at the Job
SERVERS_FIRST = "autoscaling.mode=none,replicaCount=1,loadgen.enabled=false"
"""KEDA's webhook may not yet know a Deployment that is installed with its ScaledObject."""


def call(*command: str) -> str:
    """Return what a command says; raises ClickException with its error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command[:4])} ...: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Release:
    """A trial: its namespace is made when the context opens, and deleted when it is left."""

    namespace: str
    values: Sequence[str]
    """As `--set` takes them."""

    def __enter__(self) -> Self:
        call("kubectl", "create", "namespace", self.namespace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call("kubectl", "delete", "namespace", self.namespace, "--wait=false")

    def run(self, patience: float, file: Path) -> None:
        """Make the load and write its result; raises ClickException after so many seconds."""
        self._helm("install", SERVERS_FIRST)
        self._helm("upgrade")
        call(
            *(sys.executable, "-m", "loadgen", "collect", self._ended(patience)),
            *("-n", self.namespace, "-o", str(file)),
        )

    def _helm(self, verb: str, *more: str) -> None:
        sets = [word for value in (*self.values, *more) for word in ("--set", value)]
        where = ("--namespace", self.namespace, "--wait", "--timeout", "3m")
        call("helm", verb, NAME, CHART, "-f", PRESET, *sets, *where)

    def _ended(self, patience: float) -> str:
        """Return the name of the Job, once it is over."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = call("kubectl", "get", "jobs", "--namespace", self.namespace, "-o", "json")
            jobs: list[dict[str, Any]] = json.loads(found)["items"]
            for job in jobs:
                conditions = job.get("status", {}).get("conditions", [])
                if any(
                    one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions
                ):
                    return str(job["metadata"]["name"])
            time.sleep(LOOK)
        raise click.ClickException(f"no Job of namespace {self.namespace} ended within {patience:.0f} s")
