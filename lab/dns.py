"""The cluster's DNS server: a zone, served over UDP and TCP on one free port of loopback."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

from lab.errors import LabError
from lab.zone import Zone

IDLE = 10.0
"""Seconds after which a TCP connection without a complete message is closed (RFC 7766 6.2.3)."""
ATTEMPTS = 20
RECEIVE_BUFFER = 1 << 20


class DnsServer:
    """Answers for one zone while the context is open: `async with DnsServer(zone) as server`."""

    def __init__(self, zone: Zone, host: str = "127.0.0.1") -> None:
        self.zone = zone
        self.host = host
        self.port = 0
        """The port, of UDP and of TCP, once it is started."""
        self._datagrams: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None
        self._streams: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start; LabError if no port is to be had."""
        loop = asyncio.get_running_loop()
        for _ in range(ATTEMPTS):
            try:
                self._datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self.zone), local_addr=(self.host, 0)
                )
            except OSError as error:
                raise LabError(f"no DNS server on {self.host}: {error.strerror}") from error
            end: socket.socket = self._datagrams.get_extra_info("socket")
            # hundreds of channels may ask at once, and a lost question costs its asker seconds
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            port = end.getsockname()[1]
            try:
                self._listener = await asyncio.start_server(self._stream, self.host, port)
            except OSError:  # the port is free for UDP only: take another
                self._datagrams.close()
                continue
            self.port = port
            return self
        raise LabError(f"no port on {self.host} is free for both UDP and TCP")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._listener is not None:
            self._listener.close()
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the messages of one TCP connection, each after its length (RFC 1035 4.2.2)."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                reply = self.zone.reply(packet, datagram=False)
                if reply is not None:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is done, or slower than a client is allowed to be
        except asyncio.CancelledError:
            pass  # asyncio would report a cancelled handler as an error
        finally:
            self._streams.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        assert self._transport is not None
        reply = self._zone.reply(data, datagram=True)
        if reply is not None:
            self._transport.sendto(reply, addr)
