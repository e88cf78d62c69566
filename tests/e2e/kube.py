"""Runs kubectl and helm against the cluster of KUBECONFIG, and collects the results of Jobs."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
CHART = str(ROOT / "charts/grpc-spread")
PRESETS = sorted((ROOT / "values").glob("*.yaml"))
COLLECT = (sys.executable, "-m", "loadgen", "collect")
SETTINGS = shlex.split(os.environ.get("E2E_HELM_SETTINGS", ""))
"""More arguments of each install and upgrade, such as `--set loadgen.image.tag=mine`."""
PATIENCE = 150.0  # seconds that a Job may take

Json = dict[str, Any]


class CommandError(Exception):
    """What the command said on stderr."""


def call(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def lacks_keda() -> str | None:
    """Say that KEDA is not there, if so."""
    try:
        call("kubectl", "get", "crd", "scaledobjects.keda.sh")
    except CommandError as error:
        return f"the cluster lacks KEDA ({str(error).strip()})"
    return None


def preset(name: str) -> tuple[str, str]:
    """Return the arguments for helm."""
    return "-f", str(ROOT / f"values/{name}.yaml")


@dataclass(frozen=True)
class Report:
    """What one Job left behind."""

    job: str
    log: str
    """Without the lines that carry the result."""
    exit_code: int | None
    """The worst of its pods; None where no container ran."""
    found: Json | None
    """The result file's content as `loadgen collect` wrote it; None where the run failed without one."""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0

    @property
    def result(self) -> Json:
        assert self.found is not None, self.log
        return self.found

    @property
    def calls(self) -> list[int]:
        """Calls per backend."""
        return [one["calls"] for one in self.result["backends"].values()]

    @property
    def failed(self) -> int:
        failed: int = self.result["totals"]["failed"]
        return failed

    @property
    def rules(self) -> list[str]:
        """The verdict's: the cause, then the warnings."""
        return [one["rule"] for one in self.result["summary"]["verdict"]]


@dataclass(frozen=True)
class Release:
    """One release of the chart in a namespace."""

    name: str
    namespace: str

    def helm(self, verb: str, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm for this release; `values` go beside what the arguments set."""
        given = () if values is None else ("-f", "-")
        text = None if values is None else json.dumps(values)
        more = SETTINGS if verb in {"install", "upgrade"} else ()
        return call(
            "helm", verb, self.name, *arguments, *given, *more, "--namespace", self.namespace, text=text
        )

    def install(self, *arguments: str) -> str:
        return self.helm("install", CHART, "--wait", "--timeout", "2m", *arguments)

    def upgrade(self, *arguments: str) -> str:
        return self.helm("upgrade", CHART, "--wait", "--timeout", "2m", *arguments)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return call("kubectl", "--namespace", self.namespace, *arguments, text=text)

    def get(self, kinds: str) -> list[Json]:
        """Return the release's objects of these kinds."""
        selector = f"app.kubernetes.io/instance={self.name}"
        found: list[Json] = json.loads(self.kubectl("get", kinds, "-l", selector, "-o", "json"))["items"]
        return found

    def names(self, kinds: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.get(kinds)}

    def ended(self, patience: float = PATIENCE) -> tuple[str, bool]:
        """Wait for the release's one Job to end; returns its name and whether it is complete."""
        start = time.monotonic()
        while (waited := time.monotonic() - start) < patience:
            jobs = [one for one in self.get("jobs") if "deletionTimestamp" not in one["metadata"]]
            if len(jobs) == 1:
                conditions = jobs[0].get("status", {}).get("conditions", [])
                done = {one["type"] for one in conditions if one["status"] == "True"}
                if done & {"Complete", "Failed"}:
                    return jobs[0]["metadata"]["name"], "Complete" in done
            # kubectl takes CPU from what is measured: a long run is asked about less often
            time.sleep(max(0.3, min(3.0, waited / 30)))
        raise AssertionError(f"no Job of {self.name} ended: {self.kubectl('get', 'pods,jobs')}")

    def report(self, patience: float = PATIENCE) -> Report:
        """Wait for the release's one Job to end, and return what it left behind."""
        job, complete = self.ended(patience)
        return self._collect(job, complete=complete)

    def _collect(self, job: str, *, complete: bool) -> Report:
        pods = [one for one in self.get("pods") if one["metadata"]["labels"].get("job-name") == job]
        names = [one["metadata"]["name"] for one in pods]
        logs = [self.kubectl("logs", "--tail=-1", name) for name in names]
        log = "\n".join(one.partition("\ngrpc-spread-result ")[0] for one in logs)
        states = [one["state"] for pod in pods for one in pod["status"].get("containerStatuses", [])]
        exit_code = max(
            (one["terminated"]["exitCode"] for one in states if "terminated" in one), default=None
        )
        with TemporaryDirectory() as folder:
            file = Path(folder) / "result.json"
            try:
                call(*COLLECT, job, "-n", self.namespace, "-o", str(file))
            except CommandError:
                if complete:
                    raise
                return Report(job, log, exit_code, None)
            return Report(job, log, exit_code, json.loads(file.read_text("utf-8")))
