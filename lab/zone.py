"""What the cluster's DNS knows and how it answers: packets in, packets out, no sockets.

Answers are what CoreDNS gives in a Kubernetes cluster, as far as a client can tell:

- A and AAAA records of known names in random order, as its `loadbalance` plugin shuffles them;
- a known name without addresses of the type asked for: NOERROR, no records, the SOA (RFC 2308 2.2);
- an unknown name in the zone, and a service that has no addresses at all: NXDOMAIN with the SOA,
  which is what a headless service without ready pods gets;
- a name outside the zone: REFUSED.
"""

import random
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from dnslib import AAAA, CLASS, EDNS0, QTYPE, RCODE, RR, SOA, A, DNSHeader, DNSRecord

HEADER = 12
DATAGRAM = 512  # RFC 1035 4.2.1: the most that a client without EDNS takes over UDP
DATAGRAM_EDNS = 1232  # and the most worth sending to any other
STREAM = 65_535

QUERY = 0
RECORDS = {4: "A", 6: "AAAA"}


class Fault(StrEnum):
    """How lookups of a name go wrong."""

    SERVFAIL = "servfail"
    """An answer with the code SERVFAIL."""
    SILENT = "silent"
    """No answer at all."""
    EMPTY = "empty"
    """An answer without error and without records."""


