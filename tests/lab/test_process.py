"""One replica: a real server process."""

import asyncio
import signal
import socket
import time

import grpc
import psutil
import pytest

from lab import addresses
from lab.errors import LabError
from lab.guard import Guard
from lab.process import ReplicaProcess
from lab.replicas import Replica, State

PATIENCE = 30
pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
async def guard():
    async with Guard() as guard:
        yield guard


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Heard(list):
    """The changes of a replica."""

    def __init__(self):
        self.first = asyncio.Event()

    def __call__(self, replica):
        self.append(replica)
        self.first.set()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def make(guard, port, heard):
    block = addresses.pick()

    def make(**options):
        replica = Replica("server-1", block.take(port), port)
        names = {key.replace("_", "-"): value for key, value in options.items()}
        return ReplicaProcess(guard, replica, names, heard)

    return make


def target(process):
    return f"ipv4:{process.replica.address}:{process.replica.port}"


async def test_the_life_of_a_replica(make, heard, connect):
    before = time.time_ns()
    process = make()
    await process.start(PATIENCE)
    ready = process.replica
    assert ready.state is State.READY
    assert await connect(target(process)).get() == ready.id != ""
    assert ready.metrics_port > 0
    process.terminate()
    await process.exited(PATIENCE)
    gone = process.replica
    assert (gone.exit_code, gone.overdue) == (0, False)
    assert [replica.state for replica in heard] == [
        State.STARTING,
        State.STARTING,  # with its id
        State.READY,
        State.TERMINATING,
        State.GONE,
    ]
    times = [gone.started_at, gone.ready_at, gone.terminating_at, gone.exited_at]
    assert before < times[0]
    assert times == sorted(times)
    assert times[-1] < time.time_ns()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_such_thing": "1"}, r"server-1 on 127\S+ ended with code 2 before.*No such option"),
        ({"delay": "soon"}, r"ended with code 2 before it was ready: Error: .*'soon'"),
    ],
)
async def test_a_server_that_refuses_to_start(make, options, message):
    process = make(**options)
    with pytest.raises(LabError, match=message) as caught:
        await process.start(PATIENCE)
    assert "\n" not in caught.value.format_message()
    assert caught.value.exit_code == 1
    assert process.replica.state is State.GONE


async def test_a_port_that_is_taken(make):
    process = make()
    taken = socket.create_server((process.replica.address, process.replica.port))
    with taken, pytest.raises(LabError, match=r"before it was ready: Error: .*in use"):
        await process.start(PATIENCE)


async def test_a_server_that_takes_too_long(make):
    process = make()
    with pytest.raises(LabError, match=r"was not ready within 0\.001 s"):
        await process.start(0.001)
    assert process.replica.exit_code == -signal.SIGKILL


async def test_a_start_that_is_given_up_leaves_nothing(make, heard):
    process = make()
    start = asyncio.create_task(process.start(PATIENCE))
    async with asyncio.timeout(PATIENCE):
        await heard.first.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert process.replica.state is State.GONE


async def test_a_killed_replica(make, heard):
    process = make()
    await process.start(PATIENCE)
    process.kill()
    await process.exited()
    assert process.replica.exit_code == -signal.SIGKILL
    assert process.replica.terminating_at is None
    process.kill()  # and again
    assert heard[-1] == process.replica


async def test_a_frozen_replica_answers_when_it_is_thawed(make, connect):
    process = make()
    await process.start(PATIENCE)
    client = connect(target(process))
    await client.get()
    process.freeze()
    assert process.replica.frozen
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.get(deadline=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    process.thaw()
    assert await client.get() == process.replica.id


async def test_a_replica_that_does_not_end_is_killed_and_marked(make):
    process = make()
    await process.start(PATIENCE)
    process.freeze()
    process.terminate()
    await process.exited(0.1)
    assert process.replica.overdue
    assert process.replica.exit_code == -signal.SIGKILL
    assert "sent SIGKILL as it took too long" in str(process.replica)


async def test_the_server_is_a_process_of_its_own(make):
    process = make()
    before = psutil.Process().children()
    await process.start(PATIENCE)
    (server,) = [p for p in psutil.Process().children() if p not in before]
    assert server.cmdline()[1:3] == ["-m", "server"]
