"""The engine `grpc`: real gRPC channels, as an application would use them (grpc.aio)."""

import asyncio
import time
from typing import Any

import grpc

from loadgen import policies
from loadgen.attribution import Attribution
from loadgen.calls import Calls
from loadgen.discovery import Backends
from loadgen.engines import Connections, Connectivity, failure
from loadgen.engines.channels import Connection, Generation, Options
from loadgen.engines.connections import ConnectionLog
from loadgen.engines.exchange import AS_GIVEN, Exchange, Streaming, at_once
from loadgen.ledger import Ledger
from loadgen.recorder import OK, UNATTRIBUTED
from loadgen.target import Metadata, Request, Target

COUNT_WAIT = 0.5  # seconds after the run for connections to have counted its last calls
STOP_GRACE = 5.0  # seconds that calls without a deadline get once the run was stopped
SWAP_WAIT = 5.0  # seconds within which new channels should connect before they replace the old ones
SHARE_OF_TIME = 100  # reading channelz may take one part in so many of the run's time
READ_EVERY = 1.0  # seconds, at the least
COUNT_EVERY = 0.2  # seconds, at the least, where calls are counted so: what ends in between is not seen


class GrpcEngine:
    """Makes each call in a task of its own, on grpc.aio."""

    def __init__(
        self,
        ledger: Ledger,
        target: Target,
        attribution: Attribution,
        options: Options,
        streaming: Streaming = AS_GIVEN,
    ) -> None:
        self._ledger = ledger
        self._streaming = None if target.method.unary else streaming
        self._target = target
        self._attribution = attribution
        self._options = options
        self._policy = policies.of(options.policy)
        self._log = ConnectionLog(ledger, knows_all=self._policy.connects_to_all)
        self._current: Generation | None = None
        self._retired: dict[asyncio.Task[None], Generation] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._running = False
        self._per_call = 0
        # Everything taken and not finished: kept here, since a task cancelled before its first step
        # never runs its body.
        self._open: dict[int, tuple[int, asyncio.Task[None]]] = {}
        self._calls = Calls()
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake: int | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._finished: asyncio.Future[None] | None = None
        self._warming = False

    # Channels

    async def update(self, backends: Backends) -> None:
        """Make channels for these backends; while a run goes on, swap once they have connected."""
        old, heard = self._current, self._ledger.now()
        rotated = old is not None and old.backends == backends
        new = Generation(backends, self._target.method, self._options)
        new.channelz = self._log.opened()
        if self._running:
            try:
                await self._warm(new)
            except asyncio.CancelledError:  # the load ended meanwhile
                self._retire(new)
                raise
        self._note_backends(backends, heard)
        self._current = new
        if old is not None:
            self._retire(old)
            if self._running and rotated:
                self._ledger.event("channel.rotated")
            elif self._running:
                self._ledger.event("channel.swapped", backends=list(backends.addresses or ()))

    def _note_backends(self, backends: Backends, at: int) -> None:
        known = self._current.backends.addresses if self._current else None
        appearing = "backend.known" if self._current is None else "backend.added"
        for address in sorted({*(backends.addresses or ())} - {*(known or ())}):
            self._ledger.event(appearing, at, address=address)
        for address in sorted({*(known or ())} - {*(backends.addresses or ())}):
            self._ledger.event("backend.removed", at, address=address)
        self._log.given(backends.addresses)

    async def _warm(self, generation: Generation) -> None:
        """Wait until the new channels are as connected as they get: a cold one spreads unevenly."""
        end = time.monotonic() + SWAP_WAIT
        while time.monotonic() < end:
            for connection in generation.connections:
                connection.channel.get_state(try_to_connect=True)
            if self._read(generation).settled or not self._policy.connects_early:
                return
            await asyncio.sleep(0.005)

    def _retire(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(generation.retire(before=self._read_last))
        self._retired[task] = generation
        task.add_done_callback(self._retired.pop)

    def _read_last(self) -> None:
        """Read what channels counted that are about to close."""
        if self._running and not self._options.per_call:
            self._read()

    def _read(self, generation: Generation | None = None) -> Connectivity:
        """Read the connections of one generation, by default the current one, and note all others'."""
        mine = generation or self._current
        assert mine is not None
        rest = [one for one in (self._current, *self._retired.values()) if one and one is not mine]
        others = [number for one in rest for number in one.channelz]
        return self._log.read(mine.channelz, others, mine.backends.addresses)

    async def connectivity(self) -> Connectivity:
        """Start connecting and tell how far it is."""
        assert self._current is not None, "update comes first"
        if not self._policy.connects_early:
            return Connectivity(None, 0, 0, "", early=False)
        connections = self._current.connections
        states = [one.channel.get_state(try_to_connect=True) for one in connections]
        if not self._options.per_call:
            return self._read()
        if states[0] is grpc.ChannelConnectivity.READY:
            return Connectivity(None, 1, 0, "")
        failing = states[0] is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return Connectivity(None, 0, int(failing), "")

    async def explain(self, reason: str) -> str:
        """Return why nothing is connected, or ""; where it may be for TLS that is looked into."""
        assert self._current is not None
        channel, backends = self._current.connections[0].channel, self._current.backends
        return await failure.explain(channel, backends, self._target.uri, self._options.tls, reason)

    def connections(self) -> Connections:
        """Read once more and sum up."""
        if self._options.per_call:
            addresses = self._current.backends.addresses if self._current else None
            known = None if addresses is None else list(addresses)
            return Connections(known, known, self._per_call, 0)
        self._read()
        if self._warming:  # the run was stopped in its warm-up
            self._log.begin(self._ledger.warmup.in_flight)
        return self._log.summary()

    async def close(self) -> None:
        """Close all channels."""
        if self._current is not None:
            self._retire(self._current)
            self._current = None
        await asyncio.gather(*self._retired, *self._closing)

    # Calls

    async def run(self) -> None:
        """Make the calls that the ledger hands out until it has no more and all have ended."""
        loop = asyncio.get_running_loop()
        self._finished = loop.create_future()
        self._running = True
        self._ledger.changed = self._schedule
        if self._attribution.counts_peers:
            self._log.count_calls()
            self._read()
        reader = None if self._options.per_call else loop.create_task(self._follow())
        try:
            self._turn()
            await self._finished
        finally:
            self._running = False
            for _, task in self._open.values():
                task.cancel()
            if reader is not None:
                reader.cancel()
            for timer in (self._timer, self._grace):
                if timer is not None:
                    timer.cancel()
            tasks = [task for _, task in self._open.values()]
            await asyncio.gather(*tasks, *filter(None, [reader]), return_exceptions=True)
            self._sweep()
        if self._attribution.counts_peers:
            await self._count_rest()

    async def _count_rest(self) -> None:
        """Read until all calls are counted: a connection may hear of a call's end after its caller."""
        end = time.monotonic() + COUNT_WAIT
        self._read()
        while self._log.counted() < self._ledger.sent and time.monotonic() < end:
            await asyncio.sleep(0.01)
            self._read()

    async def _follow(self) -> None:
        """Read the connections' states about once a second, less often where that takes long."""
        while True:
            began = time.perf_counter()
            self._read()
            took = time.perf_counter() - began
            every = COUNT_EVERY if self._attribution.counts_peers else READ_EVERY
            await asyncio.sleep(max(every, took * SHARE_OF_TIME))

    def _schedule(self) -> None:
        """Have a turn soon: one for all calls that end in this turn of the event loop."""
        if not self._turn_due and self._running:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Finish what ended, start what is due, and see to waking up again."""
        self._turn_due = False
        if not self._running:
            return
        if len(self._calls):
            self._ledger.finish(self._calls)
            self._calls.clear()
        due = self._ledger.take()
        if due.warmup:
            self._warming = True
        elif self._warming and (due.at or due.dropped):
            self._warming = False
            self._begin()
        loop = asyncio.get_running_loop()
        for number, at in enumerate(due.at, due.first):
            self._open[number] = (at, loop.create_task(self._call(number, at)))
        if due.wake != self._wake or self._timer is None:
            self._set_timer(loop, due.wake)
        if self._ledger.over and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)
        elif self._ledger.stopped and self._options.timeout is None and self._grace is None:
            self._grace = loop.call_later(STOP_GRACE, self.cancel)

    def _begin(self) -> None:
        """Leave out of counts what was before: the first call after the warm-up comes next."""
        if not self._options.per_call and (self._attribution.counts_peers or self._options.retry):
            self._read()
            self._log.begin(self._ledger.warmup.in_flight)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, wake: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake = wake
        if wake is not None:
            delay = (wake - self._ledger.now()) / 1e9
            self._timer = loop.call_later(max(0.0, delay), self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._turn()

    async def _call(self, number: int, due: int) -> None:
        """Make one call and record how it ended, whatever happens."""
        assert self._current is not None
        ledger = self._ledger
        backend, outcome, out, answers = UNATTRIBUTED, OK, 1, 1
        sent = ledger.now()
        connection = exchange = None
        try:
            payload, metadata = self._request(number)
            connection = self._connection()
            connection.in_flight += 1
            if self._streaming is None:
                call = connection.call(payload, timeout=self._options.timeout, metadata=metadata)
                reply = await call
            else:
                exchange = Exchange(self._target.method, self._streaming)
                call = exchange.start(
                    connection.call, payload, timeout=self._options.timeout, metadata=metadata
                )
                reply = await exchange.end(call)
            done = ledger.now()
            found: tuple[Any, ...] = ()
            if self._attribution.needs_metadata:
                found = (*await call.initial_metadata(), *await call.trailing_metadata())
            backend = self._answered(call, reply, found)
        except grpc.aio.AioRpcError as error:
            done, answers = ledger.now(), 0
            code, text = (error.code(), error.details() or "") if exchange is None else exchange.status(error)
            outcome = ledger.outcome(code.value[0], failure.message(text, self._options.token))
            if self._attribution.needs_metadata:
                found = (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ()))
                backend = ledger.backend(self._attribution.name(None, found))
        except asyncio.CancelledError:
            done, answers = ledger.now(), 0
            task = asyncio.current_task()
            mine = task is not None and task.cancelling()
            outcome = self._cancelled("by the load generator" if mine else "with its channel")
        except Exception as error:  # a reply that does not parse, most likely: it must be counted too
            done, answers = ledger.now(), 0
            outcome = ledger.outcome(
                grpc.StatusCode.INTERNAL.value[0], f"{type(error).__name__}: {error}"[:200]
            )
        if exchange is not None:
            out, answers = exchange.sent, exchange.received
        del self._open[number]
        self._calls.add(due, sent, done, backend, outcome, out, answers)
        self._schedule()
        if connection is not None:
            connection.ended()
            if self._options.per_call:
                closing = asyncio.get_running_loop().create_task(connection.retire())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _answered(self, call: Any, reply: bytes | None, metadata: Metadata) -> int:
        """Return the number of the backend that answered, and learn its address from its first calls."""
        backend = self._ledger.backend(self._attribution.name(reply, metadata))
        if backend not in self._ledger.addresses.settled:
            self._ledger.addresses.learn(backend, at_once(call.trailing_metadata()) or ())
        return backend

    def _request(self, number: int) -> tuple[Request, Metadata]:
        payload, metadata = self._target.request(number)
        token = self._options.token
        return payload, metadata if token is None else token.signed(metadata)

    def _connection(self) -> Connection:
        assert self._current is not None
        if not self._options.per_call:
            return self._current.pick()
        self._per_call += 1
        return Connection(self._current.backends.uri, self._target.method, self._options)

    def _cancelled(self, by: str) -> int:
        return self._ledger.outcome(grpc.StatusCode.CANCELLED.value[0], f"cancelled {by}")

    def cancel(self) -> None:
        """End the run, cancelling every call in flight; each is counted as failed."""
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _sweep(self) -> None:
        """Finish what is left after a cancel: calls whose task never took its first step."""
        now = self._ledger.now()
        for due, _ in self._open.values():
            outcome = self._cancelled("before it was sent")
            self._calls.add(due, now, now, UNATTRIBUTED, outcome, 0, 0)
        self._open.clear()
        if len(self._calls):
            self._ledger.finish(self._calls)
            self._calls.clear()
