"""Load reports: what they say, per call and out of band."""

import itertools
import struct
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given
from hypothesis import strategies as st

from server.load import STEP, WINDOW, Meter, Processor
from server.settings import SECOND
from service_proto.orca_pb2 import OrcaLoadReport
from service_proto.orca_service_pb2 import OrcaLoadReportRequest
from service_proto.service_pb2 import Req
from tests.server.replica import DATA, HEADERS, PATIENCE, SETTINGS, Connection, Replica, Starter

KEY = "endpoint-load-metrics-bin"
SERVICE = "xds.service.orca.v3.OpenRcaService"


def trailers(replica: Replica) -> bytes:
    """Make a Get by hand; returns its trailers as they came: gRPC's own client keeps a report to itself."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/Service/Get",
        ":authority": "by-hand",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    # literals that are not indexed and not Huffman coded (RFC 7541, 6.2.2)
    block = b"".join(
        b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair) for pair in headers.items()
    )
    # no table, so that what comes are literals too; binary values as they are (gRPC over HTTP/2)
    settings = struct.pack(">HIHI", 0x1, 0, 0xFE03, 1)
    frames = ((SETTINGS, 0, 0, settings), (HEADERS, 4, 1, block), (DATA, 1, 1, bytes(5)))
    with Connection(replica.port) as connection:
        for kind, flags, number, payload in frames:
            head = len(payload).to_bytes(3) + bytes([kind, flags]) + number.to_bytes(4)
            connection.socket.sendall(head + payload)
        connection.frame(HEADERS)
        return connection.frame(HEADERS)


def report(replica: Replica) -> OrcaLoadReport:
    """Make a Get; returns the report that it brings."""
    block = trailers(replica)
    _, found, value = block.partition(KEY.encode())
    assert found
    length = value[0]
    assert length < 127
    assert value[1] == 0  # before a binary value that is not base64
    return OrcaLoadReport.FromString(value[2 : length + 1])


def stream(replica: Replica, every: float) -> Iterator[OrcaLoadReport]:
    method = replica.channel.unary_stream(
        f"/{SERVICE}/StreamCoreMetrics",
        request_serializer=OrcaLoadReportRequest.SerializeToString,
        response_deserializer=OrcaLoadReport.FromString,
    )
    asked = OrcaLoadReportRequest()
    asked.report_interval.FromNanoseconds(int(every * SECOND))
    return method(asked, timeout=PATIENCE)  # type: ignore[no-any-return]


def unimplemented(replica: Replica) -> bool:
    with pytest.raises(grpc.RpcError) as raised:
        next(stream(replica, 1))
    return raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_there_are_none_unless_asked_for(replica: Replica) -> None:
    assert KEY.encode() not in trailers(replica)
    assert unimplemented(replica)


def test_a_call_brings_one_with_the_replicas_metadata(start: Starter) -> None:
    replica = start("--orca", "per-call", "--delay", "50ms", "--slots", "4", "--error-ratio", "0.5")
    for _ in range(20):
        calls = replica.answers(4)
    assert unimplemented(replica)
    said = report(replica)
    assert dict(calls[-1].trailing_metadata())["replica-id"] == replica.serving["id"]
    assert 0 < said.rps_fractional <= 85
    assert said.eps == pytest.approx(said.rps_fractional / 2, rel=0.2)
    assert 0 < said.application_utilization <= 1
    # what a client weighs it by is its capacity, 4 calls / 50 ms at the most, however many calls it got
    assert 4 < said.rps_fractional / said.application_utilization <= 85
    assert 0 < said.cpu_utilization < 4


def test_without_work_there_is_the_processor_only(start: Starter) -> None:
    replica = start("--orca", "both")
    while not (said := report(replica)).cpu_utilization:
        replica.answers(50)
    assert said.application_utilization == 0
    assert said.rps_fractional > 0


def test_a_stream_brings_them_again_and_again(start: Starter) -> None:
    replica = start("--orca", "oob", "--delay", "20ms")
    assert KEY.encode() not in trailers(replica)
    began = time.monotonic()
    reports = list(itertools.islice(stream(replica, 0.001), 4))
    assert time.monotonic() - began >= 0.25  # not more often than every 100 ms, whatever was asked for
    assert [one.rps_fractional > 0 for one in reports] == [True] * 4
    described = ProtoReflectionDescriptorDatabase(replica.channel)
    assert SERVICE in described.get_services()


def test_a_stream_does_not_hold_up_a_drain(start: Starter) -> None:
    replica = start("--orca", "both", "--drain-timeout", "1h")
    reports = stream(replica, 3600)
    next(reports)
    replica.process.terminate()
    with pytest.raises(grpc.RpcError) as raised:
        next(reports)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert replica.end()[0] == 0


def test_a_call_in_flight_counts_as_work(start: Starter) -> None:
    replica = start("--orca", "oob", "--delay", "1h", "--slots", "2")
    waiting = [replica.get.future(Req()) for _ in range(3)]
    for said in stream(replica, 0.1):
        assert said.rps_fractional == 0
        if said.application_utilization > 0.5:
            break
    assert said.application_utilization <= 1
    for one in waiting:
        one.cancel()


# The arithmetic

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2 * WINDOW) | st.integers(0, STEP), st.sampled_from(["start", "stop", "end", "fail"])
    ),
    max_size=60,
)


@given(st.integers(0, 10 * WINDOW), EVENTS, st.integers(0, 2 * WINDOW))
def test_a_meter_tells_of_its_window(began: int, events: list[tuple[int, str]], rest: int) -> None:
    meter, now, working = Meter(began), began, 0
    spans: list[tuple[int, int, int]] = []  # from, until, calls that were worked on
    ended: list[tuple[int, bool]] = []
    for after, what in events:
        spans.append((now, now + after, working))
        now += after
        if what == "start":
            meter.start(now)
            working += 1
        elif what == "stop" and working:
            meter.stop(now)
            working -= 1
        elif what in {"end", "fail"}:
            meter.ended(now, failed=what == "fail")
            ended.append((now, what == "fail"))
    spans.append((now, now + rest, working))
    now += rest
    load = meter.read(now)
    since = max(began, (now // STEP - WINDOW // STEP) * STEP)
    assert WINDOW <= now - since < WINDOW + STEP or since == began
    took = now - since
    if not took:
        assert (load.rate, load.errors, load.working) == (0, 0, 0)
        return
    worked = sum(number * max(0, until - max(first, since)) for first, until, number in spans)
    assert load.working == pytest.approx(worked / took)
    assert load.rate == pytest.approx(sum(at >= since for at, _ in ended) * SECOND / took)
    assert load.errors == pytest.approx(sum(at >= since and failed for at, failed in ended) * SECOND / took)


@given(st.floats(0, 4), st.lists(st.integers(1, WINDOW), max_size=100))
def test_a_steady_use_of_the_processor_is_read_as_it_is(share: float, gaps: list[int]) -> None:
    now, processor = 0, Processor(0, 0)
    for gap in gaps:
        now += gap
        assert processor.read(now, int(now * share)) == pytest.approx(share, abs=1e-6 + 2 / gap)


def test_what_the_processor_did_long_ago_is_forgotten() -> None:
    processor = Processor(0, 0)
    assert processor.read(WINDOW, WINDOW) == 1
    for step in range(1, 52):
        share = processor.read(WINDOW + step * STEP, WINDOW)
    assert share == 0
