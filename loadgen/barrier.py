"""Shards that start together: all wait until shard 0 has heard that the others are ready, and says go.

A line each way over TCP: a shard that is ready connects and says `ready INDEX/COUNT`, shard 0 answers `go`.
No clocks are compared, so the shards start as far apart as that line takes. Whoever waited for `LIMIT`
starts all the same: a shard that never came must not cost the others their results.
"""

import asyncio
import contextlib

from loadgen.errors import LoadgenError
from loadgen.shard import Shard

LIMIT = 60.0  # seconds
RETRY = 0.2  # seconds between attempts to reach shard 0, which may not have started
GRACE = 5.0  # seconds longer than shard 0 waits: it decides, where it can be reached

_GO = b"go\n"


async def wait(shard: Shard, host: str, port: int, *, limit: float = LIMIT) -> list[int]:
    """Return when this shard is to start: with the others, or after `limit` seconds without.

    Shard 0 listens on `port` of all interfaces, the others find it as `host`. Returns the shards that did not
    come, as far as this one knows: shard 0 knows of all, another one of shard 0 only. Raises LoadgenError
    where shard 0 cannot listen.
    """
    if shard.count == 1:
        return []
    if shard.index == 0:
        return await _gather(shard, port, limit)
    end = asyncio.get_running_loop().time() + limit
    while asyncio.get_running_loop().time() < end:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout_at(end):
                reader, writer = await asyncio.open_connection(host, port)
            if await _told_to_go(shard, reader, writer, limit + GRACE):
                return []
        await asyncio.sleep(RETRY)
    return [0]


async def _gather(shard: Shard, port: int, limit: float) -> list[int]:
    ready: dict[int, asyncio.StreamWriter] = {}
    complete = asyncio.Event()
    guests: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests[asyncio.current_task()] = writer
        index = None
        with contextlib.suppress(OSError, ValueError):
            index = _index(await reader.readline(), shard.count)
            if index is not None:
                ready[index] = writer
                if len(ready) == shard.count - 1:
                    complete.set()
                await reader.read()  # until it goes away
        if index is not None and ready.get(index) is writer and not complete.is_set():
            del ready[index]
        await _leave(writer)

    try:
        server = await asyncio.start_server(hear, None, port)
    except OSError as error:
        raise LoadgenError(f"cannot listen on port {port} for the other shards: {error.strerror}") from None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await complete.wait()
        complete.set()
        for writer in ready.values():
            writer.write(_GO)
    finally:
        server.close()
        for writer in guests.values():
            writer.close()
        await asyncio.gather(*filter(None, guests))
    return [index for index in range(1, shard.count) if index not in ready]


async def _leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _index(line: bytes, count: int) -> int | None:
    """Return which shard says that it is ready; None where it is none of these."""
    word, _, text = line.decode("ascii").strip().partition(" ")
    index, _, of = text.partition("/")
    if word != "ready" or not (index.isdecimal() and of.isdecimal()):
        return None
    return int(index) if int(of) == count and 0 < int(index) < count else None


async def _told_to_go(
    shard: Shard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: float
) -> bool:
    """Tell shard 0 that this one is ready; return whether it said go, rather than that it went away."""
    try:
        async with asyncio.timeout(limit):
            writer.write(f"ready {shard}\n".encode())
            return await reader.readline() == _GO
    finally:
        await _leave(writer)
