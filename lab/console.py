"""Lines from standard input, read on the event loop."""

import asyncio
import os
from collections.abc import AsyncGenerator

CHUNK = 4096


async def lines(descriptor: int) -> AsyncGenerator[str]:
    """Yield the lines of a terminal, a pipe or a file, without their ends, until it ends.

    The descriptor stays blocking: on a terminal it is the same open file as the output, which must
    not start to fail when the terminal is slow.
    """
    rest = b""
    while chunk := await _read(descriptor):
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line.decode(errors="replace").strip()
    if rest:
        yield rest.decode(errors="replace").strip()


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # epoll takes no files, and they never make one wait
        pass
    else:
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, CHUNK)
    except OSError:  # the terminal is gone
        return b""
