"""The proxy on real TCP connections, with backends that say who they are."""

import asyncio
import contextlib
import hashlib
import resource
import socket
import struct
from collections import Counter

import pytest

from lab.errors import LabError
from lab.proxy import Proxy

PATIENCE = 20
CLUSTER_IP = "127.0.0.1"


@contextlib.asynccontextmanager
async def backend(handle):
    server = await asyncio.start_server(handle, CLUSTER_IP, 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


@contextlib.asynccontextmanager
async def named(name):
    """A backend that greets with its name, as servers of HTTP/2 speak first, then echoes."""

    async def handle(reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(name.encode() + b"\n")
            while data := await reader.read(1 << 16):
                writer.write(b"echo " + data)
                await writer.drain()
        writer.close()

    async with backend(handle) as address:
        yield address


@pytest.fixture
async def backends():
    async with contextlib.AsyncExitStack() as stack:
        yield {n: await stack.enter_async_context(named(n)) for n in ("one", "two", "three")}


@pytest.fixture
async def proxy():
    async with Proxy(CLUSTER_IP, seed=1) as proxy:
        yield proxy


class Client:
    """One connection through a proxy."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, proxy):
        return cls(*await asyncio.open_connection(proxy.host, proxy.port))

    async def greeting(self):
        async with asyncio.timeout(PATIENCE):
            return (await self.reader.readline()).decode().strip()

    async def say(self, text):
        self.writer.write(text)
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(len(text) + 5)

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def settled(proxy):
    """Return once no connection is open."""
    async with asyncio.timeout(PATIENCE):
        while any(proxy.open.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def reset(client):
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
    await client.close()


async def test_each_connection_gets_a_backend_and_keeps_it(proxy, backends):
    proxy.set(backends.values())
    clients = [await Client.open(proxy) for _ in range(60)]
    names = [await client.greeting() for client in clients]
    assert set(names) == {"one", "two", "three"}
    assert proxy.connections == {backends[name]: n for name, n in Counter(names).items()}
    assert proxy.open == proxy.connections
    assert {await client.say(b"hello") for client in clients} == {b"echo hello"}
    for client in clients:
        await client.close()
    await settled(proxy)
    assert proxy.connections.total() == 60


async def test_a_seed_repeats_the_choices(backends):
    async def choices(seed):
        names = []
        async with Proxy(CLUSTER_IP, seed=seed) as proxy:
            proxy.set(backends.values())
            for _ in range(20):
                client = await Client.open(proxy)
                names.append(await client.greeting())
                await client.close()
        return names

    assert await choices(7) == await choices(7) != await choices(8)


async def test_established_connections_stay_when_their_backend_leaves(proxy, backends):
    proxy.set([backends["one"]])
    old = await Client.open(proxy)
    assert await old.greeting() == "one"
    proxy.set([backends["two"]])
    new = await Client.open(proxy)
    assert await new.greeting() == "two"
    assert await old.say(b"still") == b"echo still"
    proxy.set([])
    assert await old.say(b"and still") == b"echo and still"
    assert await new.say(b"too") == b"echo too"
    for client in (old, new):
        await client.close()


async def test_without_backends_connections_are_refused_and_the_port_is_kept(proxy, backends):
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await Client.open(proxy)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((proxy.host, proxy.port))
        proxy.set([backends["one"]])
        client = await Client.open(proxy)
        assert await client.greeting() == "one"
        await client.close()
        proxy.set([])


async def test_a_port_that_is_taken():
    with socket.create_server((CLUSTER_IP, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=rf"no proxy on {CLUSTER_IP}:{port}: .*in use"):
            async with Proxy(CLUSTER_IP, port):
                pass


async def test_a_backend_that_is_down_looks_like_a_reset(proxy):
    with socket.create_server((CLUSTER_IP, 0)) as taken:
        address = taken.getsockname()
    proxy.set([address])
    await reset(await Client.open(proxy))
    await settled(proxy)
    assert proxy.connections == {address: 1}


async def test_half_closed_connections_go_on_in_the_other_direction(proxy):
    async def late(reader, writer):
        request = await reader.read()  # to the end
        writer.write(b"all of " + request)
        writer.close()

    async with backend(late) as address:
        proxy.set([address])
        client = await Client.open(proxy)
        client.writer.write(b"it")
        client.writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            assert await client.reader.read() == b"all of it"
        await settled(proxy)
        await client.close()


async def test_a_client_can_go_on_after_the_backend_ended_its_side(proxy):
    received = asyncio.get_running_loop().create_future()

    async def brief(reader, writer):
        writer.write_eof()
        received.set_result(await reader.read())
        writer.close()

    async with backend(brief) as address:
        proxy.set([address])
        client = await Client.open(proxy)
        async with asyncio.timeout(PATIENCE):
            assert await client.reader.read() == b""
            client.writer.write(b"more")
            client.writer.write_eof()
            assert await received == b"more"
        await settled(proxy)
        await client.close()


async def test_a_reset_is_passed_on_as_a_reset(proxy):
    async def abort(reader, writer):
        await reader.readline()
        end = writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with backend(abort) as address:
        proxy.set([address])
        client = await Client.open(proxy)
        client.writer.write(b"bye\n")
        await reset(client)
        await settled(proxy)


async def test_a_client_that_resets_frees_the_backend(proxy):
    gone = asyncio.Event()

    async def wait(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()
        writer.close()

    async with backend(wait) as address:
        proxy.set([address])
        client = await Client.open(proxy)
        end = client.writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        await settled(proxy)


async def test_a_slow_reader_holds_back_the_writer_and_nothing_is_lost(proxy):
    go, received = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def slow(reader, writer):
        await go.wait()
        digest = hashlib.sha256()
        while data := await reader.read(1 << 16):
            digest.update(data)
        received.set_result(digest.hexdigest())
        writer.close()

    sent = bytes(range(256)) * (1 << 18)  # 64 MiB: more than the kernel buffers
    async with backend(slow) as address:
        proxy.set([address])
        client = await Client.open(proxy)
        client.writer.write(sent)
        for _ in range(3000):  # turns of the loop, each of which could move 256 KiB
            await asyncio.sleep(0)
        waiting = client.writer.transport.get_write_buffer_size()
        assert waiting > len(sent) / 4
        go.set()
        async with asyncio.timeout(PATIENCE):
            client.writer.write_eof()
            assert await received == hashlib.sha256(sent).hexdigest()
        await client.close()


async def test_out_of_descriptors_connections_wait(proxy, backends):
    proxy.set([backends["one"]])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as end:
        end.setblocking(False)
        with socket.socket() as free:
            lowest = free.fileno()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
            await asyncio.get_running_loop().sock_connect(end, (proxy.host, proxy.port))
            for _ in range(100):  # turns of the loop
                await asyncio.sleep(0)
            assert proxy.connections == {}
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.get_running_loop().sock_recv(end, 4) == b"one\n"
    await settled(proxy)


async def test_closing_the_proxy_resets_what_is_open(backends):
    async with Proxy(CLUSTER_IP) as proxy:
        proxy.set(backends.values())
        client = await Client.open(proxy)
        await client.greeting()
    await reset(client)
