"""A ClusterIP: a TCP proxy that balances connections, as kube-proxy does in its iptables mode."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from lab.errors import LabError

Backend = tuple[str, int]

BACKLOG = 4096
PAUSE = 0.1
"""Seconds without accepting after the system ran out of something, such as descriptors."""
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards each connection to one backend, for as long as the connection lasts.

    The backend is chosen at random among those there are when the connection comes, all alike, and
    nothing that happens to the set of backends later touches the connection. Without backends,
    connections are refused, like by the REJECT rule. One difference remains: where iptables hands
    the client's SYN to a backend that refuses it, here the connection is accepted, then reset.
    """

    def __init__(self, host: str, port: int = 0, *, seed: int | None = None) -> None:
        """Prepare a proxy for a host (an IPv4 address) and a port, 0: any free one."""
        self.host = host
        self.port = port
        """The port, known once it is started."""
        self.connections: Counter[Backend] = Counter()
        """How many connections each backend was given so far."""
        self.open: Counter[Backend] = Counter()
        """How many of them are open now."""
        self._random = random.Random(seed)  # noqa: S311
        self._backends: tuple[Backend, ...] = ()
        self._socket: socket.socket | None = None
        self._listening = False
        self._opening: set[asyncio.Task[None]] = set()
        self._pumps: set[Pump] = set()

    async def __aenter__(self) -> Self:
        """Take the port; LabError if it is not free."""
        self._bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Reset all connections and give the port back."""
        self._unlisten()
        if self._socket is not None:
            self._socket.close()
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for pump in tuple(self._pumps):
            pump.reset()

    def set(self, backends: Iterable[Backend]) -> None:
        """Choose among these backends, (address, port) each, from the next connection on."""
        self._backends = tuple(backends)
        if self._backends and not self._listening:
            assert self._socket is not None
            self._socket.listen(BACKLOG)
            asyncio.get_running_loop().add_reader(self._socket, self._accept)
            self._listening = True
        elif not self._backends and self._listening:
            # bound but not listening, the port refuses connections and is given to nobody else
            self._unlisten()
            self._bind()

    def _bind(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self.host, self.port))
        except OSError as error:
            self._socket.close()
            raise LabError(f"no proxy on {self.host}:{self.port}: {error.strerror}") from error
        self.port = self._socket.getsockname()[1]

    def _unlisten(self) -> None:
        if self._listening and self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._listening = False

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(BACKLOG):
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: the reader would be called again at once
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                loop.call_later(PAUSE, self._accept_again, self._socket)
                return
            client.setblocking(False)
            backend = self._random.choice(self._backends)
            self.connections[backend] += 1
            self.open[backend] += 1
            opening = asyncio.create_task(self._open(client, backend))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if self._listening and listener is self._socket:
            asyncio.get_running_loop().add_reader(listener, self._accept)

    async def _open(self, client: socket.socket, backend: Backend) -> None:
        loop = asyncio.get_running_loop()
        near, far = Pump(self, backend), Pump(self, None)
        near.peer, far.peer = far, near
        try:
            await loop.create_connection(lambda: far, *backend)
            await loop.connect_accepted_socket(lambda: near, client)
        except BaseException as error:
            far.reset()
            if near.transport is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
                self.open[backend] -= 1
            if not isinstance(error, OSError):
                raise

    def joined(self, pump: "Pump") -> None:
        """Hear that one side of a connection is up."""
        self._pumps.add(pump)

    def left(self, pump: "Pump") -> None:
        """Hear that one side of a connection is gone."""
        self._pumps.discard(pump)
        if pump.backend is not None:
            self.open[pump.backend] -= 1


class Pump(asyncio.Protocol):
    """One side of a connection: what comes in here goes out at its peer."""

    peer: "Pump"

    def __init__(self, proxy: Proxy, backend: Backend | None) -> None:
        """Make a side that is not connected yet; the client's side carries the backend's name."""
        self.backend = backend
        self.transport: asyncio.Transport | None = None
        self._proxy = proxy
        self._ended = False

    def reset(self) -> None:
        """Drop the connection at once; the other end sees a reset, not an orderly end."""
        if self.transport is not None and not self.transport.is_closing():
            end: socket.socket = self.transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start; the side that is up first reads nothing until the other one can take it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # asyncio leaves Nagle's algorithm on for accepted sockets, and delayed ACKs then cost 40 ms
        end: socket.socket = transport.get_extra_info("socket")
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy.joined(self)
        if self.peer.transport is None:
            transport.pause_reading()
        elif self.peer.transport.is_closing():
            self.reset()
        else:
            self.peer.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        peer = self.peer.transport
        if peer is not None and not peer.is_closing():
            peer.write(data)

    def pause_writing(self) -> None:
        """Stop reading what could not be passed on."""
        if self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        if self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the other direction goes on until it ends too."""
        self._ended = True
        peer = self.peer.transport
        if self.peer._ended:
            for transport in (self.transport, peer):
                if transport is not None:
                    transport.close()
        elif peer is not None and not peer.is_closing():
            peer.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the loss on, as what it was: an end or a reset."""
        self._proxy.left(self)
        if exc is not None:
            self.peer.reset()
        elif self.peer.transport is not None:
            self.peer.transport.close()
