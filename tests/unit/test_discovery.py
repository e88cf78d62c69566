"""How the client learns of backends: against a real DNS server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lab.dns import DnsServer
from lab.zone import Fault, Zone
from loadgen import discovery
from loadgen.discovery import Backends, Dns, Poll, Static, resolve
from loadgen.errors import ResolutionError
from loadgen.ledger import Ledger
from loadgen.pacing import Closed
from loadgen.readiness import first_backends
from loadgen.recorder import Recorder
from loadgen.target import DnsName, Uri
from tests.unit.waiting import PATIENCE, until

NAME = "server.cluster.local"
MS = 1_000_000


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer(Zone("cluster.local")) as server:
        yield server


def name_at(server: DnsServer, host: str = NAME, port: int = 9090) -> DnsName:
    return DnsName(f"127.0.0.1:{server.port}", host, port)


async def test_addresses_are_sorted_and_have_the_port(dns: DnsServer) -> None:
    dns.zone.set(NAME, ["10.0.0.3", "10.0.0.1", "10.0.0.2"])
    assert await resolve(name_at(dns)) == ("10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090")
    assert dns.zone.queries == {(NAME, "A"): 1}


async def test_ipv6_where_there_is_no_ipv4(dns: DnsServer) -> None:
    dns.zone.set(NAME, ["fd00::2", "fd00::1"])
    assert await resolve(name_at(dns)) == ("[fd00::1]:9090", "[fd00::2]:9090")
    assert await Static(name_at(dns)).lookup() == Backends(
        "ipv6:[fd00::1]:9090,[fd00::2]:9090", ("[fd00::1]:9090", "[fd00::2]:9090")
    )


async def test_more_addresses_than_a_datagram_holds(dns: DnsServer) -> None:
    dns.zone.set(NAME, [f"10.0.{n // 250}.{n % 250}" for n in range(500)])
    assert len(await resolve(name_at(dns))) == 500


@pytest.mark.parametrize(
    ("host", "fault", "says"),
    [
        ("nothing.cluster.local", None, "nothing.cluster.local does not exist in DNS (NXDOMAIN)"),
        (NAME, Fault.EMPTY, f"{NAME} has no address in DNS"),
        (NAME, Fault.SERVFAIL, f"{NAME} could not be looked up: 127.0.0.1:PORT refused or failed"),
        ("elsewhere.org", None, "elsewhere.org could not be looked up: 127.0.0.1:PORT refused or failed"),
        (NAME, Fault.SILENT, f"{NAME} could not be looked up: no answer from 127.0.0.1:PORT"),
        ("a..b", None, "a..b could not be looked up: A DNS label is empty."),
    ],
)
async def test_a_name_without_addresses(
    host: str, fault: Fault | None, says: str, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LOOKUP_TIMEOUT", 0.2)
    dns.zone.set(NAME, ["10.0.0.1"])
    dns.zone.fail(NAME, fault)
    with pytest.raises(ResolutionError) as caught:
        await resolve(name_at(dns, host))
    assert caught.value.message == says.replace("PORT", str(dns.port))
    assert caught.value.exit_code == 1


async def test_the_system_resolver() -> None:
    assert await resolve(DnsName("", "localhost", 9090)) == ("127.0.0.1:9090",)
    for host in ("a..b", "x" * 70):
        with pytest.raises(ResolutionError, match="cannot be resolved"):
            await resolve(DnsName("", host, 9090))


async def test_static_looks_up_once_and_never_again(dns: DnsServer) -> None:
    dns.zone.set(NAME, ["10.0.0.1"])
    static = Static(name_at(dns))
    known = await static.lookup()
    assert known == Backends("ipv4:10.0.0.1:9090", ("10.0.0.1:9090",))
    assert static.changes(known, ledger()) is None


async def test_dns_leaves_it_to_grpc() -> None:
    for text, addresses in (("server:9090", None), ("ipv4:1.2.3.4:5", ("1.2.3.4:5",))):
        uri = Uri.parse(text)
        assert await Dns(uri).lookup() == Backends(uri.text, addresses)


def ledger() -> Ledger:
    return Ledger(Closed(1, total=1, duration=None), Recorder(), max_in_flight=1)


async def look_ups(dns: DnsServer, number: int) -> None:
    """Wait until the name has been asked for so many more times."""
    upto = dns.zone.queries[NAME, "A"] + number
    await until(lambda: dns.zone.queries[NAME, "A"] >= upto)


async def test_poll_gives_each_change_and_nothing_else(dns: DnsServer) -> None:
    dns.zone.set(NAME, ["10.0.0.1"])
    poll = Poll(name_at(dns), 5 * MS)
    changes = poll.changes(await poll.lookup(), ledger())
    for addresses in (["10.0.0.1", "10.0.0.2"], ["10.0.0.3"], ["10.0.0.1"]):
        waiting = asyncio.ensure_future(anext(changes))
        await look_ups(dns, 3)
        assert not waiting.done()
        dns.zone.set(NAME, addresses)
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).addresses == tuple(f"{address}:9090" for address in addresses)
    await changes.aclose()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.SERVFAIL, "refused or failed"),
        (Fault.EMPTY, "has no address in DNS"),
        (Fault.SILENT, "no answer from 127.0.0.1"),
        (None, "does not exist in DNS (NXDOMAIN)"),  # what a headless service without ready pods gets
    ],
)
async def test_a_failed_look_up_changes_nothing_and_is_noted_once(
    dns: DnsServer, fault: Fault | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LOOKUP_TIMEOUT", 0.05)
    dns.zone.set(NAME, ["10.0.0.1"])
    notes = ledger()
    poll = Poll(name_at(dns), 5 * MS)
    changes = poll.changes(await poll.lookup(), notes)
    waiting = asyncio.ensure_future(anext(changes))
    dns.zone.fail(NAME, fault)
    if fault is None:
        dns.zone.set(NAME, [])
    await until(lambda: bool(notes.events))
    await look_ups(dns, 3)
    assert not waiting.done()
    dns.zone.fail(NAME, None)
    dns.zone.set(NAME, ["10.0.0.1"])
    await until(lambda: len(notes.events) == 2)
    assert not waiting.done()  # what came back is what was known
    dns.zone.set(NAME, ["10.0.0.2"])
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).addresses == ("10.0.0.2:9090",)
    names = [event.name for event in notes.events]
    assert names == ["discovery.failed", "discovery.recovered", "discovery.changed"]
    assert notes.events[2].attributes["backends"] == ["10.0.0.2:9090"]
    assert reason in str(notes.events[0].attributes["reason"])
    assert NAME in str(notes.events[0].attributes["reason"])
    await changes.aclose()


async def test_each_reason_is_noted(dns: DnsServer) -> None:
    dns.zone.set(NAME, ["10.0.0.1"])
    notes = ledger()
    poll = Poll(name_at(dns), 5 * MS)
    changes = poll.changes(await poll.lookup(), notes)
    waiting = asyncio.ensure_future(anext(changes))
    for number, fault in enumerate((Fault.EMPTY, Fault.SERVFAIL), 1):
        dns.zone.fail(NAME, fault)
        await until(lambda number=number: len(notes.events) == number)  # type: ignore[misc]
    waiting.cancel()
    assert [event.name for event in notes.events] == ["discovery.failed"] * 2


def test_look_ups_are_not_all_the_same_time_apart() -> None:
    pauses = [discovery.jittered(1) for _ in range(200)]
    assert 0.9 <= min(pauses) < 0.95
    assert 1.05 < max(pauses) <= 1.1


async def test_the_first_look_up_is_tried_again(dns: DnsServer) -> None:
    """Right after a deployment a name may not exist yet."""
    waiting = asyncio.create_task(first_backends(Static(name_at(dns)), PATIENCE))
    await look_ups(dns, 1)
    dns.zone.set(NAME, ["10.0.0.1"])
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).addresses == ("10.0.0.1:9090",)


async def test_the_first_look_up_fails_with_the_last_answer(dns: DnsServer) -> None:
    with pytest.raises(ResolutionError, match="NXDOMAIN"):
        await first_backends(Static(name_at(dns)), 0.1)
