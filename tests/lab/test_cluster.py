"""The cluster on loopback with real servers, and gRPC's own resolver as its client."""

import asyncio
import time

import grpc
import psutil
import pytest

from lab.cluster import HEADLESS, SERVICE, LocalCluster
from lab.errors import LabError
from lab.replicas import State

PATIENCE = 30
pytestmark = pytest.mark.usefixtures("nothing_left")


def names(replicas):
    return [replica.name for replica in replicas]


def published(cluster):
    return set(cluster.zone.lookup(HEADLESS))


async def reach(client, ids):
    """Call until each of the replicas has answered."""
    left = set(ids)
    async with asyncio.timeout(PATIENCE):
        while left:
            left.discard(await client.get())


async def test_grpc_finds_all_replicas_of_the_headless_service(connect):
    async with LocalCluster(3) as cluster:
        ready = await cluster.ready()
        client = connect(cluster.target(headless=True), round_robin=True)
        await reach(client, {replica.id for replica in ready})
        answers = [await client.get() for _ in range(300)]
        assert {answers.count(replica.id) for replica in ready} == {100}
        assert cluster.zone.queries == {(HEADLESS, "A"): 1, (HEADLESS, "AAAA"): 1}
        assert cluster.proxy.connections == {}


@pytest.mark.parametrize("round_robin", [False, True])
async def test_one_connection_to_the_cluster_ip_is_one_replica(connect, round_robin):
    async with LocalCluster(3, seed=1) as cluster:
        client = connect(cluster.target(headless=False), round_robin=round_robin)
        assert len({await client.get() for _ in range(300)}) == 1
        assert cluster.proxy.connections.total() == 1
        assert cluster.zone.lookup(SERVICE) == (cluster.proxy.host,)


async def test_connections_to_the_cluster_ip_are_spread(connect):
    async with LocalCluster(3, seed=1) as cluster:
        clients = [connect(cluster.target(headless=False)) for _ in range(30)]
        ids = set(await asyncio.gather(*(client.get() for client in clients)))
        assert ids == {replica.id for replica in await cluster.ready()}


async def test_options_of_the_first_replica_are_no_others(connect):
    async with LocalCluster(2, slow_options={"delay": "1h"}) as cluster:
        slow, fast = await cluster.ready()
        with pytest.raises(grpc.aio.AioRpcError):
            await connect(f"{slow.address}:{slow.port}").get(deadline=0.2)
        assert await connect(f"{fast.address}:{fast.port}").get() == fast.id


async def test_scaling_up_and_down():
    left = {}

    def hear(replica):
        if replica.state is State.TERMINATING:
            left[replica.name] = published(cluster)

    before = time.time_ns()
    async with LocalCluster(2, on_change=hear, server_options={"drain-delay": "0s"}) as cluster:
        first = await cluster.ready()
        assert names(first) == ["server-1", "server-2"]
        assert len({replica.address for replica in first}) == len({r.id for r in first}) == 2
        await cluster.scale(4)
        four = await cluster.ready()
        assert four[:2] == first
        assert published(cluster) == {replica.address for replica in four}
        assert all(before < r.started_at < r.ready_at < time.time_ns() for r in four)

        await cluster.scale(1)
        assert await cluster.ready() == four[:1]
        # the newest go first, and each is out of DNS before it gets its SIGTERM
        assert list(left) == ["server-4", "server-3", "server-2"]
        for name, addresses in left.items():
            assert {r.address for r in four if r.name == name}.isdisjoint(addresses)
        await cluster.drained()
        gone = (await cluster.replicas())[1:]
        assert [replica.exit_code for replica in gone] == [0, 0, 0]
        assert all(r.ready_at < r.terminating_at < r.exited_at for r in gone)

        await cluster.scale(2)
        new = (await cluster.ready())[1]
        assert new.name == "server-5"
        assert new.address not in {replica.address for replica in four}


async def test_a_call_in_flight_survives_scaling_down(connect):
    async with LocalCluster(2, server_options={"delay": "400ms", "drain-delay": "1s"}) as cluster:
        clients = [connect(cluster.target(headless=False)) for _ in range(8)]
        ready = {replica.id for replica in await cluster.ready()}
        assert set(await asyncio.gather(*(client.get() for client in clients))) == ready
        calls = [asyncio.create_task(client.get()) for client in clients]
        await asyncio.sleep(0)  # they start
        await cluster.scale(0)
        assert set(await asyncio.gather(*calls)) == ready


async def test_without_replicas_there_is_no_name_and_no_connection():
    async with LocalCluster(0) as cluster:
        assert await cluster.ready() == []
        assert published(cluster) == set()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(cluster.proxy.host, cluster.proxy.port)


async def test_a_killed_replica_leaves_and_is_replaced_by_scaling():
    async with LocalCluster(2) as cluster:
        await cluster.kill("server-1")
        (left,) = await cluster.ready()
        assert left.name == "server-2"
        assert published(cluster) == {left.address}
        await cluster.scale(2)
        assert names(await cluster.ready()) == ["server-2", "server-3"]


async def test_a_replica_that_dies_by_itself_leaves():
    changed = asyncio.Event()
    others = psutil.Process().children()  # servers that other tests share
    async with LocalCluster(1, on_change=lambda r: r.exited_at and changed.set()) as cluster:
        mine = [child for child in psutil.Process().children() if child not in others]
        (server,) = [child for child in mine if "server" in child.cmdline()]
        server.kill()
        async with asyncio.timeout(PATIENCE):
            await changed.wait()
        assert await cluster.ready() == []
        assert published(cluster) == set()


async def test_one_replica_can_be_told_to_leave_or_be_frozen():
    async with LocalCluster(2, server_options={"drain-delay": "0s"}) as cluster:
        cluster.terminate("server-1")
        assert names(await cluster.ready()) == ["server-2"]
        cluster.freeze("server-2")
        assert [replica.frozen for replica in await cluster.ready()] == [True]
        cluster.thaw("server-2")
        assert [replica.frozen for replica in await cluster.ready()] == [False]
        await cluster.drained()
        for act in (cluster.terminate, cluster.freeze, cluster.thaw):
            with pytest.raises(LabError, match="server-1 is gone"):
                act("server-1")
            with pytest.raises(LabError, match="there is no replica server-9"):
                act("server-9")


async def test_a_stale_dns_knows_the_first_replicas_only():
    async with LocalCluster(1, staleness=3600) as cluster:
        first = await cluster.ready()
        await cluster.scale(2)
        assert len(await cluster.ready()) == 2
        assert published(cluster) == {first[0].address}


async def test_a_cluster_that_cannot_start():
    with pytest.raises(LabError, match="ended with code 2"):
        await LocalCluster(2, server_options={"delay": "soon"}).__aenter__()


@pytest.mark.parametrize(("replicas", "message"), [(-1, "cannot scale to -1"), (500, "no address")])
async def test_a_scale_that_cannot_be_had_changes_nothing(replicas, message):
    async with LocalCluster(0) as cluster:
        with pytest.raises(LabError, match=message):
            await cluster.scale(replicas)
        assert await cluster.replicas() == []
        await cluster.scale(1)
        assert len(await cluster.ready()) == 1


async def test_clusters_run_side_by_side(connect):
    async with LocalCluster(1) as one, LocalCluster(1) as two:
        for cluster in (one, two):
            (replica,) = await cluster.ready()
            assert await connect(cluster.target(headless=True)).get() == replica.id
