"""One streaming call: its messages both ways, counted as they go, so that what fails half-way counts too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from loadgen.descriptors import Method


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a stream goes on. Times are in seconds."""

    interval: float = 0.0
    """Pause between two messages of the client."""
    cancel_after: float | None = None
    """When the client has had enough: it cancels the stream, which then counts as ok."""


AS_GIVEN = Streaming()
LOST = "Internal error from Core"
FIND_EVERY = 0.005  # seconds
FIND_TRIES = 100


class Exchange:
    """Makes one call of a method that streams."""

    __slots__ = ("_method", "_status", "_streaming", "received", "sent")

    def __init__(self, method: Method, streaming: Streaming) -> None:
        self._method = method
        self._streaming = streaming
        self._status: tuple[grpc.StatusCode, str] | None = None
        self.sent = 0
        """Messages that were handed to gRPC and accepted by flow control."""
        self.received = 0

    def start(self, method: Callable[..., Any], request: Any, **options: Any) -> Any:
        """Begin the call: messages of the client's stream are sent as they are taken."""
        if self._method.sends_many:
            call = method(self._messages(request), **options)
            call.add_done_callback(self._ended)
            return call
        self.sent = 1
        return method(request, **options)

    async def _messages(self, request: Iterable[bytes]) -> AsyncIterator[bytes]:
        pause = self._streaming.interval
        for message in request:
            if pause and self.sent:
                await asyncio.sleep(pause)
            yield message
            self.sent += 1

    def _ended(self, call: Any) -> None:
        self._status = at_once(call.code()), at_once(call.details()) or ""

    async def _find_status(self, call: Any) -> None:
        """Find the status that the server gave.

        A message that is sent as the server ends the stream fails, and grpc.aio then says INTERNAL in place
        of a status that came before or is about to come (https://github.com/grpc/grpc/issues/36066).
        """
        for _ in range(FIND_TRIES):
            if self._status is not None and self._status[1] != LOST:
                return
            await asyncio.sleep(FIND_EVERY)
            self._status = await call.code(), await call.details() or ""

    def status(self, error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
        """Return how the call really ended."""
        if error.details() == LOST and self._status is not None:
            return self._status
        return error.code(), error.details() or ""

    async def end(self, call: Any) -> bytes | None:
        """Take all answers and return the last one, None where there is none; raises as the call does."""
        last: bytes | None = None
        enough = asyncio.timeout(self._streaming.cancel_after)
        try:
            async with enough:
                if not self._method.answers_many:
                    last = await call
                    self.received = 1
                    return last
                while (message := await call.read()) is not grpc.aio.EOF:
                    last = message
                    self.received += 1
        except grpc.aio.AioRpcError as error:
            if error.details() == LOST:
                await self._find_status(call)
            raise
        except TimeoutError:
            if not enough.expired():
                raise
            call.cancel()
        return last


def at_once(ready: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine gives that has nothing to wait for."""
    try:
        ready.send(None)
    except StopIteration as end:
        return end.value
    ready.close()
    return None
