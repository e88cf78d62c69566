"""The process of a replica: one server on an address of its own."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lab.errors import LabError
from lab.guard import Guard
from lab.probe import serving
from lab.replicas import Replica, ending


class ReplicaProcess:
    """Runs and ends the process of one replica, and keeps `replica` true."""

    def __init__(
        self,
        guard: Guard,
        replica: Replica,
        options: Mapping[str, str],
        on_change: Callable[[Replica], None],
    ) -> None:
        """Prepare it; options are the server's, `{"drain-delay": "2s"}` for `--drain-delay=2s`."""
        self.replica = replica
        self._guard = guard
        self._options = options
        self._on_change = on_change
        self._process: Process | None = None
        self._serving: asyncio.Future[None] | None = None
        self._errors: deque[str] = deque(maxlen=20)
        self._exit: asyncio.Task[None] | None = None

    async def start(self, limit: float) -> None:
        """Start the process and return once it is ready.

        Raises LabError, with the process gone, if it ended or was not ready within `limit` seconds.
        """
        self._serving = asyncio.get_running_loop().create_future()
        started_at = time.time_ns()
        self._process = await self._guard.start(*self._command(), env=_environment())
        self._change(started_at=started_at)
        self._exit = asyncio.create_task(self._follow(self._process))
        ready = asyncio.create_task(self._become_ready())
        try:
            await asyncio.wait({ready, self._exit}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if self._exit.done():
                self._exit.result()
                how = f"ended {ending(self.replica.exit_code)} before it was ready"
                raise LabError(f"{self._title()} {how}{self._why()}")
            if not ready.done():
                raise LabError(f"{self._title()} was not ready within {limit:g} s{self._why()}")
            ready.result()
        except BaseException:
            self._signal(signal.SIGKILL)
            await asyncio.shield(self._exit)
            raise
        finally:
            ready.cancel()
        self._change(ready_at=time.time_ns())

    def terminate(self) -> None:
        """Send SIGTERM. Who follows `on_change` hears of it first."""
        self._change(terminating_at=time.time_ns())
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL: connections are reset and nothing is finished."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it with SIGSTOP: connections stay and nothing is answered."""
        self._signal(signal.SIGSTOP)
        self._change(frozen=True)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._change(frozen=False)

    def memory(self) -> int | None:
        """Return the bytes that the process has in memory; None where it is gone."""
        if self._process is None or self._process.returncode is not None:
            return None
        with contextlib.suppress(OSError):
            resident = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(resident) * resource.getpagesize()
        return None

    async def exited(self, limit: float | None = None) -> None:
        """Return once the process is gone; after `limit` seconds it is sent SIGKILL."""
        if self._exit is None:
            return
        done, _ = await asyncio.wait({self._exit}, timeout=limit)
        if not done:
            self._change(overdue=True)
            self.kill()
        await asyncio.shield(self._exit)

    def _command(self) -> list[str]:
        replica = self.replica
        options = {
            "host": replica.address,
            "port": str(replica.port),
            "metrics-port": "0",
            "name": replica.name,
            **self._options,
        }
        return [sys.executable, "-m", "server", *(f"--{k}={v}" for k, v in options.items())]

    async def _become_ready(self) -> None:
        assert self._serving is not None
        await self._serving
        await serving(self.replica.address, self.replica.port)

    async def _follow(self, process: Process) -> None:
        """Read what the process writes until it is gone."""
        reading = asyncio.gather(self._read_log(process), self._read_errors(process))
        code = await process.wait()
        at = time.time_ns()
        await reading
        self._change(exited_at=at, exit_code=code, frozen=False)

    async def _read_log(self, process: Process) -> None:
        assert process.stdout is not None
        assert self._serving is not None
        while line := await _line(process.stdout):
            with contextlib.suppress(ValueError):  # not JSON: not one of the server's own lines
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == "serving":
                    self._change(id=str(entry.get("id", "")), metrics_port=entry.get("metrics_port"))
                    if not self._serving.done():
                        self._serving.set_result(None)

    async def _read_errors(self, process: Process) -> None:
        assert process.stderr is not None
        while line := await _line(process.stderr):
            if text := line.decode(errors="replace").strip():
                self._errors.append(text)

    def _change(self, **changes: object) -> None:
        self.replica = replace(self.replica, **changes)  # type: ignore[arg-type]
        self._on_change(self.replica)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            # Process.send_signal may reap the process first, and its exit code would be lost
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _title(self) -> str:
        return f"{self.replica.name} on {self.replica.address}:{self.replica.port}"

    def _why(self) -> str:
        # the last line says what went wrong, of an error message and of a traceback alike
        return f": {self._errors[-1]}" if self._errors else ""


async def _line(stream: asyncio.StreamReader) -> bytes:
    while True:
        try:
            return await stream.readline()
        except ValueError:  # longer than the stream's limit: it is dropped
            continue


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
