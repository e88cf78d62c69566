"""The zone without sockets: staleness on a clock of our own, and malformed messages."""

import struct

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.zone import Zone

NAME = "server.default.svc.cluster.local"


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def zone(clock):
    return Zone("cluster.local", clock=clock)


def test_a_change_is_seen_when_it_has_become_stale(zone, clock):
    zone.set(NAME, ["127.1.1.1"])
    zone.staleness = 5
    zone.set(NAME, ["127.1.1.2"])
    clock.now += 4.5
    zone.set(NAME, ["127.1.1.3"])
    assert zone.lookup(NAME) == ("127.1.1.1",)
    clock.now += 0.5
    assert zone.lookup(NAME) == ("127.1.1.2",)
    clock.now += 4.5
    assert zone.lookup(NAME.upper() + ".") == ("127.1.1.3",)


def test_a_new_name_is_unknown_until_then(zone, clock):
    zone.staleness = 5
    zone.set(NAME, ["127.1.1.1"])
    assert zone.lookup(NAME) == ()
    clock.now += 5
    assert zone.lookup(NAME) == ("127.1.1.1",)


def test_a_change_never_overtakes_an_earlier_one(zone, clock):
    zone.staleness = 5
    zone.set(NAME, ["127.1.1.1"])
    zone.staleness = 0
    zone.set(NAME, ["127.1.1.2"])
    assert zone.lookup(NAME) == ()
    clock.now += 5
    assert zone.lookup(NAME) == ("127.1.1.2",)


@pytest.mark.parametrize(
    ("name", "address"), [("example.com", "127.0.0.1"), (NAME, "localhost"), (NAME, "127.0.0.256")]
)
def test_what_cannot_be_set(zone, name, address):
    with pytest.raises(ValueError, match=r"not in the zone|does not appear to be"):
        zone.set(name, [address])


def header(number=7, flags=0x0100, questions=1):
    return struct.pack("!HHHHHH", number, flags, questions, 0, 0, 0)


QUESTION = b"\x06server\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"


def chain():
    """Thousands of compressed names, each of which points to the one before (RFC 1035 4.1.4)."""
    start = 12 + 5 + 11
    names = [0xC000 + 12, *(0xC000 + at for at in range(start, start + 8000, 2))]
    data = struct.pack(f"!{len(names)}H", *names)
    record = b"\x00" + struct.pack("!HHIH", 65280, 1, 0, len(data)) + data
    last = struct.pack("!HHHIH", names[-1] + 2, 65280, 1, 0, 0)
    head = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 2)
    return head + b"\x00\x00\x01\x00\x01" + record + last


@pytest.mark.parametrize(
    "packet",
    [
        header() + b"\x06serv",
        header(questions=2) + QUESTION + QUESTION,
        header(questions=0),
        header() + b"\xc0\x0c\x00\x01\x00\x01",
        header() + b"\x40" + b"a" * 64 + b"\x00\x00\x01\x00\x01",
        header() + (b"\x3f" + b"a" * 63) * 5 + b"\x00\x00\x01\x00\x01",
        chain(),
    ],
    ids=["cut off", "two", "none", "loop", "long label", "long name", "chain"],
)
def test_malformed_messages_are_answered_as_such(zone, packet):
    answer = dns.message.from_wire(zone.reply(packet, datagram=True), ignore_trailing=True)
    assert (answer.id, answer.rcode()) == (7, dns.rcode.FORMERR)
    assert answer.flags & dns.flags.QR
    assert answer.flags & dns.flags.RD


@pytest.mark.parametrize("packet", [b"", b"\x00" * 11, header(flags=0x8180) + QUESTION])
def test_fragments_and_answers_are_not_answered(zone, packet):
    assert zone.reply(packet, datagram=True) is None


def test_only_queries_are_implemented(zone):
    answer = dns.message.from_wire(zone.reply(header(flags=0x2000) + QUESTION, datagram=True))
    assert (answer.opcode(), answer.rcode()) == (dns.opcode.NOTIFY, dns.rcode.NOTIMP)


def test_other_classes_are_refused(zone):
    zone.set(NAME, ["127.1.1.1"])
    answer = dns.message.from_wire(zone.reply(header() + QUESTION[:-1] + b"\x03", datagram=True))
    assert answer.rcode() == dns.rcode.REFUSED


packets = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda tail: header() + tail, st.binary(max_size=600)),
    st.builds(lambda tail: header(questions=1) + QUESTION + tail, st.binary(max_size=600)),
    st.builds(
        lambda i, byte: (header() + QUESTION)[:i] + bytes([byte]) + (header() + QUESTION)[i + 1 :],
        st.integers(0, len(header() + QUESTION) - 1),
        st.integers(0, 255),
    ),
)


@given(packets, st.booleans())
def test_no_packet_raises(packet, datagram):
    zone = Zone("cluster.local")
    zone.set(NAME, ["127.1.1.1"])
    reply = zone.reply(packet, datagram=datagram)
    assert reply is None or reply[:2] == packet[:2]
