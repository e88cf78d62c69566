"""Processes end with the lab, also when it is killed."""

import asyncio
import signal
import sys

import psutil
import pytest

from lab.errors import LabError
from lab.guard import Guard

PATIENCE = 20
SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")

# a lab that starts a process, freezes it if told so, and waits to be killed
LAB = """
import asyncio, os, signal, sys
from lab.guard import Guard

async def main():
    async with Guard() as guard:
        process = await guard.start(*sys.argv[2:])
        await process.stdout.readline()
        if sys.argv[1] == "frozen":
            os.kill(process.pid, signal.SIGSTOP)
        print(process.pid, flush=True)
        await process.wait()

asyncio.run(main())
"""


async def test_leaving_kills_what_runs():
    async with Guard() as guard:
        process = await guard.start(*SLEEP)
        assert await process.stdout.readline() == b"up\n"
    assert process.returncode == -signal.SIGKILL


async def test_a_process_that_ended_is_no_trouble():
    async with Guard() as guard:
        process = await guard.start(sys.executable, "-c", "print('done')")
        assert (await process.communicate()) == (b"done\n", b"")
    assert process.returncode == 0


async def test_what_cannot_be_started():
    async with Guard() as guard:
        with pytest.raises(LabError, match="cannot start /nowhere/server: No such file"):
            await guard.start("/nowhere/server")


@pytest.mark.parametrize("how", ["running", "frozen"])
async def test_a_killed_lab_takes_its_processes_along(how, gone):
    lab = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LAB, how, *SLEEP), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        child = psutil.Process(int(await lab.stdout.readline()))
        family = psutil.Process(lab.pid).children()
        assert child in family
        assert len(family) == 2
        lab.kill()
        await lab.wait()
    assert gone(family)
