"""The engine `grpc` against servers in this process."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from loadgen import readiness
from loadgen.attribution import parse
from loadgen.discovery import Backends, Dns
from loadgen.engines.channels import Options, Retry
from loadgen.engines.exchange import AS_GIVEN, Streaming
from loadgen.engines.grpc import GrpcEngine
from loadgen.errors import NotReadyError
from loadgen.ledger import Ledger
from loadgen.pacing import SECOND, Closed, Constant, Pacer
from loadgen.plan import Plan
from loadgen.recorder import Recorder
from loadgen.result import Result
from loadgen.snapshot import snapshot
from loadgen.target import Target, Uri
from service_proto.service_pb2 import Res
from tests.unit.waiting import PATIENCE, until


class Server:
    """A server whose replies a test decides on."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.go = asyncio.Event()
        self.peers: list[str] = []
        self.health = health.aio.HealthServicer()
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> None:
        handler = grpc.unary_unary_rpc_method_handler(self._get)
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("Service", {"Get": handler}),)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.go.set()
        await self.server.start()

    async def _get(self, _request: bytes, context: Any) -> bytes:
        self.peers.append(context.peer())
        await self.go.wait()
        return self.reply

    async def called(self, times: int) -> None:
        """Wait until so many calls have come."""
        await until(lambda: len(self.peers) >= times)


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Start]:
    servers: list[Server] = []

    async def serve(name: str = "a", reply: bytes | None = None) -> Server:
        servers.append(Server(Res(id=name).SerializeToString() if reply is None else reply))
        await servers[-1].start()
        return servers[-1]

    yield serve
    for server in servers:
        server.go.set()
        await server.server.stop(None)


class Load:
    """An engine with all that belongs to it. Leaving its context closes it."""

    def __init__(
        self,
        pacer: Pacer,
        *servers: Server | str,
        policy: str = "round_robin",
        connections: int = 1,
        health_check: bool = False,
        timeout: float | None = 30.0,
        max_in_flight: int = 1000,
        backend_from: str = "field:id",
        target: Target | None = None,
        streaming: Streaming = AS_GIVEN,
        retry: Retry | None = None,
    ) -> None:
        self.recorder = Recorder()
        self.ledger = Ledger(pacer, self.recorder, max_in_flight=max_in_flight)
        self.backends = backends(*servers)
        self.target = target or Target(Uri.parse(self.backends.uri))
        attribution = parse(backend_from, self.target.method.reply)
        options = Options(policy, connections, health_check, timeout, retry=retry)
        self.engine = GrpcEngine(self.ledger, self.target, attribution, options, streaming)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.engine.close()

    async def ready(self, expect: int | None = None, limit: float = PATIENCE) -> None:
        await readiness.wait(
            self.engine, Dns(self.target.uri), expect=expect, limit=limit, target=self.backends.uri
        )

    def start(self) -> asyncio.Task[None]:
        self.ledger.start()
        return asyncio.create_task(self.engine.run())

    async def result(self, running: Awaitable[None] | None = None) -> Result:
        """Wait for the end of the run and check that all is counted."""
        async with asyncio.timeout(PATIENCE):
            await (running or self.start())
        plan = Plan(target=self.backends.uri)
        result = snapshot(plan, self.ledger, self.recorder, self.engine.connections(), None)
        totals = result.totals
        assert self.ledger.in_flight == 0
        assert totals.due == totals.sent + totals.dropped
        assert totals.sent == totals.ok + totals.failed
        assert totals.sent == sum(b.calls for b in (*result.backends.values(), result.unattributed))
        return result


def backends(*servers: Server | str) -> Backends:
    addresses = tuple(server if isinstance(server, str) else server.address for server in servers)
    return Backends(f"ipv4:{','.join(addresses)}", addresses)


def closed(concurrency: int, total: int | None) -> Closed:
    return Closed(concurrency, total=total, duration=None)


def counts(result: Result) -> dict[str, int]:
    return {name: backend.calls for name, backend in result.backends.items()}


def outcomes(result: Result) -> dict[tuple[str, str], int]:
    return {(one.code, one.message): one.calls for one in result.outcomes}


async def test_round_robin_is_even_once_all_are_connected(serve: Start) -> None:
    servers = [await serve(name) for name in "abc"]
    async with Load(closed(10, 300), *servers) as load:
        await load.ready(expect=3)
        now = await load.engine.connectivity()
        assert (now.known, now.connected, now.failing, now.settled) == (3, 3, 0, True)
        result = await load.result()
    assert counts(result) == {"a": 100, "b": 100, "c": 100}
    assert [len(server.peers) for server in servers] == [100, 100, 100]
    assert result.evidence.connections == 3
    assert sorted(e.attributes["address"] for e in result.events if e.name == "connection.made") == sorted(
        server.address for server in servers
    )


