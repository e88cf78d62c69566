"""TLS, the plaintext health port beside it, and certificates that change while it serves."""

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from service_proto.service_pb2 import Req, Res
from tests.certificates import Authority, Files, Secret
from tests.server.replica import PATIENCE, Replica, Starter, fail

NAME = "replica.test"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def channel(port: int, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.ssl_target_name_override", NAME),
    ]
    address = f"127.0.0.1:{port}"
    if credentials is None:
        return grpc.insecure_channel(address, options[:2])
    return grpc.secure_channel(address, credentials, options)


def get(port: int, credentials: grpc.ChannelCredentials | None) -> str:
    """Make one Get on a connection of its own: the id, or the status code."""
    with channel(port, credentials) as one:
        call: Callable[..., Res] = one.unary_unary(
            "/Service/Get",
            request_serializer=Req.SerializeToString,
            response_deserializer=Res.FromString,
        )
        try:
            return call(Req(), timeout=PATIENCE).id
        except grpc.RpcError as error:
            return str(error.code().name)


def test_it_speaks_tls_and_nothing_else(start: Starter, ca: Authority) -> None:
    replica = start(*ca.issue(NAME).server)
    assert replica.serving["tls"] == "server"
    assert get(replica.port, grpc.ssl_channel_credentials(ca.pem)) == replica.serving["id"]
    assert get(replica.port, None) == "UNAVAILABLE"


def test_it_wants_a_client_certificate_of_its_ca(start: Starter, ca: Authority, tmp_path: Path) -> None:
    replica = start(*ca.issue(NAME).server, "--tls-client-ca", str(ca.file))
    assert replica.serving["tls"] == "mutual"
    assert get(replica.port, grpc.ssl_channel_credentials(ca.pem)) == "UNAVAILABLE"
    stranger = Authority(tmp_path, "stranger")
    for issuer, expected in ((ca, replica.serving["id"]), (stranger, "UNAVAILABLE")):
        client = issuer.issue("client.test")
        pair = (client.key.read_bytes(), client.certificate.read_bytes())
        assert get(replica.port, grpc.ssl_channel_credentials(ca.pem, *pair)) == expected


def test_the_files_can_come_from_the_environment(start: Starter, ca: Authority) -> None:
    files = ca.issue(NAME)
    replica = start(
        SERVER_TLS_CERT=str(files.certificate),
        SERVER_TLS_KEY=str(files.key),
        SERVER_TLS_CLIENT_CA=str(ca.file),
        SERVER_HEALTH_PORT="0",
    )
    assert replica.serving["tls"] == "mutual"
    assert replica.serving["health_port"]


def test_the_health_port_is_plaintext_and_has_health_alone(start: Starter, ca: Authority) -> None:
    replica = start(*ca.issue(NAME).server, "--health-port", "0")
    port = replica.serving["health_port"]
    with channel(port, None) as plain:
        for service in ("", "Service"):
            answer = HealthStub(plain).Check(HealthCheckRequest(service=service), timeout=PATIENCE)
            assert answer.status == HealthCheckResponse.SERVING
    assert get(port, None) == "UNIMPLEMENTED"