class Zone:
    """Names under one origin and their addresses, which can be changed at any time.

    Names are given with or without the final dot, in any case.
    """

    def __init__(
        self,
        origin: str,
        *,
        ttl: int = 30,
        staleness: float = 0.0,
        seed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty zone.

        `ttl` is in seconds, of answers and of failures (RFC 2308 5). `staleness` (s) is how long
        after `set` the change is to be seen, as if a cache stood in front: one that holds answers
        so long lags at most by that, this zone always. `clock` (s, monotonic) is the event loop's.
        """
        self.origin = _plain(origin)
        self.ttl = ttl
        self.staleness = staleness
        self.queries: Counter[tuple[str, str]] = Counter()
        """How often each was asked for: `("server.default.svc.cluster.local", "A")`."""
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311
        self._faults: dict[str, Fault] = {}
        self._versions: dict[str, deque[tuple[float, tuple[IPv4Address | IPv6Address, ...]]]] = {}

    def set(self, name: str, addresses: Iterable[str]) -> None:
        """Give a name these addresses (IPv4 or IPv6, repeated ones stay), `staleness` from now.

        Raises ValueError for what is no address or a name outside the zone.
        """
        name = _plain(name)
        if not self._holds(name):
            raise ValueError(f"{name} is not in the zone {self.origin}")
        self._visible(name)  # forgets what is past
        versions = self._versions.setdefault(name, deque())
        seen_at = self._clock() + self.staleness
        if versions:  # changes stay in order, also when the staleness was lowered between them
            seen_at = max(seen_at, versions[-1][0])
        versions.append((seen_at, tuple(ip_address(address) for address in addresses)))

    def fail(self, name: str, fault: Fault | None) -> None:
        """Make lookups of a name go wrong from now on; None: right again."""
        if fault is None:
            self._faults.pop(_plain(name), None)
        else:
            self._faults[_plain(name)] = fault

    def lookup(self, name: str) -> tuple[str, ...]:
        """Return the addresses that answers would hold now, in the order in which they were set."""
        return tuple(str(address) for address in self._visible(_plain(name)))

    def reply(self, packet: bytes, *, datagram: bool) -> bytes | None:
        """Answer one message (RFC 1035 4.1) that came as a datagram or over TCP; None: stay silent.

        An answer too long for a datagram has no records and the TC bit, so that the client asks
        again over TCP (RFC 2181 9).
        """
        if len(packet) < HEADER or packet[2] & 0x80:  # nobody asked, or an answer: never answer those
            return None
        request = _parse(packet)
        if request is None:
            return _malformed(packet)
        answer = self._answer(request)
        if answer is None:
            return None
        limit = DATAGRAM if datagram else STREAM
        for option in (record for record in request.ar if record.rtype == QTYPE.OPT):
            limit = max(limit, min(option.edns_len, DATAGRAM_EDNS))
            answer.ar = [EDNS0(udp_len=DATAGRAM_EDNS)]  # RFC 6891 6.1.1: an answer has one too
        packed = bytes(answer.pack())
        if len(packed) <= limit:
            return packed
        answer.rr, answer.auth = [], []
        answer.header.tc = 1
        return bytes(answer.pack())

    def _answer(self, request: Any) -> Any:
        question, answer = request.q, _skeleton(request)
        name, kind = _plain(str(question.qname)), str(QTYPE.get(question.qtype))
        self.queries[name, kind] += 1
        fault = self._faults.get(name)
        if fault is Fault.SILENT:
            return None
        if request.header.opcode != QUERY:
            answer.header.rcode = RCODE.NOTIMP
        elif fault is Fault.SERVFAIL:
            answer.header.rcode = RCODE.SERVFAIL
        elif question.qclass != CLASS.IN or not self._holds(name):
            answer.header.rcode = RCODE.REFUSED
            answer.header.aa = 0
        elif fault is Fault.EMPTY:
            answer.add_auth(self._soa())
        elif name == self.origin and kind == "SOA":
            answer.add_answer(self._soa())
        else:
            self._add_records(answer, name, kind)
        return answer

    def _add_records(self, answer: Any, name: str, kind: str) -> None:
        addresses = self._visible(name)
        found = [str(address) for address in addresses if kind == RECORDS[address.version]]
        self._random.shuffle(found)
        for address in found:
            data = A(address) if kind == "A" else AAAA(address)
            answer.add_answer(RR(answer.q.qname, answer.q.qtype, ttl=self.ttl, rdata=data))
        if not found:
            answer.add_auth(self._soa())
            if not addresses and not self._leads_on(name):
                answer.header.rcode = RCODE.NXDOMAIN

    def _soa(self) -> Any:
        times = (1, 7200, 1800, 86400, self.ttl)  # serial, refresh, retry, expire, negative TTL
        data = SOA(f"ns.dns.{self.origin}", f"hostmaster.{self.origin}", times)
        return RR(self.origin, QTYPE.SOA, ttl=self.ttl, rdata=data)

    def _holds(self, name: str) -> bool:
        return name == self.origin or name.endswith("." + self.origin)

    def _leads_on(self, name: str) -> bool:
        """Say whether the name has no records of its own but names below it (RFC 8020 2)."""
        return name == self.origin or any(known.endswith("." + name) for known in self._versions)

    def _visible(self, name: str) -> tuple[IPv4Address | IPv6Address, ...]:
        versions = self._versions.get(name)
        if not versions:
            return ()
        now = self._clock()
        while len(versions) > 1 and versions[1][0] <= now:
            versions.popleft()
        seen_at, addresses = versions[0]
        return addresses if seen_at <= now else ()


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _parse(packet: bytes) -> Any:
    """Return the request, or None if it is malformed (RFC 1035 4.1.1: the code FORMERR)."""
    try:
        request = DNSRecord.parse(packet)
        _skeleton(request).pack()  # what cannot be sent back, such as a label of 64 bytes, is malformed
    except Exception:  # dnslib lets RecursionError and others out of hostile packets
        return None
    return request if len(request.questions) == 1 else None


def _skeleton(request: Any) -> Any:
    asked = request.header
    header = DNSHeader(id=asked.id, qr=1, aa=1, ra=0, rd=asked.rd, opcode=asked.opcode)
    return DNSRecord(header, q=request.q)


def _malformed(packet: bytes) -> bytes:
    number, flags = struct.unpack_from("!HH", packet)
    kept = flags & 0x7900  # the operation code and RD go back as they came
    return struct.pack("!HHHHHH", number, 0x8000 | kept | RCODE.FORMERR, 0, 0, 0, 0)
