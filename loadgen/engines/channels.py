"""gRPC channels for a set of backends, and how they end without losing a call."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from loadgen import policies
from loadgen.bearer import Token
from loadgen.credentials import Tls
from loadgen.descriptors import Method
from loadgen.discovery import Backends

TRACE_BYTES = 8192  # per channelz node: some 40 changes between two readings


@dataclass(frozen=True, slots=True)
class Retry:
    """What gRPC tries again itself (gRFC A6). Its transparent retries, of calls never seen, are always on."""

    times: int
    """At most; gRPC makes no more than 5 attempts."""
    codes: tuple[str, ...]

    def policy(self) -> dict[str, Any]:
        """Return the service config's `methodConfig`, for all methods."""
        policy = {
            "maxAttempts": self.times + 1,
            "initialBackoff": "0.05s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": list(self.codes),
        }
        return {"name": [{}], "retryPolicy": policy}


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Pings on a connection (gRFC A8), in ms."""

    time: int
    timeout: int | None

    def arguments(self) -> list[tuple[str, Any]]:
        """Return the channel arguments: pings also without calls, and without a limit to their number."""
        made = [
            ("grpc.keepalive_time_ms", self.time),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        if self.timeout is not None:  # the second one is what ends a connection to a frozen server
            made += [(f"grpc.{name}_timeout_ms", self.timeout) for name in ("keepalive", "http2.ping")]
        return made


COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


@dataclass(frozen=True, slots=True)
class Options:
    """How the channels are set up."""

    policy: str
    connections: int
    """Channels with connections of their own; 0: a new one for every call."""
    health_check: bool
    """Client-side health checking (gRFC A17): a backend that says NOT_SERVING gets no calls."""
    timeout: float | None
    """Seconds until a call's deadline."""
    tls: Tls | None = None
    """None: plaintext."""
    token: Token | None = None
    keepalive: Keepalive | None = None
    compression: grpc.Compression | None = None
    retry: Retry | None = None
    rotating: bool = False
    """Whether channels follow each other though backends stay: their connections must then be new as well."""
    lb_config: str | None = None
    """The policy's own configuration, as JSON."""
    hash_header: str | None = None
    """The metadata key whose value ring_hash goes by."""
    dns_min_time: int | None = None
    """ms between two resolutions of gRPC's own resolver; None: its default, 30,000."""

    @property
    def per_call(self) -> bool:
        """Whether every call makes a connection of its own."""
        return self.connections == 0

    def arguments(self) -> list[tuple[str, Any]]:
        """Return the channel arguments."""
        policy = policies.of(self.policy).configured(self.lb_config, self.hash_header)
        config: dict[str, Any] = {"loadBalancingConfig": [policy]}
        if self.health_check:
            config["healthCheckConfig"] = {"serviceName": ""}
        if self.retry is not None:
            config["methodConfig"] = [self.retry.policy()]
        own_connections = self.connections != 1 or self.rotating
        resolver = "grpc.dns_min_time_between_resolutions_ms"
        return [
            ("grpc.service_config", json.dumps(config)),
            ("grpc.enable_channelz", 0 if self.per_call else 1),
            ("grpc.max_channel_trace_event_memory_per_node", TRACE_BYTES),
            # channels with equal arguments share connections unless they have pools of their own
            ("grpc.use_local_subchannel_pool", int(own_connections)),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", -1),
            *(() if self.dns_min_time is None else [(resolver, self.dns_min_time)]),
            *(self.keepalive.arguments() if self.keepalive else ()),
            *(self.tls.arguments() if self.tls else ()),
        ]

    def channel(self, uri: str) -> grpc.aio.Channel:
        """Make a channel."""
        if self.hash_header is not None:
            os.environ[policies.HASH_KEY_SWITCH] = "true"  # gRPC reads it with each channel's configuration
        if self.tls is None:
            return grpc.aio.insecure_channel(uri, self.arguments(), self.compression)
        return grpc.aio.secure_channel(uri, self.tls.credentials(), self.arguments(), self.compression)


def _callable(channel: grpc.aio.Channel, method: Method) -> Callable[..., Any]:
    """Return what calls the method, on bytes both ways."""
    if method.sends_many:
        return (
            channel.stream_stream(method.path) if method.answers_many else channel.stream_unary(method.path)
        )
    return channel.unary_stream(method.path) if method.answers_many else channel.unary_unary(method.path)


class Connection:
    """One channel, and how many calls are in flight on it."""

    __slots__ = ("_retired", "call", "channel", "in_flight")

    def __init__(self, uri: str, method: Method, options: Options) -> None:
        self.channel = options.channel(uri)
        self.call: Callable[..., Any] = _callable(self.channel, method)
        self.in_flight = 0
        self._retired: asyncio.Event | None = None

    def ended(self) -> None:
        """Count a call less in flight."""
        self.in_flight -= 1
        if self._retired is not None and not self.in_flight:
            self._retired.set()

    async def idle(self) -> None:
        """Wait until the calls in flight have ended."""
        if self.in_flight:
            self._retired = asyncio.Event()
            await self._retired.wait()

    async def retire(self) -> None:
        """Close once the calls in flight have ended."""
        await self.idle()
        await self.channel.close()


class Generation:
    """The channels made for one set of backends."""

    def __init__(self, backends: Backends, method: Method, options: Options) -> None:
        self.backends = backends
        count = max(1, options.connections)
        self.connections = [Connection(backends.uri, method, options) for _ in range(count)]
        self.channelz: list[int] = []
        self._next = -1

    def pick(self) -> Connection:
        """Return the channels in turn."""
        self._next = (self._next + 1) % len(self.connections)
        return self.connections[self._next]

    async def retire(self, before: Callable[[], object]) -> None:
        """Close all channels once they are idle; `before` that is the last time to look at them."""
        await asyncio.gather(*(connection.idle() for connection in self.connections))
        before()
        await asyncio.gather(*(connection.channel.close() for connection in self.connections))
