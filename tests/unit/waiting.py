"""Waiting for something to be so."""

import asyncio
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which a test gives up: far longer than anything here takes."""


async def until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds: what is looked at cannot tell of its changes."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
