"""The load generator on this machine, started through its command line as a cluster's Job would be."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from lab.errors import LabError
from lab.guard import Guard

BEGINS = "loadgen: calling "


class LocalLoad:
    """One run of `loadgen run` in a process of its own."""

    def __init__(self, process: Process, output: Path) -> None:
        self._process = process
        self._output = output
        self._lines: list[str] = []
        self._began = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, guard: Guard, target: str, plan: Mapping[str, Any], output: Path, kubeconfig: str
    ) -> Self:
        """Start it; its plan file and the kubeconfig are written beside `output`, the result file."""
        file = _prepare(target, plan, output)
        access = output.with_suffix(".kubeconfig")
        access.write_text(kubeconfig, "utf-8")
        process = await guard.start(
            *(sys.executable, "-m", "loadgen", "run", "--config", str(file), "-o", str(output)),
            stdout=DEVNULL,
            env={**os.environ, "KUBECONFIG": str(access)},
        )
        return cls(process, output)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            if text.startswith(BEGINS):
                self._began.set()
        self._began.set()

    async def began(self) -> None:
        """Return when its first calls fall due, or it has ended."""
        await self._began.wait()

    def stop(self) -> None:
        """End it before its time, as Ctrl-C would: it reports what it has seen."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGINT)

    async def result(self) -> Mapping[str, Any]:
        """Return its result; raises LabError with its own words where there is none."""
        await self._reading
        code = await self._process.wait()
        try:
            result: Mapping[str, Any] = json.loads(self._output.read_text("utf-8"))
        except FileNotFoundError:
            said = self._lines[-1] if self._lines else "nothing"
            raise LabError(f"the load generator exited with {code} and said: {said}") from None
        return result


def _prepare(target: str, plan: Mapping[str, Any], output: Path) -> Path:
    """Write the plan file and take an older result away."""
    file = output.with_suffix(".plan.yaml")
    file.write_text(yaml.safe_dump({"target": target, **plan}, sort_keys=False), "utf-8")
    output.unlink(missing_ok=True)
    return file
