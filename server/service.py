"""The service itself: `/Service/Get`."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic_ns
from typing import TypeAlias

import grpc

from server.faults import Faults
from server.identity import Identity
from server.load import Meter
from server.memory import Memory
from server.metrics import Calls
from server.orca import Reports
from server.settings import SECOND
from service_proto.service_pb2 import Req, Res

NAME = "Service"

Context: TypeAlias = grpc.aio.ServicerContext[Req, Res]


class Work:
    """What one Get makes a replica do before it is answered."""

    def __init__(self, faults: Faults, calls: Calls, meter: Meter | None) -> None:
        self._meter = meter
        self._began = monotonic_ns()
        self._calls = calls
        self._freed = 0
        self._delay = faults.delay / SECOND
        self._stall = faults.stall
        self._slots: AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(faults.slots) if faults.slots else nullcontext()
        )

    async def do(self) -> None:
        """Take a slot and the time it takes; a stall stops all who hold or want one."""
        came = monotonic_ns()
        async with self._slots:
            began = max(came, self._freed)  # handing a slot over takes time, in which nobody else has it
            if self._meter is not None:
                self._meter.start(monotonic_ns())
            try:
                await self._outlast_stall()
                if self._delay:
                    await asyncio.sleep(self._delay)
                    await self._outlast_stall()
            finally:
                self._freed = monotonic_ns()
                self._calls.worked += self._freed - began
                if self._meter is not None:
                    self._meter.stop(self._freed)

    async def _outlast_stall(self) -> None:
        if self._stall is None:
            return
        if remaining := self._stall.remaining(monotonic_ns() - self._began):
            await asyncio.sleep(remaining / SECOND)


class Service:
    """Answers every Get with the replica's id."""

    def __init__(
        self,
        identity: Identity,
        faults: Faults,
        calls: Calls,
        memory: Memory | None = None,
        reports: Reports | None = None,
    ) -> None:
        self._answer = Res(id=identity.id)
        self._metadata = identity.metadata
        self._calls = calls
        self._memory = memory
        self._errors = faults.errors
        self._reports = reports
        self._work = Work(faults, calls, reports.meter if reports else None) if faults.work else None

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server is given."""
        get = grpc.unary_unary_rpc_method_handler(self.get, Req.FromString, Res.SerializeToString)
        return grpc.method_handlers_generic_handler(NAME, {"Get": get})

    async def get(self, _request: Req, context: Context) -> Res:
        """Do the work, then answer, or fail if it is this call's turn to."""
        began = monotonic_ns()
        number = self._calls.start()
        code = "UNKNOWN"
        context.set_trailing_metadata(self._metadata)
        try:
            if self._memory is not None:
                self._memory.hold(began)
            if self._work is not None:
                await self._work.do()
            failing = self._errors is not None and self._errors.fails(number)
            code = "UNAVAILABLE" if failing else "OK"
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            now = monotonic_ns()
            self._calls.finish(code, now - began)  # before the caller knows the answer
            if self._reports is not None:
                failed = code in {"UNAVAILABLE", "UNKNOWN"}
                context.set_trailing_metadata((*self._metadata, *self._reports.ended(now, failed=failed)))
        if failing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "it was told to fail this call")
        return self._answer
