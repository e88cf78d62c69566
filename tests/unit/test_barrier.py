"""Shards that start together."""

import asyncio
import socket

import pytest

from loadgen import barrier
from loadgen.errors import LoadgenError
from loadgen.shard import Shard

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def until_listening(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def test_nobody_starts_before_the_last_is_ready(port: int) -> None:
    first = [asyncio.create_task(barrier.wait(Shard(index, 4), HOST, port)) for index in (2, 0, 1)]
    _, pending = await asyncio.wait(first, timeout=0.5)
    assert len(pending) == 3
    last = await barrier.wait(Shard(3, 4), HOST, port)
    assert [last, *await asyncio.gather(*first)] == [[], [], [], []]


async def test_whoever_does_not_come_is_not_waited_for_for_ever(port: int) -> None:
    started = await asyncio.gather(
        *(barrier.wait(Shard(index, 4), HOST, port, limit=0.5) for index in (0, 2))
    )
    assert started == [[1, 3], []]


async def test_without_shard_0_the_others_start_by_themselves(port: int) -> None:
    assert await barrier.wait(Shard(1, 2), HOST, port, limit=0.3) == [0]


async def test_a_shard_0_that_hangs_is_not_waited_for_for_ever(port: int, monkeypatch) -> None:
    monkeypatch.setattr(barrier, "GRACE", 0.1)
    with socket.socket() as hung:
        hung.bind((HOST, port))
        hung.listen()
        assert await barrier.wait(Shard(1, 2), HOST, port, limit=0.2) == [0]


async def test_a_name_that_is_not_known_yet_is_tried_again() -> None:
    assert await barrier.wait(Shard(1, 2), "nobody.invalid", 1, limit=0.3) == [0]


async def test_one_shard_alone_waits_for_nobody(port: int) -> None:
    assert await barrier.wait(Shard(), HOST, port) == []


async def test_a_shard_that_goes_away_is_missed_and_may_come_again(port: int) -> None:
    first = asyncio.create_task(barrier.wait(Shard(0, 3), HOST, port))
    _, writer = await until_listening(port)
    writer.write(b"ready 1/3\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    second = asyncio.create_task(barrier.wait(Shard(2, 3), HOST, port))
    _, pending = await asyncio.wait([first, second], timeout=0.5)
    assert len(pending) == 2, "started without shard 1"
    assert await barrier.wait(Shard(1, 3), HOST, port) == []
    assert await asyncio.gather(first, second) == [[], []]


STRANGERS = [
    *(b"", b"\n", b"hello\n", b"\xff\n", b"x" * 70_000),
    *(b"ready 0/2\n", b"ready 2/2\n", b"ready 1/3\n", b"ready -1/2\n"),
]


@pytest.mark.parametrize("said", STRANGERS, ids=[repr(said[:12]) for said in STRANGERS])
async def test_a_stranger_counts_for_nobody(port: int, said: bytes) -> None:
    first = asyncio.create_task(barrier.wait(Shard(0, 2), HOST, port))
    reader, writer = await until_listening(port)
    writer.write(said)
    writer.write_eof()
    assert await reader.read() == b"", "it was answered"
    writer.close()
    assert not first.done()
    assert await barrier.wait(Shard(1, 2), HOST, port) == []
    assert await first == []


async def test_a_port_that_is_taken(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("", port))
        taken.listen()
        with pytest.raises(LoadgenError, match=f"cannot listen on port {port} for the other shards"):
            await barrier.wait(Shard(0, 2), HOST, port)
