"""The standard health service (gRPC's doc/health-checking.md), for a replica that drains."""

import asyncio
from typing import TypeAlias

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

Context: TypeAlias = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]


class Health(health.aio.HealthServicer):
    """Its watches can be ended: left alone, one would hold up a drain until its timeout."""

    def __init__(self) -> None:
        super().__init__()
        self._over = False
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:  # noqa: N802
        """Send the state of a service now and whenever it changes."""
        watch = asyncio.create_task(super().Watch(request, context))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        try:
            await watch
        except asyncio.CancelledError:
            if not self._over:  # it was the caller who cancelled
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the replica stops")

    def end_watches(self) -> None:
        """Fail all watches with UNAVAILABLE."""
        self._over = True
        for watch in self._watches:
            watch.cancel()
