import time

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from service_proto.service_pb2 import Req
from tests.server.replica import PATIENCE, Starter


def test_a_share_of_the_gets_fails_with_the_replicas_metadata(start: Starter) -> None:
    replica = start("--error-ratio", "0.3", "--name", "flaky")
    calls = replica.answers(100)
    failed = [call for call in calls if call.code() is not grpc.StatusCode.OK]
    assert len(failed) == 30
    assert {call.code() for call in failed} == {grpc.StatusCode.UNAVAILABLE}
    for call in failed:
        assert dict(call.trailing_metadata()) == {
            "replica-id": replica.serving["id"],
            "replica-name": "flaky",
            "replica-address": f"127.0.0.1:{replica.port}",
        }
    assert replica.metric("grpc_server_handled_total", grpc_code="UNAVAILABLE") == 30
    assert replica.metric("grpc_server_handled_total", grpc_code="OK") == 70
    replica.process.terminate()
    code, lines = replica.end()
    assert code == 0
    assert lines[-1]["served"] == 100


def test_slots_bound_how_many_are_worked_on(start: Starter) -> None:
    replica = start("--slots", "2", "--delay", "150ms")
    began = time.monotonic()
    calls = replica.answers(6)
    assert time.monotonic() - began >= 0.45
    assert {call.code() for call in calls} == {grpc.StatusCode.OK}
    # the wait for a slot is no work
    handling = replica.metric("grpc_server_handling_seconds_sum")
    assert 0.9 <= replica.metric("server_work_seconds_total") < handling


def test_a_cancelled_get_gives_its_slot_back(start: Starter) -> None:
    replica = start("--slots", "1", "--delay", "1h")
    worked_on = replica.get.future(Req())
    replica.await_in_flight(1)
    waiting = replica.get.future(Req())
    replica.await_in_flight(2)
    waiting.cancel()
    worked_on.cancel()
    replica.await_in_flight(0)
    assert replica.metric("grpc_server_handled_total", grpc_code="CANCELLED") == 2


def test_a_stall_holds_gets_until_its_end_but_not_health(start: Starter) -> None:
    # the first period ends long after the start: from 10 ms on it stalls
    replica = start("--stall-every", "1h", "--stall-for", "3599990ms")
    deadline = time.monotonic() + PATIENCE
    held = False
    while not held:
        assert time.monotonic() < deadline
        call = replica.get.future(Req(), timeout=1)
        held = call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    answer = HealthStub(replica.channel).Check(HealthCheckRequest(), timeout=PATIENCE)
    assert answer.status == HealthCheckResponse.SERVING


def test_gets_of_a_stall_are_answered_after_it(start: Starter) -> None:
    replica = start("--stall-every", "1s", "--stall-for", "900ms")
    longest = 0.0
    deadline = time.monotonic() + PATIENCE
    while longest < 0.5:
        assert time.monotonic() < deadline
        began = time.monotonic()
        replica.get(Req(), timeout=PATIENCE)
        longest = time.monotonic() - began


def test_a_get_worked_on_when_a_stall_begins_waits_too(start: Starter) -> None:
    # whenever it arrives, its 400 ms of work reach into the last 700 ms of a second
    replica = start("--stall-every", "1s", "--stall-for", "700ms", "--delay", "400ms")
    replica.answers(4)
    assert replica.metric("grpc_server_handling_seconds_count") == 4
    assert replica.metric("grpc_server_handling_seconds_bucket", le="0.5") == 0
