"""Streams and counting by address in the engine `grpc`: each call is finished once, however it ends."""

import asyncio
from typing import Any

import pytest

from loadgen.discovery import Backends
from loadgen.engines.exchange import AS_GIVEN, Streaming
from loadgen.pacing import Constant
from loadgen.payload import Stream
from loadgen.target import Target, Uri
from tests.unit.shop import Shop, method
from tests.unit.test_engine_grpc import Load, Start, backends, closed, counts, outcomes
from tests.unit.test_engine_grpc import serve as serve  # noqa: PLC0414 - a fixture
from tests.unit.waiting import until

STREAMS = ["Add", "List", "Chat"]


def target(shop: Shop, called: str, **fields: Any) -> Target:
    """Return a target whose streams never end: they hang, or the client's is endless."""
    found = method(called)
    message = found.request(**fields).SerializeToString()
    return Target(Uri.parse(shop.target), found, Stream([message], 2) if found.sends_many else message)


def hanging(shop: Shop, name: str) -> Target:
    return target(shop, name, **({"count": -1} if name == "List" else {"name": "hang"}))


def load(shop: Shop, target: Target, concurrency: int, total: int | None, **options: Any) -> Load:
    return Load(closed(concurrency, total), shop.target, target=target, backend_from="peer", **options)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("turns", range(6))
async def test_cancel_at_any_turn_loses_no_call(name: str, turns: int) -> None:
    with Shop(held=True) as shop:
        async with load(shop, hanging(shop, name), 20, 200, timeout=None) as one:
            await one.ready()
            running = one.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            one.engine.cancel()
            while one.engine._finished is None:
                await asyncio.sleep(0)
                one.engine.cancel()
            result = await one.result(running)
    assert result.totals.sent == 20
    assert {outcome.code for outcome in result.outcomes} == {"CANCELLED"}


@pytest.mark.parametrize("name", STREAMS)
async def test_cancel_in_the_middle(name: str) -> None:
    with Shop() as shop:
        async with load(shop, hanging(shop, name), 5, 5) as one:
            await one.ready()
            running = one.start()
            await asyncio.to_thread(shop.await_calls, 5)
            one.engine.cancel()
            result = await one.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled by the load generator"): 5}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_deadline_that_passes(name: str) -> None:
    with Shop() as shop:
        async with load(shop, hanging(shop, name), 3, 6, timeout=0.1) as one:
            await one.ready()
            result = await one.result()
    assert outcomes(result) == {("DEADLINE_EXCEEDED", "Deadline Exceeded"): 6}
    assert result.backends[shop.target].failed == 6


