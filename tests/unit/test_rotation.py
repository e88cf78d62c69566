"""Certificates and replicas that change while a load goes on."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import LocalCluster
from lab.dns import DnsServer
from lab.zone import Zone
from loadgen import resultjson
from loadgen.report import overtime
from tests.certificates import Authority, Secret
from tests.server.replica import Replica
from tests.unit.command import Load, events

NAME = "service.cluster.local"


async def test_backends_that_come_later_are_asked_for_their_certificate(tmp_path: Path) -> None:
    """With --insecure-skip-verify and discovery poll."""
    first, second = (
        Authority(tmp_path, ca).issue("replica.test", to=f"{ca}-replica").server for ca in ("one", "two")
    )
    async with DnsServer(Zone("cluster.local")) as dns:
        with Replica("--host", "127.0.0.2", *first) as one:
            at = ("--host", "127.0.0.3", "--port", str(one.port))
            with Replica(*at, *second) as two:
                dns.zone.set(NAME, ["127.0.0.2"])
                target = f"dns://127.0.0.1:{dns.port}/{NAME}:{one.port}"
                found = ("--discovery", "poll", "--poll-interval", "50ms", "--lb-policy", "round_robin")
                options = ("--insecure-skip-verify", "--rps", "50", "-z", "3s")
                with Load(target, *options, *found) as load:
                    await asyncio.to_thread(load.say)
                    dns.zone.set(NAME, ["127.0.0.2", "127.0.0.3"])
                    content = await asyncio.to_thread(load.result)
    assert content["totals"]["failed"] == 0
    assert set(content["backends"]) == {one.serving["id"], two.serving["id"]}


async def test_a_server_s_certificate_changes_and_no_call_fails(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    both = tmp_path / "both.pem"
    both.write_bytes(old.pem + new.pem)
    secret = Secret(tmp_path / "secret")
    secret.write(old.issue("localhost", to="first"))
    with Replica(*secret.options) as replica:
        target = f"localhost:{replica.port}"
        options = ("--cacert", str(both), "--rps", "50", "-z", "2s", "--connections", "per-call")
        with Load(target, *options) as load:
            await asyncio.to_thread(load.say)
            second = new.issue("localhost", to="second")
            secret.write(second)
            content = await asyncio.to_thread(load.result)
        shown = ssl.get_server_certificate(("127.0.0.1", replica.port))
        assert shown.strip() == second.certificate.read_text().strip()
        assert replica.line()["event"] == "certificate renewed"
    assert (content["totals"]["ok"], content["totals"]["failed"]) == (100, 0)


async def test_a_report_says_when_the_client_learnt_of_each_replica_reached_it_and_left_it() -> None:
    """A cluster is scaled during a run."""
    poll = 0.25
    options = ("--rps", "100", "-z", "6s", "--lb-policy", "round_robin", "--expect-backends", "2")
    async with LocalCluster(2) as cluster:
        found = ("--discovery", "poll", "--poll-interval", f"{poll}s")
        with Load(cluster.target(headless=True), *options, *found) as load:
            await asyncio.to_thread(load.say)
            await asyncio.sleep(0.5)
            await cluster.scale(1)
            await asyncio.sleep(0.5)
            await cluster.scale(2)
            content = await asyncio.to_thread(load.result)
        replicas = await cluster.replicas()
    assert content["totals"]["failed"] == 0
    started, backends = content["started_ns"], content["backends"]
    stayed, left, came = (backends[replica.id] for replica in replicas)
    assert [one["address"] for one in (stayed, left, came)] == [f"{r.address}:{r.port}" for r in replicas]
    for one in (stayed, left):
        assert one["known_ns"] <= one["connected_ns"] + 2_000_000  # gRPC's own clock is 1 ms exact
        assert one["connected_ns"] < one["first_call_ns"]
        assert one["known_ns"] < 0
    ready = replicas[2].ready_at
    assert ready is not None
    patience = int((poll + 2) * 1e9)
    assert ready - started <= came["known_ns"] <= ready - started + patience
    assert came["known_ns"] - 2_000_000 <= came["connected_ns"] < came["first_call_ns"]
    assert came["first_call_ns"] <= ready - started + patience
    (removed,) = events(content, "backend.removed")
    assert removed["address"] == left["address"]
    known = content["summary"]["over_time"]["backends_known"]
    assert (known[0], min(known), known[-1]) == (2, 1, 2)
    _, _, *rows = overtime.delays(resultjson.from_json(content))
    table = {name: cells for name, *cells in map(str.split, rows)}
    assert list(table)[2] == replicas[2].id, "in order of first call"
    for replica in replicas:
        one = backends[replica.id]
        times = [one[f"{name}_ns"] for name in ("known", "connected", "first_call", "last_call")]
        assert table[replica.id][:4] == [f"{time / 1e9:+.2f}" for time in times]
    at, after = table[replicas[1].id][4:]
    assert at == f"{removed['at_ns'] / 1e9:+.2f}"
    assert not int(after) or left["last_call_ns"] > removed["at_ns"]
    assert table[replicas[0].id][4:] == ["-", "-"]


async def _scaled_under_load(cluster: LocalCluster, *, headless: bool, options: tuple[str, ...]) -> Any:
    """Add a replica to the one that is there, and stop once the report can have its calls."""
    load_of = ("--rps", "100", "-z", "3s", "--discovery", "dns", "--lb-policy", "round_robin")
    with Load(cluster.target(headless=headless), *load_of, *options) as load:
        await asyncio.to_thread(load.say)
        await cluster.scale(2)
        content = await asyncio.to_thread(load.result)
    assert (content["totals"]["sent"], content["totals"]["failed"]) == (300, 0)
    return content


@pytest.mark.parametrize("headless", [True, False], ids=["headless", "ClusterIP"])
async def test_rotated_channels_reach_a_new_replica(headless: bool) -> None:
    """Behind a ClusterIP too, where only a new connection can get to another replica."""
    async with LocalCluster(1, server_options={}) as cluster:
        options = ("--rotate-connections", "300ms")
        content = await _scaled_under_load(cluster, headless=headless, options=options)
        assert set(content["backends"]) == {one.id for one in await cluster.replicas()}
    assert 5 <= len(events(content, "channel.rotated")) <= 10
    assert not events(content, "connection.lost")


async def test_servers_that_end_connections_make_grpc_look_up_if_its_cooldown_lets_it() -> None:
    async with LocalCluster(1, server_options={"max-connection-age": "300ms"}) as cluster:
        options = ("--dns-min-time-between-resolutions", "100ms")
        content = await _scaled_under_load(cluster, headless=True, options=options)
        assert set(content["backends"]) == {one.id for one in await cluster.replicas()}
