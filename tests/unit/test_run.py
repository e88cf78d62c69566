"""`loadgen run` in its own process against real servers."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.request import ProxyHandler, build_opener

import pytest

import lab.replicas
from lab.cluster import LocalCluster
from tests.server.replica import Replica
from tests.unit.command import Ended, Load, checked, environment, events, rules, run
from tests.unit.service import Service

PATIENCE = 60.0


@pytest.fixture
def start() -> Iterator[Callable[..., Replica]]:
    """Start servers with these options."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Replica(*options))


def target(replica: Replica) -> str:
    return f"127.0.0.1:{replica.port}"


def begun(replica: Replica) -> float:
    return replica.metric("grpc_server_started_total", grpc_method="Get")


def await_begun(replica: Replica, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while begun(replica) < number:
        assert time.monotonic() < deadline


class TestLoad:
    def test_closed(self, replica: Replica) -> None:
        before = begun(replica)
        content = run(target(replica), "-c", "20", "-n", "500")
        assert content["totals"] == {"due": 500, "sent": 500, "ok": 500, "failed": 0, "dropped": 0}
        assert list(content["backends"]) == [replica.serving["id"]]
        assert begun(replica) - before == 500
        assert content["partial"] is None
        assert content["outcomes"] == [{"code": "OK", "message": "", "calls": 500}]
        assert content["evidence"]["connections"] == len(events(content, "connection.made")) == 1
        assert rules(content) == {"connection_balanced"}
        assert content["plan"]["total"] == 500

    def test_without_limits_it_makes_200_calls(self, replica: Replica) -> None:
        assert run(target(replica))["totals"]["ok"] == 200

    def test_closed_for_a_time_with_a_pause(self, replica: Replica) -> None:
        content = run(target(replica), "-c", "2", "-z", "300ms", "--interval", "50ms")
        assert 2 <= content["totals"]["sent"] <= 2 * 6  # a pause more fits in no more calls than this
        assert content["pacing"] == "Closed{2 at a time, pause 0.05 s}"

    def test_open(self, replica: Replica) -> None:
        content = run(target(replica), "--rps", "500", "-z", "500ms")
        assert content["totals"] == {"due": 250, "sent": 250, "ok": 250, "failed": 0, "dropped": 0}
        assert content["duration_ns"] >= 498_000_000  # the last is due then
        assert content["pacing"] == "Constant{500/s}"

    def test_open_with_drops(self, start: Callable[..., Replica]) -> None:
        slow = start("--delay", "100ms")
        content = run(target(slow), "--rps", "200", "-n", "100", "--max-in-flight", "2")
        totals = content["totals"]
        assert totals["due"] == 100
        assert 2 <= totals["sent"] <= 20  # 2 at a time for 100 ms each, in half a second
        assert totals["failed"] == 0
        assert begun(slow) == totals["sent"]
        assert "some_dropped" in rules(content)

    def test_stages(self, replica: Replica) -> None:
        before = begun(replica)
        content = run(target(replica), "--stages", "300ms:200,300ms@100,300ms:0")
        assert content["totals"] == {"due": 75, "sent": 75, "ok": 75, "failed": 0, "dropped": 0}
        assert begun(replica) - before == 75
        assert content["pacing"] == "Stages{300ms:200, 300ms@100, 300ms:0}"
        assert content["plan"]["stages"] == "300ms:200,300ms@100,300ms:0"

    def test_poisson_can_be_repeated(self, replica: Replica) -> None:
        one = run(target(replica), "--rps", "300", "-z", "500ms", "--arrival", "poisson")
        seed = one["plan"]["seed"]
        assert one["pacing"] == f"Poisson{{300/s, seed {seed}}}"
        options = ("--rps", "300", "-z", "500ms", "--arrival", "poisson", "--seed", str(seed))
        again = run(target(replica), *options)
        assert again["totals"]["due"] == one["totals"]["due"] > 0
        assert again["plan"] == one["plan"]

    def test_a_warm_up_is_in_no_figure(self, replica: Replica) -> None:
        before = begun(replica)
        content = run(target(replica), "--rps", "100", "-n", "30", "--warmup", "400ms")
        assert content["totals"] == {"due": 30, "sent": 30, "ok": 30, "failed": 0, "dropped": 0}
        assert content["warmup"] == {"due": 40, "sent": 40, "ok": 40, "failed": 0, "dropped": 0}
        assert begun(replica) - before == 70
        assert content["pacing"] == "Constant{100/s} after 0.4 s of warm-up"
        (made,) = events(content, "connection.made")
        assert made["at_ns"] < 0  # the run begins after its warm-up

    def test_the_warm_up_of_closed_load(self, replica: Replica) -> None:
        before = begun(replica)
        content = run(target(replica), "-c", "4", "-n", "100", "--warmup", "200ms")
        assert content["totals"]["ok"] == 100
        assert content["warmup"]["ok"] == content["warmup"]["due"] >= 4
        assert begun(replica) - before == 100 + content["warmup"]["ok"]

    def test_the_warm_up_of_stages_is_their_first_part(self, replica: Replica) -> None:
        content = run(target(replica), "--stages", "500ms:100,500ms:100", "--warmup", "500ms")
        assert (content["warmup"]["due"], content["totals"]["due"]) == (25, 50)

    def test_a_warm_up_that_fails(self, start: Callable[..., Replica]) -> None:
        """Its calls end long after it, and are counted as its own."""
        slow = start("--delay", "10s")
        options = ("--rps", "100", "-n", "5", "--warmup", "100ms", "-t", "300ms")
        content = run(target(slow), *options, code=1)
        assert content["warmup"] == {"due": 10, "sent": 10, "ok": 0, "failed": 10, "dropped": 0}
        assert content["totals"]["failed"] == content["failed_latency"]["count"] == 5

    def test_failed_calls_are_counted_by_code_and_message(self, start: Callable[..., Replica]) -> None:
        content = run(target(start("--error-ratio", "0.25")), "-n", "100", "-c", "4")
        assert (content["totals"]["ok"], content["totals"]["failed"]) == (75, 25)
        assert content["outcomes"] == [
            {"code": "OK", "message": "", "calls": 75},
            {"code": "UNAVAILABLE", "message": "it was told to fail this call", "calls": 25},
        ]
        assert content["unattributed"]["failed"] == 25
        assert "some_failed" in rules(content)

    def test_metadata_attributes_failed_calls_too(self, start: Callable[..., Replica]) -> None:
        flaky = start("--error-ratio", "0.25")
        content = run(target(flaky), "-n", "100", "--backend-from", "metadata:replica-id")
        (backend,) = content["backends"].values()
        assert list(content["backends"]) == [flaky.serving["id"]]
        assert (backend["calls"], backend["ok"], backend["failed"]) == (100, 75, 25)
        assert content["unattributed"]["calls"] == 0

    def test_every_call_fails(self, start: Callable[..., Replica]) -> None:
        content = run(target(start("--delay", "10s")), "-n", "6", "-c", "3", "-t", "50ms", code=1)
        assert content["totals"]["failed"] == 6
        assert [one["code"] for one in content["outcomes"]] == ["DEADLINE_EXCEEDED"]
        assert content["failed_latency"]["min_ns"] >= 49_000_000
        assert "nothing_succeeded" in rules(content)

    def test_several_connections(self, replica: Replica) -> None:
        content = run(target(replica), "-n", "60", "-c", "6", "--connections", "3")
        assert content["totals"]["ok"] == 60
        assert content["evidence"]["connections"] == len(events(content, "connection.made")) == 3

    def test_a_connection_for_every_call(self, replica: Replica) -> None:
        content = run(target(replica), "-n", "40", "-c", "4", "--connections", "per-call")
        assert content["totals"]["ok"] == 40
        assert content["evidence"]["connections"] == 40
        assert content["plan"]["connections"] == "per-call"

    def test_metadata_is_sent_and_kept_out_of_the_result(self) -> None:
        with Service() as service:
            content = run(service.target, "-n", "5", "-m", "Token: secret word", "-m", "x-a:1")
        assert len(service.metadata) == 5
        for metadata in service.metadata:
            assert ("token", "secret word") in metadata
            assert ("x-a", "1") in metadata
        assert content["plan"]["metadata"] == ["token:...", "x-a:..."]
        assert "secret" not in json.dumps(content)

    def test_no_answer_says_who_sent_it(self, replica: Replica) -> None:
        content = run(target(replica), "-n", "5", "--backend-from", "metadata:pod")
        assert (content["backends"], content["unattributed"]["ok"]) == ({}, 5)
        assert "unknown_backends" in rules(content)


class TestStalls:
    def test_open_load_tells_of_stalls_and_closed_load_warns(self, start: Callable[..., Replica]) -> None:
        stalling = target(start("--stall-every", "5s", "--stall-for", "1s"))
        with (
            Load(stalling, "--rps", "100", "-z", "5s") as open_load,
            Load(stalling, "-c", "4", "--interval", "5ms", "-z", "5s") as closed_load,
        ):
            opened, closed = open_load.result(), closed_load.result()
        assert opened["summary"]["latency_s"]["p99"] > 0.5
        assert "closed_hides_stalls" not in rules(opened)
        assert closed["summary"]["latency_s"]["p99"] < 0.5
        assert closed["summary"]["latency_s"]["max"] > 0.5
        assert "closed_hides_stalls" in rules(closed)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_calls_in_flight_end_and_the_report_is_partial(self, number: signal.Signals) -> None:
        with Service(held=True) as service, Load(service.target, "-c", "4", "-n", "1000") as load:
            service.await_calls(4)
            load.signal(number)
            assert load.say().startswith("loadgen: calling ")
            assert load.say().startswith(f"loadgen: {number.name}: ending the calls in flight")
            service.answer.set()
            content = load.result()
        assert content["totals"] == {"due": 4, "sent": 4, "ok": 4, "failed": 0, "dropped": 0}
        assert content["partial"] == f"stopped by {number.name}"
        assert "stopped_early" in rules(content)
        assert len(service.metadata) == 4

    def test_in_the_warm_up(self) -> None:
        options = ("-c", "4", "-n", "1000", "--warmup", "10m")
        with Service(held=True) as service, Load(service.target, *options) as load:
            service.await_calls(4)
            load.signal(signal.SIGINT)
            assert load.say().startswith("loadgen: calling ")
            assert load.say().startswith("loadgen: SIGINT: ending the calls in flight")
            service.answer.set()
            content = load.result(code=1)
        assert content["warmup"] == {"due": 4, "sent": 4, "ok": 4, "failed": 0, "dropped": 0}
        assert content["totals"]["due"] == 0
        assert rules(content) == {"nothing_succeeded", "stopped_early"}

    def test_open_load(self, replica: Replica) -> None:
        with Load(target(replica), "--rps", "300", "-z", "10m") as load:
            before = begun(replica)
            await_begun(replica, int(before) + 50)
            load.signal(signal.SIGINT)
            content = load.result()
        assert content["totals"]["ok"] == content["totals"]["due"] >= 50
        assert content["partial"] == "stopped by SIGINT"

    def test_a_call_in_flight_has_its_deadline_and_no_longer(self, start: Callable[..., Replica]) -> None:
        slow = start("--delay", "60s")
        with Load(target(slow), "-c", "3", "-t", "2s") as load:
            slow.await_in_flight(3)
            load.signal(signal.SIGTERM)
            content = load.result(code=1)
        assert [(one["code"], one["calls"]) for one in content["outcomes"]] == [("DEADLINE_EXCEEDED", 3)]
        assert content["partial"] == "stopped by SIGTERM"

    def test_a_second_signal_cancels_what_never_ends(self, start: Callable[..., Replica]) -> None:
        slow = start("--delay", "60s")
        with Load(target(slow), "-c", "3", "-t", "10m") as load:
            slow.await_in_flight(3)
            load.signal(signal.SIGINT)
            assert load.say().startswith("loadgen: calling ")
            assert "once more cancels them" in load.say()
            load.signal(signal.SIGINT)
            content = load.result(code=1)
        assert content["outcomes"] == [
            {"code": "CANCELLED", "message": "cancelled by the load generator", "calls": 3}
        ]
        assert content["duration_ns"] < 50_000_000_000
        slow.await_in_flight(0)  # the server heard of it

    def test_before_the_first_call(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
        listener.settimeout(PATIENCE)
        silent = f"127.0.0.1:{listener.getsockname()[1]}"
        with listener, Load(silent, "--ready-timeout", "10m") as load:
            connection, _ = listener.accept()
            with connection:
                load.signal(signal.SIGINT)
                ended = load.end()
        assert ended == Ended(1, "", "loadgen: error: stopped before the first call\n")


class TestServers:
    def test_one_is_killed_in_the_middle(self, start: Callable[..., Replica]) -> None:
        victim = start()
        with Load(target(victim), "--rps", "500", "-n", "1500", "-t", "5s") as load:
            await_begun(victim, 100)
            victim.process.kill()
            content = load.result()
        totals = content["totals"]
        assert totals["ok"] >= 100
        assert totals["failed"] > 0
        assert totals["due"] == 1500
        assert {one["code"] for one in content["outcomes"]} == {"OK", "UNAVAILABLE"}
        assert content["evidence"]["connections_lost"] == len(events(content, "connection.lost")) == 1
        assert "some_failed" in rules(content)

    async def test_round_robin_is_even_and_polling_follows_without_a_failed_call(self) -> None:
        async with LocalCluster(2, server_options={"drain-delay": "1s"}) as cluster:
            first = await cluster.ready()
            load = await start_load(
                cluster.target(headless=True),
                *("--rps", "300", "-z", "10m", "-o", "-", "--lb-policy", "round_robin"),
                *("--discovery", "poll", "--poll-interval", "200ms", "--expect-backends", "2"),
            )
            try:
                for replica in first:
                    await called(replica, 20)
                await cluster.scale(4)
                new = (await cluster.ready())[2:]
                for replica in new:
                    await called(replica, 20)
                await cluster.scale(2)
                await cluster.drained()
                load.send_signal(signal.SIGINT)
                async with asyncio.timeout(PATIENCE):
                    out, err = await load.communicate()
            finally:
                if load.returncode is None:
                    load.kill()
                    await load.wait()
        assert load.returncode == 0, err
        content = checked(out.decode())
        assert content["totals"]["failed"] == 0
        assert set(content["backends"]) == {replica.id for replica in (*first, *new)}
        assert {e["address"] for e in events(content, "backend.added")} == {
            f"{replica.address}:{replica.port}" for replica in new
        }
        assert len(events(content, "backend.removed")) == 2
        assert content["evidence"]["addresses"] == sorted(f"{r.address}:{r.port}" for r in first)
        assert len(content["evidence"]["addresses_seen"]) == 4
        assert "replicas_changed" in rules(content)


async def called(replica: lab.replicas.Replica, number: int) -> None:
    """Wait until the replica has got so many calls."""
    url = f"http://{replica.address}:{replica.metrics_port}/metrics"

    def begun() -> float:
        with build_opener(ProxyHandler({})).open(url, timeout=PATIENCE) as response:
            text = response.read().decode()
        (value,) = re.findall(r'^grpc_server_started_total\{.*"Get".*\} (\S+)$', text, re.MULTILINE)
        return float(value)

    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(begun) < number:
            pass


async def start_load(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadgen", "run", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({}),
    )
