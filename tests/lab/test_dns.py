"""The DNS server as clients see it: dnspython asks, over real UDP and TCP."""

import asyncio
import struct

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from lab.dns import DnsServer
from lab.zone import Fault, Zone

NAME = "server-headless.default.svc.cluster.local"
THREE = ["127.1.2.3", "127.1.2.4", "127.1.2.5"]
PATIENCE = 20


@pytest.fixture
async def zone():
    zone = Zone("cluster.local", ttl=7, seed=1)
    zone.set(NAME, THREE)
    return zone


@pytest.fixture
async def server(zone):
    async with DnsServer(zone) as server:
        yield server


@pytest.fixture
def ask(server):
    async def ask(name, kind="A", *, tcp=False, **options):
        query = dns.message.make_query(name, kind, **options)
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, server.host, port=server.port, timeout=PATIENCE)

    return ask


def addresses(answer):
    return [record.address for records in answer.answer for record in records]


def is_negative(answer, code):
    """No records, and the SOA that says for how long (RFC 2308 2)."""
    kinds = [records.rdtype for records in answer.authority]
    return answer.rcode() == code and not answer.answer and kinds == [dns.rdatatype.SOA]


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_known_name_has_its_addresses(ask, tcp):
    answer = await ask(NAME, tcp=tcp)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA
    assert sorted(addresses(answer)) == THREE
    assert [records.ttl for records in answer.answer] == [7]


async def test_an_ipv4_name_has_no_aaaa_records_and_no_error(ask):
    answer = await ask(NAME, "AAAA")
    assert is_negative(answer, dns.rcode.NOERROR)
    assert answer.authority[0][0].minimum == 7


async def test_ipv6_addresses_are_aaaa_records(ask, zone):
    zone.set("six.cluster.local", ["::1", "127.0.0.1"])
    assert addresses(await ask("six.cluster.local", "AAAA")) == ["::1"]
    assert addresses(await ask("six.cluster.local", "A")) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("other.default.svc.cluster.local", dns.rcode.NXDOMAIN),
        (f"{NAME}.default.svc.cluster.local", dns.rcode.NXDOMAIN),
        ("default.svc.cluster.local", dns.rcode.NOERROR),
        ("cluster.local", dns.rcode.NOERROR),
    ],
)
async def test_other_names_in_the_zone(ask, name, code):
    assert is_negative(await ask(name), code)


@pytest.mark.parametrize("name", ["example.com", "notcluster.local", "local", "."])
async def test_names_outside_the_zone_are_refused(ask, name):
    answer = await ask(name)
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & dns.flags.AA


async def test_a_service_that_lost_all_addresses_does_not_exist(ask, zone):
    zone.set(NAME, [])
    assert is_negative(await ask(NAME), dns.rcode.NXDOMAIN)


async def test_the_origin_has_an_soa_record(ask):
    assert [records.rdtype for records in (await ask("cluster.local", "SOA")).answer] == [dns.rdatatype.SOA]


async def test_the_case_of_a_name_is_kept_but_does_not_matter(ask):
    # dnspython refuses an answer whose question differs, but compares it without case
    mixed = NAME.replace("server", "SeRVer")
    answer = await ask(mixed)
    assert str(answer.question[0].name) == mixed + "."
    assert sorted(addresses(answer)) == THREE


async def test_changes_are_seen_at_once_and_repeated_addresses_stay(ask, zone):
    zone.set(NAME, ["127.1.2.9", "127.1.2.9"])
    answer = await ask(NAME, tcp=True)
    assert set(addresses(answer)) == {"127.1.2.9"}
    wire = zone.reply(dns.message.make_query(NAME, "A").to_wire(), datagram=True)
    assert wire.count(bytes([127, 1, 2, 9])) == 2


async def test_every_address_is_the_first_one_in_some_answers(ask):
    assert {addresses(await ask(NAME))[0] for _ in range(60)} == set(THREE)


@pytest.mark.parametrize(("options", "fits"), [({}, 28), ({"use_edns": 0, "payload": 1232}, 70)])
async def test_a_datagram_holds_so_many_addresses(ask, zone, options, fits):
    zone.set(NAME, [f"127.1.3.{host}" for host in range(fits)])
    answer = await ask(NAME, **options)
    assert len(addresses(answer)) == fits
    assert not answer.flags & dns.flags.TC
    assert (answer.edns == 0) == bool(options)


@pytest.mark.parametrize("options", [{}, {"use_edns": 0, "payload": 4096}])
async def test_a_longer_answer_is_left_to_tcp(ask, zone, options):
    many = [f"127.1.3.{host}" for host in range(200)]
    zone.set(NAME, many)
    truncated = await ask(NAME, **options)
    assert truncated.flags & dns.flags.TC
    assert not truncated.answer
    assert len(addresses(await ask(NAME, tcp=True, **options))) == 200


async def test_lookups_are_counted_by_name_and_type(ask, zone):
    await ask(NAME)
    await ask(NAME.upper() + ".", tcp=True)
    await ask(NAME, "AAAA")
    await ask("nobody.cluster.local")
    assert zone.queries == {
        (NAME, "A"): 2,
        (NAME, "AAAA"): 1,
        ("nobody.cluster.local", "A"): 1,
    }


async def test_servfail_and_empty_and_right_again(ask, zone):
    zone.fail(NAME, Fault.SERVFAIL)
    assert (await ask(NAME)).rcode() == dns.rcode.SERVFAIL
    zone.fail(NAME, Fault.EMPTY)
    assert is_negative(await ask(NAME), dns.rcode.NOERROR)
    zone.fail(NAME, None)
    assert sorted(addresses(await ask(NAME))) == THREE


async def test_silence_is_for_one_name_only(server, zone):
    zone.set("server.default.svc.cluster.local", ["127.1.2.2"])
    zone.fail(NAME, Fault.SILENT)
    silent = dns.message.make_query(NAME, "A").to_wire()
    other = dns.message.make_query("server.default.svc.cluster.local", "A").to_wire()
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for query in (silent, other):
        writer.write(struct.pack("!H", len(query)) + query)
    async with asyncio.timeout(PATIENCE):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        answer = dns.message.from_wire(await reader.readexactly(length))
    assert addresses(answer) == ["127.1.2.2"]
    assert zone.queries[NAME, "A"] == 1
    writer.close()
    await writer.wait_closed()


async def test_a_stream_that_ends_in_a_message_harms_nobody(server, ask):
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"\x00\x40half a message")
    writer.close()
    await writer.wait_closed()
    assert sorted(addresses(await ask(NAME, tcp=True))) == THREE


async def test_servers_run_side_by_side(server, zone):
    async with DnsServer(zone) as other:
        assert other.port != server.port


async def test_an_open_stream_does_not_keep_the_server(zone):
    async with DnsServer(zone) as server:
        query = dns.message.make_query(NAME, "A").to_wire()
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(struct.pack("!H", len(query)) + query)
        await reader.readexactly(2)
    async with asyncio.timeout(PATIENCE):
        await reader.read()
    writer.close()
    await writer.wait_closed()
