"""Processes that never outlive the lab, however it ends."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from lab.errors import LabError

LINE = 1 << 20
"""The longest line, in bytes, that is read whole from a process."""

# Reads until all copies of the other end of the pipe are closed, as a SIGKILL of the lab does too,
# then kills its group. SIGHUP comes when the lab dies while a member of the group is stopped.
WATCH = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
os.killpg(0, signal.SIGKILL)
"""


class Guard:
    """Starts processes in a group of their own that is killed when the lab is gone.

    A small process leads the group and holds one end of a pipe. The kernel closes the other end
    whenever the lab dies, and a process joins the group before it lets go of its copy of that end,
    so there is no moment in which one can be left behind. It works without PR_SET_PDEATHSIG, which
    only Linux has. A Ctrl-C on the terminal reaches the lab only, which then stops its replicas.
    """

    def __init__(self) -> None:
        self._watch: Process | None = None
        self._started: list[Process] = []

    async def __aenter__(self) -> Self:
        self._watch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", WATCH),
            stdin=PIPE,
            stdout=DEVNULL,
            process_group=0,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs, and return once it is gone."""
        watch = self._watch
        assert watch is not None
        assert watch.stdin is not None
        watch.stdin.close()
        with contextlib.suppress(ConnectionError):
            await watch.stdin.wait_closed()
        await watch.wait()
        for process in self._started:
            with contextlib.suppress(RuntimeError):  # somebody else reads its output
                await process.communicate()
            await process.wait()

    async def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        stdout: int | None = PIPE,
        stderr: int | None = PIPE,
    ) -> Process:
        """Start a process without input; LabError if that fails.

        Its output goes to pipes, or where `asyncio.create_subprocess_exec` would send it; `env` is
        its whole environment, by default that of the lab.
        """
        assert self._watch is not None
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=stdout,
                stderr=stderr,
                limit=LINE,
                env=env,
                process_group=self._watch.pid,
            )
        except OSError as error:
            raise LabError(f"cannot start {command[0]}: {error.strerror}") from error
        self._started = [other for other in self._started if other.returncode is None]
        self._started.append(process)
        return process
