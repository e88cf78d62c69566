"""Runs helm, and reads what it renders."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/grpc-spread"
PRESETS = sorted((ROOT / "values").glob("*.yaml"))
RELEASE = "demo"


class HelmError(Exception):
    """What helm said on stderr."""


def helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def template(*arguments: str, release: str = RELEASE, **more: Any) -> str:
    return helm("template", release, str(CHART), "--namespace", "trial", *arguments)


class Manifests:
    """Rendered objects, by kind and name."""

    def __init__(self, *arguments: str, release: str = RELEASE) -> None:
        self.text = template(*arguments, release=release)
        self.all: list[dict[str, Any]] = [one for one in yaml.safe_load_all(self.text) if one]

    def kind(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.all if one["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        found = self.kind(kind)
        assert len(found) == 1, f"{len(found)} of kind {kind}"
        return found[0]

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.kind(kind)}

    @property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = yaml.safe_load(self.one("ConfigMap")["data"]["plan.yaml"])
        return plan

    @property
    def run(self) -> str:
        """The name of the Job: another one is another run."""
        name: str = self.one("Job")["metadata"]["name"]
        return name


def sets(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]
