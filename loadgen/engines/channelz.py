"""What gRPC's own channels say of themselves: addresses, connections and their states.

In-process channelz (gRFC A14) needs no server: `ChannelzServicer`'s methods answer about this process. A
channel is seen where it was made with the argument `grpc.enable_channelz`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2

from loadgen import handshake

_READY = "READY"
_PREFIX = "connectivity state changed to "


@dataclass(frozen=True, slots=True)
class Change:
    """A subchannel's change of state."""

    at: int
    """Wall-clock time, ns since the Unix epoch; about 1 ms exact."""
    state: str
    """`CONNECTING`, `READY`, `TRANSIENT_FAILURE`, `IDLE` or `SHUTDOWN`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Subchannel:
    """gRPC's connection, or attempt at one, to one address."""

    number: int
    address: str
    """`IP:PORT`, or another scheme's name whole."""
    state: str
    changes: tuple[Change, ...]
    started: int = 0
    """Calls, also those of gRPC's own health checks."""
    ok: int = 0
    failed: int = 0

    @property
    def reason(self) -> str:
        """Why it last failed to connect, or ""."""
        return next((c.reason for c in reversed(self.changes) if c.reason), "")


class _Context:
    """Takes the error that a servicer reports: the thing asked for is gone."""

    gone = False

    def set_code(self, code: object) -> None:
        """Note that there is no answer."""
        self.gone = True

    def set_details(self, details: str) -> None:
        """Leave the details: nothing but absence is expected."""

    def typed(self) -> grpc.ServicerContext:
        """Return itself, as what a servicer's methods take."""
        return cast("grpc.ServicerContext", self)


def channels_since(number: int) -> list[int]:
    """Return the numbers of all open channels above `number`, in the order in which they were made."""
    numbers: list[int] = []
    while True:
        after = numbers[-1] if numbers else number
        page = channelz.ChannelzServicer.GetTopChannels(
            channelz_pb2.GetTopChannelsRequest(start_channel_id=after + 1), _Context().typed()
        )
        numbers.extend(channel.ref.channel_id for channel in page.channel)
        if page.end or not page.channel:
            return numbers


def subchannels(channels: list[int]) -> Iterator[Subchannel]:
    """Give the subchannels of these channels, each once, though channels may share them."""
    seen = set()
    for number in channels:
        context = _Context()
        answer = channelz.ChannelzServicer.GetChannel(
            channelz_pb2.GetChannelRequest(channel_id=number), context.typed()
        )
        if context.gone:
            continue
        for ref in answer.channel.subchannel_ref:
            if ref.subchannel_id not in seen:
                seen.add(ref.subchannel_id)
                context = _Context()
                found = channelz.ChannelzServicer.GetSubchannel(
                    channelz_pb2.GetSubchannelRequest(subchannel_id=ref.subchannel_id), context.typed()
                )
                if not context.gone:
                    yield _subchannel(found.subchannel)


def _subchannel(found: channelz_pb2.Subchannel) -> Subchannel:
    changes = []
    for event in found.data.trace.events:
        _, marker, rest = event.description.partition(_PREFIX)
        if marker:
            state, _, reason = rest.partition(":")
            changes.append(Change(event.timestamp.ToNanoseconds(), state.strip(), _first_line(reason)))
    scheme, _, rest = unquote(found.data.target).partition(":")
    return Subchannel(
        number=found.ref.subchannel_id,
        address=rest if scheme in {"ipv4", "ipv6"} else f"{scheme}:{rest}",
        state=channelz_pb2.ChannelConnectivityState.State.Name(found.data.state.state),
        changes=tuple(changes),
        started=found.data.calls_started,
        ok=found.data.calls_succeeded,
        failed=found.data.calls_failed,
    )


def _first_line(text: str) -> str:
    return handshake.plain(text.strip().partition("\n")[0].removeprefix("UNKNOWN:").strip())


def is_connected(subchannel: Subchannel) -> bool:
    """Tell whether there is a connection now."""
    return subchannel.state == _READY
