import socket
from collections.abc import Iterator

import grpc
import pytest

from tests.server.replica import GOAWAY, Connection, Starter, fail


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_options_come_from_the_environment_and_proxies_do_not_matter(start: Starter) -> None:
    replica = start(
        SERVER_NAME="pod-1",
        SERVER_ADDRESS="10.0.0.9:9090",
        SERVER_ERROR_RATIO="1",
        SERVER_DELAY="20ms",
        SERVER_MAX_CONNECTION_AGE="1h",
        SERVER_MAX_CONNECTION_AGE_GRACE="1m",
        http_proxy="http://127.0.0.1:9",
        grpc_proxy="http://127.0.0.1:9",
    )
    (call,) = replica.answers(1)
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(call.trailing_metadata()) == {
        "replica-id": replica.serving["id"],
        "replica-name": "pod-1",
        "replica-address": "10.0.0.9:9090",
    }
    assert replica.metric("grpc_server_handling_seconds_sum") >= 0.02


def test_the_log_says_what_is_served(start: Starter) -> None:
    first, second = start(), start()
    assert first.serving["event"] == "serving"
    assert first.serving["name"] == socket.gethostname()
    assert first.serving["address"] == f"127.0.0.1:{first.port}"
    assert first.serving["id"] != second.serving["id"]
    assert len({first.port, second.port, first.serving["metrics_port"]}) == 3


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_a_clear_error(taken: int, option: str, host: str) -> None:
    other = {"--port": "--metrics-port", "--metrics-port": "--port"}[option]
    code, line = fail("--host", host, option, str(taken), other, "0")
    assert code == 1
    assert line.startswith(f"Error: cannot listen on {host}:{taken}: Address already in use; ")
    assert option in line


def test_two_replicas_cannot_share_a_port(start: Starter) -> None:
    port = str(start().port)
    code, line = fail("--host", "127.0.0.1", "--port", port, "--metrics-port", "0")
    assert code == 1
    assert f"127.0.0.1:{port}" in line


@pytest.mark.parametrize("host", ["203.0.113.1", "x" * 70])
def test_a_host_of_another_machine_is_a_clear_error(host: str) -> None:
    code, line = fail("--host", host)
    assert code == 1
    assert host in line
    assert "--host" in line


def test_a_connection_gets_a_goaway_when_it_is_old(start: Starter) -> None:
    replica = start("--max-connection-age", "200ms")
    with Connection(replica.port) as connection:
        assert b"max_age" in connection.frame(GOAWAY)
