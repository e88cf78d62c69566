"""What channels are told beside where to connect: retries, keepalive, compression."""

import asyncio
import json
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from loadgen.engines.channels import Keepalive, Retry
from loadgen.options import options_of
from loadgen.plan import Plan
from loadgen.target import Uri
from service_proto.service_pb2 import Req, Res
from tests.server.replica import Replica
from tests.unit.command import Load, loadgen, run
from tests.unit.test_engine_grpc import Load as EngineLoad
from tests.unit.test_engine_grpc import backends, closed
from tests.unit.waiting import PATIENCE

POLICIES = ["pick_first", "round_robin"]


class Flaky:
    """Fails each call's first attempts, and counts the attempts that it got."""

    def __init__(self, failing: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._failing = failing
        self._code = code
        self._lock = threading.Lock()
        self.attempts = 0
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        get = grpc.unary_unary_rpc_method_handler(self._get, Req.FromString, Res.SerializeToString)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("Service", {"Get": get}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _get(self, _request: Req, context: grpc.ServicerContext) -> Res:
        with self._lock:
            self.attempts += 1
        before = int(dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", 0))  # gRFC A6
        if before < self._failing:
            context.abort(self._code, "not yet")
        return Res(id="flaky")

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def flaky() -> Iterator[Any]:
    made: list[Flaky] = []

    def start(*arguments: Any) -> Flaky:
        made.append(Flaky(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.stop()


class TestRetries:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_they_are_counted(self, policy: str, flaky: Any) -> None:
        servers = [flaky(2), flaky(2)]
        target = "ipv4:" + ",".join(one.address for one in servers)
        content = run(target, "--retry", "2", "-n", "30", "-c", "3", "--lb-policy", policy)
        assert content["totals"]["ok"] == 30
        assert content["evidence"]["retries"] == 60 == sum(one.attempts for one in servers) - 30
        assert "retries_hide" in [one["rule"] for one in content["summary"]["verdict"]]

    def test_off_by_default(self, flaky: Any) -> None:
        content = run(flaky(1).address, "-n", "5", code=1)
        assert content["totals"]["failed"] == 5
        assert content["evidence"]["retries"] is None

    def test_those_that_do_not_help(self, flaky: Any) -> None:
        server = flaky(9)
        content = run(server.address, "--retry", "4", "-n", "3", code=1)
        assert (content["totals"]["failed"], content["evidence"]["retries"]) == (3, 12)
        assert server.attempts == 15

    def test_only_for_the_codes_that_are_said(self, flaky: Any) -> None:
        server = flaky(1, grpc.StatusCode.ABORTED)
        assert run(server.address, "--retry", "1", "-n", "3", code=1)["evidence"]["retries"] == 0
        content = run(server.address, "--retry", "1", "--retry-codes", "unavailable,Aborted", "-n", "3")
        assert (content["totals"]["ok"], content["plan"]["retry_codes"]) == (3, "UNAVAILABLE,ABORTED")

    @pytest.mark.parametrize(
        "options", [["--connections", "per-call"], ["--health-check", "--lb-policy", "round_robin"]], ids=str
    )
    def test_where_they_cannot_be_counted_that_is_said(self, options: list[str], flaky: Any) -> None:
        ended = loadgen("run", flaky(1).address, "--retry", "1", "-n", "5", *options)
        assert ended.code == 0, ended.err
        assert re.search(r"^  Retries: +cannot be known$", ended.out, re.MULTILINE)

    async def test_those_on_channels_that_were_swapped_count_too(self, flaky: Any) -> None:
        servers = [flaky(1), flaky(1)]
        load = EngineLoad(closed(4, 400), servers[0].address, retry=Retry(1, ("UNAVAILABLE",)))
        async with load:
            await load.ready()
            running = load.start()
            await load.engine.update(backends(servers[1].address))
            async with asyncio.timeout(PATIENCE):
                await running
            await asyncio.gather(*load.engine._retired)
            assert load.engine.connections().attempts == 800 == sum(one.attempts for one in servers)


class TestKeepalive:
    def test_a_frozen_server_is_noticed(self) -> None:
        with Replica() as replica:
            options = ("--keepalive-time", "500ms", "--keepalive-timeout", "500ms", "-t", "60s")
            with Load(f"127.0.0.1:{replica.port}", *options, "--rps", "20", "-z", "3s") as load:
                while replica.metric("server_calls_in_flight") or not replica.metric(
                    "grpc_server_started_total", grpc_method="Get"
                ):
                    pass
                replica.process.send_signal(signal.SIGSTOP)
                try:
                    content = load.result()
                finally:
                    replica.process.send_signal(signal.SIGCONT)
        assert content["totals"]["failed"] > 0
        assert content["duration_ns"] < 20e9
        assert content["evidence"]["connections_lost"] == 1

    @pytest.mark.parametrize(
        ("timeout", "expected"),
        [(None, None), (2000, 2000)],
    )
    def test_arguments(self, timeout: int | None, expected: int | None) -> None:
        made = dict(Keepalive(10_000, timeout).arguments())
        assert made["grpc.keepalive_time_ms"] == 10_000
        assert made.get("grpc.keepalive_timeout_ms") == expected
        assert made.get("grpc.http2.ping_timeout_ms") == expected


@pytest.fixture
async def bare() -> AsyncIterator[tuple[str, bytearray]]:
    """A server that says it speaks HTTP/2 and keeps all that it hears."""
    heard = bytearray()
    listening: set[asyncio.Task[None] | None] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.add(asyncio.current_task())
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # SETTINGS (RFC 9113, 6.5)
        while piece := await reader.read(4096):
            heard.extend(piece)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    await asyncio.gather(*filter(None, listening))


class TestCompression:
    @pytest.mark.parametrize("algorithm", ["gzip", "deflate", None])
    async def test_it_is_on_the_wire(self, algorithm: str | None, bare: tuple[str, bytearray]) -> None:
        address, heard = bare
        plan = Plan(target=address, compression=algorithm)
        async with options_of(plan, Uri.parse(address)).channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/Service/Get")(b"x" * 5000, timeout=0.5)
        name = rb"grpc-encoding.{1,2}(gzip|deflate)"  # HPACK literals (RFC 7541, 6.2)
        assert [found.decode() for found in re.findall(name, heard)] == ([algorithm] if algorithm else [])
        assert (len(heard) < 2000) == (algorithm is not None)

    @pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
    def test_the_server_takes_it(self, algorithm: str, replica: Replica) -> None:
        assert run(f"127.0.0.1:{replica.port}", "--compression", algorithm)["totals"]["failed"] == 0


def test_nothing_is_set_that_was_not_asked_for() -> None:
    made = dict(options_of(Plan(target="x:1"), Uri.parse("x:1")).arguments())
    assert "methodConfig" not in json.loads(made["grpc.service_config"])
    assert not [name for name in made if "keepalive" in name or "ping" in name or "ssl" in name]
    assert "grpc.default_authority" not in made
