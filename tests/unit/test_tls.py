"""`loadgen run` over TLS, against real servers with certificates of all sorts."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.dns import DnsServer
from lab.zone import Zone
from tests.certificates import Authority, Files
from tests.server.replica import Replica
from tests.unit.command import loadgen, run
from tests.unit.test_cli import check_refused

NAME = "service.test"
SOON = ("--ready-timeout", "500ms")

Serve = Callable[..., Replica]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ca(directory: Path) -> Authority:
    return Authority(directory)


@pytest.fixture(scope="module")
def stranger(directory: Path) -> Authority:
    """A CA that nobody was told to trust."""
    return Authority(directory, "stranger")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Replica(*options))


def at(replica: Replica, host: str = "localhost") -> str:
    return f"{host}:{replica.port}"


class TestItWorks:
    @pytest.mark.parametrize("discovery", ["dns", "static", "poll"])
    @pytest.mark.parametrize("more", [[], ["--connections", "2"], ["--connections", "per-call"]], ids=str)
    def test_with_each_discovery(self, discovery: str, more: list[str], serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server)
        content = run(at(replica), "--cacert", str(ca.file), "--discovery", discovery, "-n", "20", *more)
        assert content["totals"]["ok"] == 20

    def test_with_health_checks_and_warm_channels(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server)
        policy = ("--lb-policy", "round_robin", "--health-check", "--expect-backends", "1")
        content = run(at(replica), "--cacert", str(ca.file), *policy, "--discovery", "poll")
        assert content["totals"]["ok"] == 200

    @pytest.mark.parametrize("discovery", ["dns", "static"])
    async def test_a_name_with_a_final_dot(self, discovery: str, serve: Serve, ca: Authority) -> None:
        name = "service.cluster.local"
        replica = serve(*ca.issue(name).server)
        async with DnsServer(Zone("cluster.local")) as dns:
            dns.zone.set(name, ["127.0.0.1"])
            target = f"dns://127.0.0.1:{dns.port}/{name}.:{replica.port}"
            for options in (["--cacert", str(ca.file)], ["--insecure-skip-verify"]):
                content = await asyncio.to_thread(run, target, *options, "--discovery", discovery)
                assert content["totals"]["failed"] == 0

    def test_an_address_that_is_in_the_certificate(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("127.0.0.1").server)
        assert run(at(replica, "127.0.0.1"), "--cacert", str(ca.file))["totals"]["failed"] == 0

    @pytest.mark.parametrize("discovery", ["dns", "static"])
    def test_another_name(self, discovery: str, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue(NAME).server)
        options = ("--cacert", str(ca.file), "--server-name", NAME, "--discovery", discovery)
        assert run(at(replica), *options)["totals"]["failed"] == 0

    def test_several_addresses_need_one_name(self, serve: Serve, ca: Authority) -> None:
        first, second = (serve(*ca.issue(NAME, to=to).server) for to in ("first", "second"))
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        options = ("--cacert", str(ca.file), "--lb-policy", "round_robin")
        check_refused(loadgen("run", target, *options), 2, "several addresses with TLS need --server-name")
        content = run(target, *options, "--server-name", NAME, "-n", "10")
        assert sorted(one["ok"] for one in content["backends"].values()) == [5, 5]

    def test_a_client_certificate(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server, "--tls-client-ca", str(ca.file))
        client = ca.issue("client.test").client
        assert run(at(replica), "--cacert", str(ca.file), *client)["totals"]["failed"] == 0

    def test_several_processes(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server)
        content = run(at(replica), "--cacert", str(ca.file), "--workers", "2", "-c", "2")
        assert (content["totals"]["ok"], len(content["shards"])) == (200, 2)

    def test_the_cas_of_the_system(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server)
        trusted = {"SSL_CERT_FILE": str(ca.file), "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(ca.file)}
        assert run(at(replica), "--tls", **trusted)["totals"]["failed"] == 0

    def test_from_a_plan_file_and_the_environment(self, serve: Serve, ca: Authority, tmp_path: Path) -> None:
        replica = serve(*ca.issue(NAME).server)
        path = tmp_path / "plan.yaml"
        path.write_text(f"target: {at(replica)}\ncacert: {ca.file}\ntotal: 3\n")
        plan = run("--config", str(path), LOADGEN_RUN_SERVER_NAME=NAME)["plan"]
        assert (plan["cacert"], plan["server_name"]) == (str(ca.file), NAME)


class TestUnverified:
    """`--insecure-skip-verify`."""

    @pytest.mark.parametrize("name", ["localhost", NAME, "*.service.test", "127.0.0.9"])
    @pytest.mark.parametrize("discovery", ["dns", "poll"])
    def test_any_name_and_ca(self, name: str, discovery: str, serve: Serve, stranger: Authority) -> None:
        replica = serve(*stranger.issue(name).server)
        content = run(at(replica), "--insecure-skip-verify", "--discovery", discovery)
        assert content["totals"]["failed"] == 0

    def test_several_addresses_with_a_certificate_each(self, serve: Serve, ca: Authority) -> None:
        first, second = (serve(*ca.issue(NAME, to=to).server) for to in ("first", "second"))
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        content = run(target, "--insecure-skip-verify", "--lb-policy", "round_robin", "-n", "10")
        assert sorted(one["ok"] for one in content["backends"].values()) == [5, 5]

    def test_two_names_cannot_be_had(self, serve: Serve, ca: Authority) -> None:
        first, second = (serve(*ca.issue(name).server) for name in ("one.test", "two.test"))
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        ended = loadgen("run", target, "--insecure-skip-verify", *SOON)
        check_refused(ended, 1, "the backends' certificates have no name in common")

    def test_an_expired_one_is_refused_all_the_same(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost", expired=True).server)
        ended = loadgen("run", at(replica), "--insecure-skip-verify", *SOON)
        check_refused(ended, 1, "the server's certificate has expired; renew it")

    def test_nobody_is_there(self) -> None:
        ended = loadgen("run", "127.0.0.1:1", "--insecure-skip-verify", *SOON)
        check_refused(ended, 1, "127.0.0.1:1: Connection refused")

    def test_one_of_several_is_not_there(self, serve: Serve, stranger: Authority) -> None:
        replica = serve(*stranger.issue(NAME).server)
        target = f"ipv4:127.0.0.1:1,127.0.0.1:{replica.port}"
        assert run(target, "--insecure-skip-verify", "-n", "5")["totals"]["ok"] == 5

    def test_there_must_be_an_address_to_ask(self) -> None:
        ended = loadgen("run", "unix:/nowhere", "--insecure-skip-verify")
        check_refused(ended, 2, "--insecure-skip-verify needs a target with a host name or IPs")


class TestRefused:
    """One line that says what is wrong and what to change."""

    @pytest.fixture(params=["pick_first", "round_robin"])
    def fails(self, request: pytest.FixtureRequest, ca: Authority) -> Callable[..., None]:
        def fails(replica: Replica, says: str, *options: str) -> None:
            policy = ("--lb-policy", request.param)
            ended = loadgen("run", at(replica), *SOON, *policy, *options, SSL_CERT_FILE=str(ca.file))
            check_refused(ended, 1, f"127.0.0.1:{replica.port}: {says}")
            assert ended.out == ""

        return fails

    def test_an_expired_certificate(self, fails: Callable, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost", expired=True).server)
        fails(replica, "the server's certificate has expired; renew it", "--cacert", str(ca.file))

    def test_another_name(self, fails: Callable, serve: Serve, ca: Authority) -> None:
        says = (
            f"the server's certificate is for another name than localhost: {NAME};"
            " give a name that is in it with --server-name"
        )
        fails(serve(*ca.issue(NAME).server), says, "--cacert", str(ca.file))

    def test_an_unknown_ca(self, fails: Callable, serve: Serve, ca: Authority, stranger: Authority) -> None:
        says = "the server's certificate is from an unknown CA; give that CA's certificate with --cacert"
        fails(serve(*stranger.issue("localhost").server), says, "--cacert", str(ca.file))

    def test_no_client_certificate(self, fails: Callable, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost").server, "--tls-client-ca", str(ca.file))
        says = (
            "the server closed the connection once it was secured: it wants a client certificate;"
            " give one with --cert and --key"
        )
        fails(replica, says, "--cacert", str(ca.file))
        fails(replica, says, "--insecure-skip-verify")

    def test_a_client_certificate_of_another_ca(
        self, fails: Callable, serve: Serve, ca: Authority, stranger: Authority
    ) -> None:
        replica = serve(*ca.issue("localhost").server, "--tls-client-ca", str(ca.file))
        client = stranger.issue("client.test").client
        fails(replica, "the server closed the connection", "--cacert", str(ca.file), *client)

    def test_tls_to_a_server_without(self, fails: Callable, serve: Serve, ca: Authority) -> None:
        fails(serve(), "the server speaks no TLS; leave out --tls", "--cacert", str(ca.file))

    def test_plaintext_to_a_server_with(self, fails: Callable, serve: Serve, ca: Authority) -> None:
        fails(serve(*ca.issue("localhost").server), "the server wants TLS; give --tls, or --cacert")

    def test_calls_that_did_not_wait_say_it_too(self, serve: Serve, ca: Authority) -> None:
        replica = serve(*ca.issue("localhost", expired=True).server)
        ended = loadgen("run", at(replica), "--cold", "-n", "3", "--cacert", str(ca.file))
        check_refused(ended, 1, "the server's certificate has expired)")
        assert "renew it" in ended.out

    def test_a_refused_connection_is_no_matter_of_tls(self, ca: Authority) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            target = f"127.0.0.1:{unused.getsockname()[1]}"
            ended = loadgen("run", target, "--cacert", str(ca.file), *SOON)
        check_refused(ended, 1, "Connection refused; check that it runs and that host and port are right")


class TestFiles:
    """They are read before any load."""

    @pytest.fixture
    def client(self, ca: Authority) -> Files:
        return ca.issue("client.test")

    def test_wrong_ones(self, client: Files, ca: Authority, tmp_path: Path) -> None:
        other = ca.issue("other.test")
        damaged = tmp_path / "damaged.pem"
        damaged.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
        empty = tmp_path / "empty.pem"
        empty.touch()
        for options, says in (
            (["--cacert", str(tmp_path / "no.pem")], "cannot read --cacert"),
            (["--cacert", str(tmp_path)], "Is a directory"),
            (["--cacert", str(empty)], "has no certificate in PEM"),
            (["--cacert", str(client.key)], "has no certificate in PEM"),
            (["--cacert", str(damaged)], "is damaged"),
            (["--cert", str(tmp_path / "no.pem"), "--key", str(client.key)], "cannot read --cert"),
            (["--cert", str(client.key), "--key", str(client.key)], "has no certificate in PEM"),
            (
                ["--cert", str(client.certificate), "--key", str(client.certificate)],
                "has no private key in PEM",
            ),
            (["--cert", str(client.certificate), "--key", str(other.key)], "is not the key of"),
            (["--cert", str(damaged), "--key", str(client.key)], "is damaged"),
            (["--cert", str(client.certificate), "--key", str(client.encrypted_key())], "is encrypted"),
        ):
            check_refused(loadgen("run", "localhost:1", *options), 1, says)