def test_a_drain_shows_on_the_health_port_and_ends_its_watches(start: Starter, ca: Authority) -> None:
    replica = start(*ca.issue(NAME).server, "--health-port", "0", "--drain-delay", "1h")
    with channel(replica.serving["health_port"], None) as plain:
        health = HealthStub(plain)
        watch = health.Watch(HealthCheckRequest(service="Service"), timeout=PATIENCE)
        assert next(watch).status == HealthCheckResponse.SERVING
        replica.process.terminate()
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        answer = health.Check(HealthCheckRequest(), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.NOT_SERVING
        assert get(replica.port, grpc.ssl_channel_credentials(ca.pem)) == replica.serving["id"]
        replica.process.terminate()
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert replica.end()[0] == 0


def test_a_health_port_needs_no_tls(start: Starter) -> None:
    replica = start("--health-port", "0")
    with channel(replica.serving["health_port"], None) as plain:
        answer = HealthStub(plain).Check(HealthCheckRequest(), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.SERVING
    assert "tls" not in replica.serving


def shown(replica: Replica) -> str:
    """Return the certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", replica.port)).strip()


def test_a_new_certificate_is_taken_up_and_no_call_fails(start: Starter, tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    secret = Secret(tmp_path / "secret")
    first = old.issue(NAME, to="first")
    secret.write(first)
    replica = start(*secret.options)
    credentials = grpc.ssl_channel_credentials(old.pem + new.pem)
    answers: list[str] = []
    over = threading.Event()

    def call() -> None:
        with channel(replica.port, credentials) as kept:
            again = kept.unary_unary(
                "/Service/Get",
                request_serializer=Req.SerializeToString,
                response_deserializer=Res.FromString,
            )
            while not over.is_set():
                answers.append(again(Req(), timeout=PATIENCE).id)
                answers.append(get(replica.port, credentials))

    def calls_go_on() -> None:
        wanted, deadline = len(answers) + 4, time.monotonic() + PATIENCE
        while len(answers) < wanted:
            assert time.monotonic() < deadline
            assert caller.is_alive()
            time.sleep(0.001)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        calls_go_on()
        assert shown(replica) == first.certificate.read_text().strip()
        second = new.issue(NAME, to="second")
        # the certificate alone, then damaged: half of a rotation must change nothing
        secret.write(Files(second.certificate, first.key))
        assert shown(replica) == first.certificate.read_text().strip()
        line = replica.line()
        assert (line["event"], line["level"]) == ("certificate not renewed", "warning")
        assert line["reason"].endswith("do not belong together.")
        damaged = tmp_path / "damaged.crt"
        damaged.write_bytes(second.certificate.read_bytes()[:200])
        secret.write(Files(damaged, second.key))
        assert shown(replica) == first.certificate.read_text().strip()
        assert replica.line()["reason"].endswith("not valid PEM.")
        calls_go_on()
        secret.write(second)
        calls_go_on()
        assert shown(replica) == second.certificate.read_text().strip()
        assert replica.line()["event"] == "certificate renewed"
        assert get(replica.port, grpc.ssl_channel_credentials(new.pem)) == replica.serving["id"]
        assert get(replica.port, grpc.ssl_channel_credentials(old.pem)) == "UNAVAILABLE"
    finally:
        over.set()
        caller.join(PATIENCE)
    assert set(answers) == {replica.serving["id"]}


def test_a_new_client_ca_is_taken_up(start: Starter, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(Authority(tmp_path, "old").pem)
    replica = start(*ca.issue(NAME).server, "--tls-client-ca", str(trusted))
    client = ca.issue("client.test")
    mine = grpc.ssl_channel_credentials(ca.pem, client.key.read_bytes(), client.certificate.read_bytes())
    assert get(replica.port, mine) == "UNAVAILABLE"
    trusted.write_bytes(ca.pem)
    assert get(replica.port, mine) == replica.serving["id"]


def test_files_that_cannot_be_used(ca: Authority, tmp_path: Path) -> None:
    good, other = ca.issue(NAME), ca.issue("other.test")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    encrypted = good.encrypted_key()
    crt, key = str(good.certificate), str(good.key)
    for files, says in (
        ((str(tmp_path / "no.crt"), key), "cannot read --tls-cert"),
        ((crt, str(tmp_path)), "Is a directory"),
        ((key, key), "has no certificate in PEM"),
        ((crt, crt), "has no private key in PEM"),
        ((crt, str(other.key)), "do not belong together"),
        ((str(damaged), key), "is damaged"),
        ((crt, str(encrypted)), "is encrypted; give one without a passphrase"),
        ((crt, key, str(tmp_path / "no.pem")), "cannot read --tls-client-ca"),
        ((crt, key, str(damaged)), "--tls-client-ca"),
    ):
        options = zip(("--tls-cert", "--tls-key", "--tls-client-ca"), files, strict=False)
        code, line = fail("--port", "0", "--metrics-port", "0", *(word for pair in options for word in pair))
        assert (code, line.startswith("Error: ")) == (1, True), line
        assert says in line


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key", "--tls-client-ca"])
def test_options_that_need_another(option: str) -> None:
    code, line = fail(option, "some.pem")
    assert code == 2
    assert "need" in line


def test_a_health_port_in_use_is_a_clear_error(start: Starter) -> None:
    port = str(start().port)
    code, line = fail("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--health-port", port)
    assert code == 1
    assert "--health-port" in line
    code, line = fail("--port", port, "--health-port", port)
    assert code == 2
    assert line.endswith("--port and --health-port must differ.")
