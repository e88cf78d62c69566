"""How a replica goes away without losing a call."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

import grpc
import structlog

from server.health import Health
from server.metrics import Metrics
from server.settings import SECOND, Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST = 7 * 24 * 3600.0
"""Seconds: a grace longer than any drain timeout, so that calls are cut off here, and counted."""

_log = structlog.get_logger(__name__)


class Signals:
    """Hears SIGTERM and SIGINT: the first asks for a drain, the second for its end."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    def _hear(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

    @staticmethod
    def ignore() -> None:
        """Hear no more: a late signal must not change the exit code of a drain that is over."""
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


async def drain(
    server: grpc.aio.Server,
    health: Health,
    endless: Sequence[Callable[[], None]],
    metrics: Metrics,
    settings: Settings,
    hurry: asyncio.Event,
) -> int:
    """Stop serving; returns how many Gets had to be cut off.

    First health turns NOT_SERVING, so that callers who watch it turn away. After the drain delay
    connections get a GOAWAY (RFC 9113, 6.8), and calls in flight the drain timeout to end in.
    `endless` end the streams that would not end by themselves. `hurry` skips what is left of both.
    """
    calls = metrics.calls
    metrics.draining = True
    _log.info("draining", in_flight=calls.in_flight)
    await health.enter_graceful_shutdown()
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), settings.drain_delay / SECOND)

    stopping = asyncio.create_task(server.stop(LONGEST))
    hurried = asyncio.create_task(hurry.wait())
    for end in endless:
        end()
    await asyncio.wait(
        {stopping, hurried},
        timeout=settings.drain_timeout / SECOND,
        return_when=asyncio.FIRST_COMPLETED,
    )
    hurried.cancel()
    cut = calls.in_flight
    await server.stop(None)
    await stopping
    return cut
