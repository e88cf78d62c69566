"""What to say of a connection that is not there, or of a call that failed."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc

from loadgen import handshake
from loadgen.bearer import Token
from loadgen.credentials import Tls
from loadgen.discovery import Backends, resolve
from loadgen.errors import ResolutionError
from loadgen.target import Uri

LONGEST = 200


async def explain(
    channel: grpc.aio.Channel, backends: Backends, uri: Uri, tls: Tls | None, reason: str
) -> str:
    """Return why a channel is not connected, or ""; `reason` is what is known. TLS is looked into."""
    found = await handshake.explain(await _addresses(backends, uri), tls)
    if found or reason:
        return found or reason
    return handshake.plain(await _said(channel))[:LONGEST]


async def _said(channel: grpc.aio.Channel) -> str:
    """Return it in gRPC's words."""
    if channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
        return ""
    try:  # on a channel that cannot connect a call fails at once and says why
        probe: Callable[..., Any] = channel.unary_unary("/grpc.health.v1.Health/Check")
        await probe(b"", timeout=1)
    except grpc.aio.AioRpcError as error:
        return _first_line(error.details() or "")
    return ""


async def _addresses(backends: Backends, uri: Uri) -> Sequence[str]:
    """Return those that the channel may have tried."""
    if backends.addresses is None and uri.name is not None:
        with suppress(ResolutionError):
            return await resolve(uri.name)
    return backends.addresses or ()


def message(details: str, token: Token | None) -> str:
    """Return what a call failed with, in one line, without the token that a server may repeat."""
    text = _first_line(details)
    if text.startswith("failed to connect"):  # gRPC's words, not the server's
        text = handshake.plain(text)
    return (token.hide(text) if token else text)[:LONGEST]


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
