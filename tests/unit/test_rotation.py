"""Certificates and replicas that change while a load goes on."""

import asyncio
import ssl
from pathlib import Path

from lab.dns import DnsServer
from lab.zone import Zone
from tests.certificates import Authority, Secret
from tests.server.replica import Replica
from tests.unit.command import Load

NAME = "service.cluster.local"


async def test_backends_that_come_later_are_asked_for_their_certificate(tmp_path: Path) -> None:
    """With --insecure-skip-verify and discovery poll."""
    first, second = (
        Authority(tmp_path, ca).issue("replica.test", to=f"{ca}-replica").server for ca in ("one", "two")
    )
    async with DnsServer(Zone("cluster.local")) as dns:
        with Replica("--host", "127.0.0.2", *first) as one:
            at = ("--host", "127.0.0.3", "--port", str(one.port))
            with Replica(*at, *second) as two:
                dns.zone.set(NAME, ["127.0.0.2"])
                target = f"dns://127.0.0.1:{dns.port}/{NAME}:{one.port}"
                found = ("--discovery", "poll", "--poll-interval", "50ms", "--lb-policy", "round_robin")
                options = ("--insecure-skip-verify", "--rps", "50", "-z", "3s")
                with Load(target, *options, *found) as load:
                    await asyncio.to_thread(load.say)
                    dns.zone.set(NAME, ["127.0.0.2", "127.0.0.3"])
                    content = await asyncio.to_thread(load.result)
    assert content["totals"]["failed"] == 0
    assert set(content["backends"]) == {one.serving["id"], two.serving["id"]}


async def test_a_server_s_certificate_changes_and_no_call_fails(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    both = tmp_path / "both.pem"
    both.write_bytes(old.pem + new.pem)
    secret = Secret(tmp_path / "secret")
    secret.write(old.issue("localhost", to="first"))
    with Replica(*secret.options) as replica:
        target = f"localhost:{replica.port}"
        options = ("--cacert", str(both), "--rps", "50", "-z", "2s", "--connections", "per-call")
        with Load(target, *options) as load:
            await asyncio.to_thread(load.say)
            second = new.issue("localhost", to="second")
            secret.write(second)
            content = await asyncio.to_thread(load.result)
        shown = ssl.get_server_certificate(("127.0.0.1", replica.port))
        assert shown.strip() == second.certificate.read_text().strip()
        assert replica.line()["event"] == "certificate renewed"
    assert (content["totals"]["ok"], content["totals"]["failed"]) == (100, 0)
