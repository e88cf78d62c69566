from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from service_proto.service_pb2 import Req
from tests.server.replica import PATIENCE, Replica, Starter


def test_every_get_has_the_one_id(replica: Replica) -> None:
    ids = {replica.get(Req(), timeout=PATIENCE).id for _ in range(20)}
    assert ids == {replica.serving["id"]}
    assert UUID(ids.pop()).version == 4


def test_metadata_names_the_replica(replica: Replica) -> None:
    _, call = replica.get.with_call(Req(), timeout=PATIENCE)
    assert dict(call.trailing_metadata()) == {
        "replica-id": replica.serving["id"],
        "replica-name": "first",
        "replica-address": "10.0.0.1:9090",
    }


def test_3000_gets_at_once_all_succeed(replica: Replica) -> None:
    calls = replica.answers(3000)
    assert {call.code() for call in calls} == {grpc.StatusCode.OK}
    assert {call.result().id for call in calls} == {replica.serving["id"]}


def test_health_knows_the_server_and_the_service(replica: Replica) -> None:
    check = HealthStub(replica.channel).Check
    for service in ("", "Service"):
        answer = check(HealthCheckRequest(service=service), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.SERVING


def test_reflection_describes_the_services(replica: Replica) -> None:
    with replica.connect() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "Service",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        file = database.FindFileContainingSymbol("Service")
    (method,) = file.service[0].method
    assert (method.name, method.input_type, method.output_type) == ("Get", ".Req", ".Res")


def test_metrics_count_the_gets(replica: Replica) -> None:
    def counts() -> list[float]:
        return [
            replica.metric("grpc_server_started_total", grpc_service="Service", grpc_method="Get"),
            replica.metric("grpc_server_handled_total", grpc_code="OK"),
            replica.metric("grpc_server_handling_seconds_count"),
            replica.metric("grpc_server_handling_seconds_bucket", le="+Inf"),
        ]

    before = counts()
    replica.answers(7)
    assert counts() == [count + 7 for count in before]
    assert replica.metric("server_calls_in_flight") == 0
    assert replica.metric("server_draining") == 0
    assert replica.metric("server_info", id=replica.serving["id"], name="first") == 1
    assert replica.metric("process_resident_memory_bytes") > 0
    assert replica.metric("python_info") == 1


def test_metrics_time_the_gets(start: Starter) -> None:
    replica = start("--delay", "60ms")
    replica.answers(2)
    assert replica.metric("grpc_server_handling_seconds_sum") >= 0.12
    assert replica.metric("grpc_server_handling_seconds_bucket", le="0.05") == 0


def test_scrapes_do_not_wait_for_each_other(replica: Replica) -> None:
    with ThreadPoolExecutor(8) as pool:
        values = pool.map(lambda _: replica.metric("server_draining"), range(16))
    assert set(values) == {0}
