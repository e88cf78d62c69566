"""Runs kubectl and helm against the cluster of KUBECONFIG, and reads the reports of Jobs."""

import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHART = str(ROOT / "charts/grpc-spread")
PRESETS = sorted((ROOT / "values").glob("*.yaml"))
PATIENCE = 150.0  # seconds that a Job may take


class CommandError(Exception):
    """What the command said on stderr."""


def call(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


@dataclass(frozen=True)
class Report:
    """What the log of one Job says."""

    job: str
    text: str
    succeeded: bool

    @property
    def calls(self) -> list[int]:
        """Calls per backend."""
        _, _, table = self.text.partition("Distribution per backend\n")
        rows = table.partition("\n\n")[0].splitlines()[1:]
        return [int(row.split()[1]) for row in rows]

    @property
    def verdict(self) -> str:
        return " ".join(self.text.partition("\nVerdict\n")[2].split())

    @property
    def failed(self) -> int:
        found = re.search(r"(\d+) failed", self.text)
        assert found, self.text
        return int(found[1])


@dataclass(frozen=True)
class Release:
    """One release of the chart in a namespace."""

    name: str
    namespace: str

    def helm(self, verb: str, *arguments: str) -> str:
        return call("helm", verb, self.name, *arguments, "--namespace", self.namespace)

    def install(self, *arguments: str) -> str:
        return self.helm("install", CHART, "--wait", "--timeout", "2m", *arguments)

    def upgrade(self, *arguments: str) -> str:
        return self.helm("upgrade", CHART, "--wait", "--timeout", "2m", *arguments)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return call("kubectl", "--namespace", self.namespace, *arguments, text=text)

    def get(self, kinds: str) -> list[dict[str, Any]]:
        """Return the release's objects of these kinds."""
        selector = f"app.kubernetes.io/instance={self.name}"
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-l", selector, "-o", "json"))[
            "items"
        ]
        return found

    def names(self, kinds: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.get(kinds)}

    def report(self, patience: float = PATIENCE) -> Report:
        """Wait for the release's one Job to end, and return its report."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            jobs = [one for one in self.get("jobs") if "deletionTimestamp" not in one["metadata"]]
            if len(jobs) == 1:
                conditions = jobs[0].get("status", {}).get("conditions", [])
                done = {one["type"] for one in conditions if one["status"] == "True"}
                if done & {"Complete", "Failed"}:
                    name = jobs[0]["metadata"]["name"]
                    log = self.kubectl("logs", "--tail=-1", f"job/{name}")
                    # behind the report the log has the result, for collect
                    return Report(name, log.partition("\ngrpc-spread-result ")[0], "Complete" in done)
            time.sleep(0.3)
        raise AssertionError(f"no Job of {self.name} ended: {self.kubectl('get', 'pods,jobs')}")