async def test_pick_first_uses_one(serve: Start) -> None:
    servers = [await serve(name) for name in "ab"]
    async with Load(closed(4, 50), *servers, policy="pick_first") as load:
        await load.ready()
        result = await load.result()
    assert counts(result) == {"a": 50}
    assert result.evidence.connections == 1


@pytest.mark.parametrize("policy", ["pick_first", "round_robin"])
async def test_several_connections_take_turns(serve: Start, policy: str) -> None:
    server = await serve()
    async with Load(closed(6, 60), server, connections=3, policy=policy) as load:
        await load.ready()
        result = await load.result()
    assert sorted(Counter(server.peers).values()) == [20, 20, 20]
    assert result.evidence.connections == 3


async def test_a_connection_for_every_call(serve: Start) -> None:
    server = await serve()
    async with Load(closed(3, 30), server, connections=0, policy="pick_first") as load:
        await load.ready()
        result = await load.result()
    assert len(set(server.peers)) == len(server.peers) == 30
    assert result.evidence.connections == 30
    assert result.totals.ok == 30


async def test_one_that_cannot_be_reached_does_not_hold_up_the_others(serve: Start) -> None:
    server, gone = await serve(), await serve()
    await gone.server.stop(None)
    async with Load(closed(2, 20), server, gone) as load:
        await load.ready()
        now = await load.engine.connectivity()
        assert (now.known, now.connected, now.failing) == (2, 1, 1)
        assert "Connection refused" in now.reason
        result = await load.result()
    assert counts(result) == {"a": 20}
    (failed, *_) = [event for event in result.events if event.name == "connection.failed"]
    assert failed.attributes["address"] == gone.address


async def test_too_few_backends_are_not_ready(serve: Start) -> None:
    server = await serve()
    async with Load(closed(1, 1), server) as load:
        with pytest.raises(NotReadyError, match=r"waited 0.1 s for 3 backends: 1 connected, 1 known"):
            await load.ready(expect=3, limit=0.1)


async def test_backends_that_say_they_do_not_serve_get_no_calls(serve: Start) -> None:
    servers = [await serve(name) for name in "ab"]
    await servers[0].health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await servers[1].health.set("", health_pb2.HealthCheckResponse.SERVING)
    async with Load(closed(2, 20), *servers, health_check=True) as load:
        await load.ready()
        assert counts(await load.result()) == {"b": 20}


async def test_a_deadline_that_passes(serve: Start) -> None:
    server = await serve()
    server.go.clear()
    async with Load(closed(3, 3), server, timeout=0.05) as load:
        await load.ready()
        result = await load.result()
    assert outcomes(result) == {("DEADLINE_EXCEEDED", "Deadline Exceeded"): 3}
    assert result.unattributed.failed == 3
    assert (result.messages_out, result.messages_in) == (3, 0)


async def test_a_reply_that_is_none_is_a_failed_call(serve: Start) -> None:
    async with Load(closed(2, 5), await serve(reply=b"\xff\xff\xff")) as load:
        await load.ready()
        result = await load.result()
    assert result.totals.failed == 5
    assert {one.code for one in result.outcomes} == {"INTERNAL"}


async def test_a_reply_without_a_name_is_not_attributed(serve: Start) -> None:
    async with Load(closed(1, 5), await serve("")) as load:
        await load.ready()
        result = await load.result()
    assert (result.backends, result.unattributed.ok) == ({}, 5)


async def test_stop_lets_calls_in_flight_end(serve: Start) -> None:
    server = await serve()
    server.go.clear()
    async with Load(closed(8, None), server) as load:
        await load.ready()
        running = load.start()
        await server.called(8)
        load.ledger.stop("test")
        server.go.set()
        result = await load.result(running)
    assert (result.totals.ok, result.totals.due) == (8, 8)
    assert result.partial == "stopped by test"


async def test_stop_wakes_an_engine_that_waits_for_time(serve: Start) -> None:
    async with Load(Constant(0.001, total=None, duration=None), await serve()) as load:
        await load.ready()
        running = load.start()
        await until(lambda: load.ledger.ok == 1)  # the next is due in 1000 s
        load.ledger.stop("test")
        assert (await load.result(running)).totals.due == 1