@pytest.mark.parametrize("name", STREAMS)
async def test_stop_gives_streams_without_deadline_a_grace(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.engines.grpc.STOP_GRACE", 0.05)
    with Shop() as shop:
        async with load(shop, hanging(shop, name), 3, None, timeout=None) as one:
            await one.ready()
            running = one.start()
            await asyncio.to_thread(shop.await_calls, 3)
            one.ledger.stop("test")
            result = await one.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled by the load generator"): 3}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_channel_that_is_closed_under_its_streams(name: str) -> None:
    with Shop() as shop:
        async with load(shop, hanging(shop, name), 4, 4) as one:
            await one.ready()
            running = one.start()
            await asyncio.to_thread(shop.await_calls, 4)
            assert one.engine._current is not None
            await one.engine._current.connections[0].channel.close()
            result = await one.result(running)
    assert outcomes(result) == {("CANCELLED", "cancelled with its channel"): 4}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("connections", [1, 3, 0])
async def test_streams_end_as_asked(name: str, connections: int) -> None:
    with Shop() as shop:
        source = "none" if connections == 0 else "peer"
        async with Load(
            closed(4, 20),
            shop.target,
            policy="pick_first",
            connections=connections,
            target=target(shop, name, **({"count": 3} if name == "List" else {"name": "a"})),
            backend_from=source,
        ) as one:
            await one.ready()
            result = await one.result()
    assert result.totals.ok == 20
    sent, received = {"Add": (2, 1), "List": (1, 3), "Chat": (2, 2)}[name]
    assert (result.messages_out, result.messages_in) == (20 * sent, 20 * received)
    assert sum(len(got) for _, got in shop.got) == 20 * sent


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_was_cancelled_as_asked_is_ok(name: str) -> None:
    with Shop() as shop:
        streaming = Streaming(cancel_after=0.05)
        async with load(shop, hanging(shop, name), 3, 6, streaming=streaming, timeout=None) as one:
            await one.ready()
            result = await one.result()
    assert outcomes(result) == {("OK", ""): 6}


async def test_a_swap_keeps_what_old_connections_counted(serve: Start) -> None:
    one, two = await serve("one"), await serve("two")
    async with Load(Constant(500, total=None, duration=None), one, backend_from="peer") as load:
        await load.ready()
        running = load.start()
        await one.called(60)
        await load.engine.update(backends(two))
        await two.called(60)
        load.ledger.stop("test")
        result = await load.result(running)
    assert counts(result) == {one.address: len(one.peers), two.address: len(two.peers)}
    assert result.unattributed.calls == 0
    timeline = result.timeline
    assert sum(timeline.sent) == result.totals.sent
    assert {name: sum(row) for name, row in timeline.backends.items()} == counts(result)


async def test_what_a_lost_connection_counted_is_attributed(serve: Start) -> None:
    one, two = await serve("one"), await serve("two")
    async with Load(Constant(500, total=None, duration=None), one, two, backend_from="peer") as load:
        await load.ready()
        running = load.start()
        await one.called(60)
        await one.server.stop(None)
        after = len(two.peers) + 60
        await two.called(after)
        load.ledger.stop("test")
        result = await load.result(running)
    # round_robin keeps its subchannels, and with them their counts; what was on its way to a server that
    # stops fails, and it is not sure that the server saw it
    left = result.backends[one.address]
    assert left.ok <= len(one.peers) <= left.calls
    assert result.backends[two.address].ok == len(two.peers)
    assert result.unattributed.ok == 0


async def test_a_lost_connection_of_pick_first_takes_at_most_its_last_counts_along(serve: Start) -> None:
    one = await serve("one")
    async with Load(
        Constant(500, total=None, duration=None), one, policy="pick_first", backend_from="peer"
    ) as load:
        await load.ready()
        running = load.start()
        await until(lambda: load.engine._log.counted() > 50)
        await one.server.stop(None)
        await until(lambda: load.ledger.failed > 5)
        load.ledger.stop("test")
        result = await load.result(running)
    assert 0 < result.backends[one.address].ok <= result.totals.ok
    assert sum(result.timeline.backends[one.address]) == result.backends[one.address].calls
    place = result.backends[one.address]
    assert place.address == one.address
    assert place.connected is not None
    assert place.first_call is not None
    assert place.connected <= place.first_call


async def test_calls_of_a_health_check_are_not_counted(serve: Start) -> None:
    one, two = await serve("one"), await serve("two")
    for server in (one, two):
        await server.health.set("", 1)  # type: ignore[arg-type]
    async with Load(closed(4, 100), one, two, health_check=True, backend_from="peer") as load:
        await load.ready()
        result = await load.result()
    assert counts(result) == {one.address: len(one.peers), two.address: len(two.peers)}
    assert len(one.peers) + len(two.peers) == 100


async def test_a_burst_on_cold_channels_is_counted(serve: Start) -> None:
    one = await serve("one")
    async with Load(closed(50, 50), one, backend_from="peer") as load:
        await load.engine.update(Backends(load.backends.uri, load.backends.addresses))
        result = await load.result()
    assert counts(result) == {one.address: 50}


async def test_the_first_status_stands() -> None:
    """The server ends streams while the client still sends: gRPC may put INTERNAL over what it said."""
    with Shop() as shop:
        found = method("Chat")
        content = found.request(name="fail").SerializeToString()
        endless = Target(Uri.parse(shop.target), found, Stream([content], 500))
        async with load(shop, endless, 8, 200, streaming=AS_GIVEN) as one:
            await one.ready()
            result = await one.result()
    assert outcomes(result) == {("PERMISSION_DENIED", "as asked"): 200}
    await until(lambda: len(shop.got) == 200)
