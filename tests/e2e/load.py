"""A load as a Job of its own release, for experiments."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from typing import Any, Self

from lab.errors import LabError
from tests.e2e.kube import CHART, PATIENCE, Release, Report
from tests.e2e.pods import LIMIT

BEGINS = b"loadgen: calling "
UNSET = {"total": None, "concurrency": None, "ready_timeout": None}  # the chart's own choices


class JobLoad:
    """One run of the load generator. Satisfies `lab.experiments.Load`."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._patience = PATIENCE

    @classmethod
    async def start(cls, release: Release, target: str, plan: Mapping[str, Any]) -> Self:
        """Install it; who made the release takes it away."""
        values = {
            "server": {"enabled": False},
            "lbPolicy": None,
            "loadgen": {"config": {**UNSET, **plan, "target": target}},
        }
        await asyncio.to_thread(release.helm, "install", CHART, values=values)
        return cls(release)

    async def began(self) -> None:
        """Return when its log says that calls fall due, or has ended."""
        (job,) = await asyncio.to_thread(self._release.names, "jobs")
        try:
            async with asyncio.timeout(LIMIT):
                while True:
                    if await self._follow(job):
                        return
                    await asyncio.sleep(0.05)  # its container has not started
        except TimeoutError:
            raise LabError(f"the load of {self._release.name} did not begin within {LIMIT:g} s") from None

    async def _follow(self, job: str) -> bool:
        """Follow the log up to its beginning of calls, and tell whether there was a log."""
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "--namespace", self._release.namespace, "logs", "--follow", f"job/{job}"),
            stdout=PIPE,
            stderr=DEVNULL,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                if line.startswith(BEGINS):
                    return True
            return await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def stop(self) -> None:
        """End it before its time, as Ctrl-C would: it reports what it has seen."""
        (job,) = await asyncio.to_thread(self._release.names, "jobs")
        end = "import os, signal; os.kill(1, signal.SIGINT)"
        await asyncio.to_thread(self._release.kubectl, "exec", f"job/{job}", "--", "python", "-c", end)

    async def report(self) -> Report:
        """Return what the Job left behind."""
        return await asyncio.to_thread(self._release.report, self._patience)

    async def result(self) -> Mapping[str, Any]:
        """Return its result; raises LabError with its last words where there is none."""
        report = await self.report()
        if report.found is None:
            raise LabError(f"the load ended with {report.exit_code}: {report.log.strip()[-300:]}")
        return report.found
