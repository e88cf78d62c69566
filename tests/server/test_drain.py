import signal
import subprocess
from shutil import which

import grpc
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from service_proto.service_pb2 import Req
from tests.server.replica import GOAWAY, PATIENCE, SETTINGS, Connection, Replica, Starter

# as a container does: there process 1 has no default actions for signals
NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def namespaces() -> bool:
    return bool(which("unshare")) and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0


def in_flight(replica: Replica) -> grpc.Future:
    call = replica.get.future(Req(), timeout=PATIENCE)
    replica.await_in_flight(1)
    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_get_in_flight_is_finished(start: Starter, number: signal.Signals) -> None:
    replica = start("--delay", "500ms")
    call = in_flight(replica)
    replica.process.send_signal(number)
    draining = replica.line()
    assert (draining["event"], draining["in_flight"]) == ("draining", 1)
    assert call.result().id == replica.serving["id"]
    code, (stopped,) = replica.end()
    assert code == 0
    assert (stopped["event"], stopped["served"], stopped["cut"]) == ("stopped", 1, 0)


def test_health_is_not_serving_while_gets_still_are_answered(start: Starter) -> None:
    replica = start("--drain-delay", "1h")
    health = HealthStub(replica.channel)
    watch = health.Watch(HealthCheckRequest(service="Service"), timeout=PATIENCE)
    assert next(watch).status == HealthCheckResponse.SERVING

    replica.process.terminate()
    assert next(watch).status == HealthCheckResponse.NOT_SERVING
    for service in ("", "Service"):
        answer = health.Check(HealthCheckRequest(service=service), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.NOT_SERVING
    assert replica.get(Req(), timeout=PATIENCE).id == replica.serving["id"]
    assert replica.metric("server_draining") == 1

    replica.process.terminate()  # ends the hour's delay
    with pytest.raises(grpc.RpcError) as ended:
        next(watch)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert replica.end()[0] == 0


def test_connections_get_a_goaway(start: Starter) -> None:
    replica = start()
    with Connection(replica.port) as connection:
        connection.frame(SETTINGS)
        replica.process.terminate()
        connection.frame(GOAWAY)
    assert replica.end()[0] == 0


def test_a_second_signal_cuts_gets_off(start: Starter) -> None:
    replica = start("--delay", "1h", "--drain-timeout", "1h")
    call = in_flight(replica)
    replica.process.terminate()
    assert replica.line()["event"] == "draining"
    replica.process.terminate()
    code, (stopped,) = replica.end()
    assert code == 1
    assert (stopped["served"], stopped["cut"]) == (0, 1)
    assert call.code() is not grpc.StatusCode.OK


def test_the_drain_timeout_cuts_gets_off(start: Starter) -> None:
    replica = start("--delay", "1h", "--drain-timeout", "50ms")
    call = in_flight(replica)
    replica.process.terminate()
    code, (_, stopped) = replica.end()
    assert code == 1
    assert stopped["cut"] == 1
    assert call.code() is not grpc.StatusCode.OK


def test_a_watch_does_not_hold_up_the_drain(start: Starter) -> None:
    replica = start("--drain-timeout", "1h")
    watch = HealthStub(replica.channel).Watch(HealthCheckRequest(), timeout=PATIENCE)
    next(watch)
    replica.process.terminate()
    with pytest.raises(grpc.RpcError) as ended:
        list(watch)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert replica.end()[0] == 0


def test_a_closed_stdout_does_not_disturb_the_drain(start: Starter) -> None:
    replica = start()
    replica.process.stdout.close()
    replica.process.terminate()
    assert replica.process.stderr.read() == ""
    assert replica.process.wait(PATIENCE) == 0


@pytest.mark.skipif(not namespaces(), reason="no new process namespace can be had here")
def test_it_drains_as_process_1(start: Starter) -> None:
    replica = start(before=NAMESPACE)
    (first,) = psutil.Process(replica.process.pid).children()
    first.terminate()
    code, lines = replica.end()
    assert code == 0
    assert [line["event"] for line in lines] == ["draining", "stopped"]
