"""`lab up` as a user runs it."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import psutil
import pytest

from lab.cli import main
from lab.console import lines

PATIENCE = 30


class Lab:
    """A running `lab up`."""

    def __init__(self, process):
        self.process = process
        self.seen = []

    async def until(self, pattern):
        """Read lines until one matches, and return the match."""
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                self.seen.append(line.decode().rstrip())
                if match := re.search(pattern, self.seen[-1]):
                    return match
        raise AssertionError(f"{pattern} is not in {self.seen}")

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    async def ends(self):
        """Return the exit code and what was written to stderr."""
        async with asyncio.timeout(PATIENCE):
            _, errors = await self.process.communicate()
        return self.process.returncode, errors.decode()


@pytest.fixture
async def up():
    async with contextlib.AsyncExitStack() as stack:

        async def up(*arguments, stdin=PIPE):
            quick = ("--server-option", "drain-delay=0s")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lab", "up", *quick, *arguments),
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
            )

            @stack.push_async_callback
            async def clean():
                if process.returncode is None:
                    process.kill()
                    await process.wait()

            return Lab(process)

        yield up


async def test_a_session(up, gone):
    lab = await up("--replicas", "1", "--headless", "--slow-option", "delay=1ms")
    address = (await lab.until(r"server-1 +(127\S+)  ready after .* id \S+"))[1]
    target = (await lab.until(r"headless +(dns://\S+)"))[1]
    assert re.fullmatch(r"dns://127\.0\.0\.1:\d+/server-headless\.default\.svc\.\S+", target)
    assert target.rpartition(":")[2] == address.rpartition(":")[2]
    await lab.until(rf"loadgen run {target} --lb-policy round_robin -n 3000")
    kubeconfig = (await lab.until(r"watch +KUBECONFIG=(\S+)"))[1]
    assert Path(kubeconfig).exists()  # noqa: ASYNC240 - a file of a few bytes
    family = lab.family()

    lab.say("scale 2")
    await lab.until("server-2 .* ready")
    lab.say("freeze server-2")
    await lab.until("server-2 .*frozen")
    lab.say("status")
    await lab.until("server-1 .* 0/0 ClusterIP")
    lab.say("thaw server-2")
    await lab.until("server-2 .* ready")
    lab.say("kill server-2")
    await lab.until("server-2 .* gone, by SIGKILL")
    lab.say("scale 2")
    await lab.until("server-3 .* ready")
    lab.say("stop server-1")
    await lab.until("server-1 .* gone after .* with code 0")
    lab.say("help")
    await lab.until("scale N")
    family += lab.family()
    lab.say("quit")
    await lab.until("stopping")
    await lab.until("server-3 .* gone after .* with code 0")
    assert await lab.ends() == (0, "")
    assert gone(family)


async def test_a_wrong_command_is_one_line_and_changes_nothing(up):
    lab = await up("--replicas", "0")
    wrong = ("dance", "scale", "scale -1", "scale many", "kill server-1")
    for command in (*wrong, "", "status", "quit"):
        lab.say(command)
    code, errors = await lab.ends()
    assert code == 0
    assert errors.splitlines() == [
        "error: dance is not a command; help lists them",
        "error: scale is not a command; help lists them",
        "error: -1 is not a number of replicas",
        "error: many is not a number of replicas",
        "error: there is no replica server-1",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_and_stops(up, gone, number):
    lab = await up("--replicas", "1")
    await lab.until("^commands")
    family = lab.family()
    lab.process.send_signal(number)
    await lab.until("server-1 .* gone after .* with code 0")
    lab.process.stdin.close()
    assert await lab.ends() == (0, "")
    assert gone(family)


async def test_a_second_signal_does_not_wait(up, gone):
    lab = await up("--replicas", "1", "--server-option", "drain-delay=1h")
    await lab.until("^commands")
    family = lab.family()
    lab.process.send_signal(signal.SIGINT)
    await lab.until("terminating")
    lab.process.send_signal(signal.SIGINT)
    await lab.until("server-1 .* by SIGKILL")
    assert await lab.ends() == (130, "lab: stopped\n")
    assert gone(family)


async def test_a_signal_while_it_starts(up, gone):
    lab = await up("--replicas", "3")
    await lab.until("starting")
    family = lab.family()
    lab.process.send_signal(signal.SIGTERM)
    assert await lab.ends() == (130, "lab: stopped\n")
    assert gone(family)


async def test_it_stops_when_its_input_ends(up):
    lab = await up("--replicas", "0", stdin=DEVNULL)
    await lab.until("stopping")
    assert await lab.ends() == (0, "")


async def test_no_process_is_left_when_it_is_killed(up, gone):
    lab = await up("--replicas", "2")
    await lab.until("^commands")
    lab.say("freeze server-1")
    await lab.until("frozen")
    family = lab.family()
    assert sum("server" in process.cmdline() for process in family) == 2
    lab.process.kill()
    await lab.ends()
    assert gone(family)


async def test_no_process_is_left_when_nobody_reads_what_it_says(gone):
    ours, its = os.pipe()
    lab = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lab", "up"), stdin=PIPE, stdout=its, stderr=DEVNULL
    )
    os.close(its)
    with os.fdopen(ours, "rb") as said:
        assert b"starting" in await asyncio.to_thread(said.readline)
        family = psutil.Process(lab.pid).children(recursive=True)
    async with asyncio.timeout(PATIENCE):
        await lab.wait()
    lab.stdin.close()
    assert gone(family)


async def test_a_server_that_cannot_start_is_one_line(up):
    lab = await up("--server-option", "delay=soon")
    code, errors = await lab.ends()
    assert code == 1
    assert re.fullmatch(r"lab: error: server-\d on 127\S+ ended with code 2 .*'soon'.*\n", errors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replicas", "-1"], "-1 is not in the range"),
        (["--ttl", "soon"], "'soon' is not a valid integer"),
        (["--staleness", "nan"], "'nan' is not a time such as 5s"),
        (["--staleness", "-1s"], "'-1s' is not a time"),
        (["--staleness", "999h"], "'999h' is not a time"),
        (["--staleness", "99999m"], "more than a day"),
        (["--server-option", "delay"], "'delay' is not KEY=VALUE"),
        (["--server-option", "--delay=1s"], "'--delay=1s' is not KEY=VALUE"),
        (["--server-option", "port=1"], "port is set by the lab"),
        (["--nope"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_usage_errors_are_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["lab", "up", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("lab: error: ")
    assert err.count("\n") == 1


async def test_lines_of_a_file_are_read_to_the_end(tmp_path):
    path = tmp_path / "commands"
    path.write_bytes(b"scale 2\n\n  quit \xff \nlast")
    with path.open("rb") as file:
        found = [line async for line in lines(file.fileno())]
    assert found == ["scale 2", "", "quit \ufffd", "last"]