async def test_calls_without_deadline_get_a_grace_once_the_run_stops(
    serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.engines.grpc.STOP_GRACE", 0.05)
    server = await serve()
    server.go.clear()
    async with Load(closed(3, None), server, timeout=None) as load:
        await load.ready()
        running = load.start()
        await server.called(3)
        load.ledger.stop("test")
        result = await load.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled by the load generator"): 3}


@pytest.mark.parametrize("turns", range(6))
async def test_cancel_at_any_turn_loses_no_call(serve: Start, turns: int) -> None:
    """A task that is cancelled before its first step never runs its body: its call must count too."""
    server = await serve()
    server.go.clear()
    async with Load(closed(50, 500), server, timeout=None) as load:
        await load.ready()
        running = load.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        load.engine.cancel()
        while load.engine._finished is None:  # run has not begun: cancel again once it has
            await asyncio.sleep(0)
            load.engine.cancel()
        result = await load.result(running)
    assert result.totals.sent == 50
    assert {one.code for one in result.outcomes} == {"CANCELLED"}


async def test_cancelled_calls_say_by_whom(serve: Start) -> None:
    server = await serve()
    server.go.clear()
    async with Load(closed(5, 5), server) as load:
        await load.ready()
        running = load.start()
        await server.called(5)
        load.engine.cancel()
        result = await load.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled by the load generator"): 5}


async def test_a_channel_that_is_closed_under_its_calls(serve: Start) -> None:
    server = await serve()
    server.go.clear()
    async with Load(closed(5, 5), server) as load:
        await load.ready()
        running = load.start()
        await server.called(5)
        assert load.engine._current is not None
        await load.engine._current.connections[0].channel.close()
        result = await load.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled with its channel"): 5}


async def test_backends_are_swapped_without_losing_a_call(serve: Start) -> None:
    one, two, three = [await serve(name) for name in "abc"]
    async with Load(Constant(500, total=None, duration=None), one) as load:
        await load.ready()
        running = load.start()
        await one.called(20)
        await load.engine.update(backends(one, two, three))
        await two.called(20)
        await three.called(20)
        await load.engine.update(backends(three))
        until = len(three.peers) + 20
        await three.called(until)
        load.ledger.stop("test")
        result = await load.result(running)
    assert result.totals.failed == 0
    assert set(counts(result)) == {"a", "b", "c"}
    (*_, last_swap) = [event.at for event in result.events if event.name == "channel.swapped"]
    last_call = result.backends["a"].last_call
    assert last_call is not None
    assert last_call <= last_swap, "a call was sent to the old backends after the swap"
    names = [event.name for event in result.events]
    assert (names.count("channel.swapped"), names.count("backend.removed")) == (2, 2)
    assert names.count("backend.added") == 2
    assert result.evidence.addresses == [three.address]
    assert result.evidence.addresses_seen == sorted(s.address for s in (one, two, three))
    assert result.evidence.connections_lost == 0


async def test_old_backends_are_used_until_the_new_ones_have_connected(serve: Start) -> None:
    server = await serve()
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    silent = f"127.0.0.1:{listener.getsockname()[1]}"
    with listener:
        async with Load(Constant(500, total=None, duration=None), server) as load:
            await load.ready()
            running = load.start()
            swapping = asyncio.create_task(load.engine.update(backends(silent)))
            await server.called(50)
            assert not swapping.done()
            swapping.cancel()
            await asyncio.wait([swapping])
            load.ledger.stop("test")
            assert (await load.result(running)).totals.failed == 0


async def test_a_call_in_flight_outlives_a_swap(serve: Start) -> None:
    old, new = await serve("old"), await serve("new")
    old.go.clear()
    async with Load(closed(4, 8), old) as load:
        await load.ready()
        running = load.start()
        await old.called(4)
        await load.engine.update(backends(new))
        old.go.set()
        assert counts(await load.result(running)) == {"old": 4, "new": 4}


@pytest.mark.parametrize("policy", ["pick_first", "round_robin"])
async def test_a_lost_connection_is_noted(serve: Start, policy: str) -> None:
    server = await serve()
    async with Load(Constant(200, total=None, duration=None), server, policy=policy) as load:
        await load.ready()
        running = load.start()
        await server.called(5)
        await server.server.stop(None)
        await until(lambda: load.ledger.failed > 0)
        load.ledger.stop("test")
        result = await load.result(running)
    lost = [event for event in result.events if event.name == "connection.lost"]
    assert [event.attributes["address"] for event in lost] == [server.address]
    assert result.evidence.connections_lost == 1


async def test_open_load_drops_beyond_its_limit(serve: Start) -> None:
    server = await serve()
    server.go.clear()
    async with Load(Constant(1000, total=100, duration=None), server, max_in_flight=7) as load:
        await load.ready()
        running = load.start()
        await until(lambda: load.ledger.due == 100)
        server.go.set()
        totals = (await load.result(running)).totals
    assert (totals.due, totals.sent, totals.dropped, totals.ok) == (100, 7, 93, 7)


async def test_latency_counts_from_when_a_call_was_due(serve: Start) -> None:
    """A loop that is busy starts calls late: that is in the latency, and the lag tells of it."""
    async with Load(Constant(100, total=20, duration=None), await serve()) as load:
        await load.ready()
        running = load.start()
        await asyncio.sleep(0)
        began = load.ledger.now()
        while load.ledger.now() < began + SECOND // 5:
            pass
        result = await load.result(running)
    assert result.totals.ok == 20
    assert result.lag.max >= 0.15 * SECOND
    assert result.latency.max >= result.lag.max
    assert result.service.max < result.latency.max
