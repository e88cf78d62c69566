"""Discovery `watch` where the Kubernetes API is in trouble."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lab.api import ApiServer
from lab.cluster import LocalCluster
from lab.objects import endpoint
from loadgen import api as client
from loadgen.discovery import Static
from loadgen.errors import NoAnswerError, ResolutionError
from loadgen.fallback import Fallback
from loadgen.following import PATIENCE
from loadgen.target import DnsName
from loadgen.watching import Watch
from tests.certificates import Authority
from tests.unit.command import events, loadgen, rules, run
from tests.unit.test_watching import HOST, ROLE, Following, ledger
from tests.unit.waiting import until


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    async with ApiServer() as api:
        use(monkeypatch, tmp_path, api.kubeconfig())
        api.service("server", 9090)
        api.slice("server", 9090, endpoint("10.0.0.1"))
        yield api


@pytest.fixture
async def watch(api: ApiServer) -> AsyncIterator[Watch]:
    watch = Watch.of(DnsName("", HOST, 9090))
    yield watch
    await watch.close()


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, kubeconfig: str) -> None:
    file = folder / "kubeconfig"
    file.write_text(kubeconfig)
    monkeypatch.setenv("KUBECONFIG", str(file))


def of(api: ApiServer, verb: str) -> list[str]:
    return [one for one in api.requests if one.startswith(verb)]


async def test_a_list_whose_pages_have_expired_is_read_at_once(
    api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for n in range(2, 6):
        api.slice("server", 9090, endpoint(f"10.0.0.{n}"), name=f"server-{n}")
    answer = api._list

    async def expiring(*arguments: Any) -> None:
        await answer(*arguments)
        api.compact()

    monkeypatch.setattr(api, "_list", expiring)
    assert len((await watch.lookup()).addresses or ()) == 5
    assert ["continue=" in one for one in of(api, "list")] == [False, True, False]
    assert "limit=" not in of(api, "list")[-1]


async def test_pages_are_of_one_version(
    api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between two pages is told by the watch that follows."""
    monkeypatch.setattr(client, "PAGE", 1)
    monkeypatch.setattr("loadgen.following.BACKOFF", (0.001, 0.01))
    api.slice("server", 9090, endpoint("10.0.0.2"), name="server-2")
    async with Following(api, watch) as following:
        answer = api._list

        async def changing(*arguments: Any) -> None:
            await answer(*arguments)
            if len(of(api, "list")) % 2:
                api.slice("server", 9090, endpoint(f"10.0.1.{len(api.requests)}"), name="server-1")

        monkeypatch.setattr(api, "_list", changing)
        for _ in range(3):
            api.compact()
            api.cut()
            await until(lambda: api.watches == 0)
            await until(lambda: api.watches == 1)
        api.slice("server", 9090, endpoint("10.0.0.9"), name="server-1")
        await following.sees("10.0.0.2", "10.0.0.9")


async def test_too_many_requests_are_made_again_when_it_says(
    api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float) -> None:
        slept.append(seconds)
        await sleep(min(seconds, 0.01))

    async with Following(api, watch) as following:
        lists = len(of(api, "list"))
        monkeypatch.setattr(asyncio, "sleep", short)
        api.busy += [7, 3600]
        api.end()
        await until(lambda: following.events == ["discovery.failed", "discovery.recovered"])
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert [one for one in slept if one > 5] == [7, PATIENCE]
    assert len(of(api, "list")) == lists, "it goes on from where it was"
    assert "answers 429: the server has received too many" in str(following.notes.events[0].attributes)


async def test_an_api_that_takes_requests_and_answers_nothing(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER", 0.2)
    watch = Watch.of(DnsName("", HOST, 9090))
    api.silent = True
    with pytest.raises(ResolutionError, match="does not answer: nothing came in time"):
        await watch.lookup()
    await watch.close()


async def test_a_watch_that_is_never_answered_is_noticed_long_before_it_would_end(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER", 0.2)
    watch = Watch.of(DnsName("", HOST, 9090))
    async with Following(api, watch) as following:
        api.silent = True
        api.cut()
        await until(lambda: following.events == ["discovery.failed"])
        api.silent = False
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert following.events == ["discovery.failed", "discovery.recovered"]
    await watch.close()


async def test_a_watch_that_stays_open_and_tells_nothing_is_made_anew(
    api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.following.WATCH", (1, 1))
    monkeypatch.setattr(client, "SPARE", 0.1)
    async with Following(api, watch) as following:
        api.silent = True
        api.slice("server", 9090, endpoint("10.0.0.2"))  # is lost
        silenced = len(of(api, "watch"))
        await until(lambda: len(of(api, "watch")) > silenced)
        api.silent = False
        api.cut()
        await following.sees("10.0.0.2")


@pytest.mark.parametrize("lost", ["{", '{"type": "ADDED", "object": 7}', '{"type": "MODIFIED"', "\0"])
async def test_what_a_malformed_event_was_to_tell_is_not_lost(
    lost: str, api: ApiServer, watch: Watch
) -> None:
    async with Following(api, watch) as following:
        queues, api._watches = api._watches, {}
        api.slice("server", 9090, endpoint("10.0.0.2"))  # nobody is told
        api._watches = queues
        api.say(lost)
        await following.sees("10.0.0.2")
    assert following.events == ["discovery.skipped"]


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_an_event_that_is_cut_in_the_middle_is_told_again(
    ending: str, api: ApiServer, watch: Watch
) -> None:
    async with Following(api, watch) as following:
        for writer in api._writers:
            writer.write(b'a\r\n{"type": "\r\n')
        getattr(api, ending)()
        await until(lambda: api.watches == 0)
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert following.events == []


async def test_text_that_looks_like_a_line_s_end_to_unicode(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        one = {
            "metadata": {
                "name": "server-1",
                "resourceVersion": "900",
                "annotations": {"note": "a\x85b\u2028c"},
            },
            "addressType": "IPv4",
            "endpoints": [endpoint("10.0.0.2")],
        }
        api.say(json.dumps({"type": "MODIFIED", "object": one}, ensure_ascii=False))
        await following.sees("10.0.0.2")
    assert following.events == []


async def test_an_event_without_end(api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LINE", 4096)
    async with Following(api, watch) as following:
        for _ in range(5):
            for writer in api._writers:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await until(lambda: "discovery.recovered" in following.events)
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert "an event of more than" in str(following.notes.events[0].attributes)


async def test_a_token_that_was_rotated(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    use(monkeypatch, tmp_path, api.kubeconfig(user={"tokenFile": str(token)}))
    api.tokens = {"first"}
    watch = Watch.of(DnsName("", HOST, 9090))
    async with Following(api, watch) as following:
        token.write_text("second\n")
        api.tokens = {"second"}
        api.end()
        await until(lambda: api.watches == 0)
        await until(lambda: api.watches == 1)
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
        assert following.events == []
        api.tokens = {"third"}
        api.end()
        await until(lambda: following.events == ["discovery.failed"])
    assert "the credentials are not accepted" in str(following.notes.events[0].attributes)
    await watch.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_api_s_certificate(trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = Authority(tmp_path, "mine"), Authority(tmp_path, "other")
    files = mine.issue("127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    async with ApiServer(tls=tls) as api:
        ca = base64.b64encode((mine if trusted else other).pem).decode()
        use(monkeypatch, tmp_path, api.kubeconfig(**{"certificate-authority-data": ca}))
        api.service("server", 9090)
        api.slice("server", 9090, endpoint("10.0.0.1"))
        watch = Watch.of(DnsName("", HOST, 9090))
        if trusted:
            assert (await watch.lookup()).addresses == ("10.0.0.1:9090",)
        else:
            with pytest.raises(ResolutionError, match="CERTIFICATE_VERIFY_FAILED"):
                await watch.lookup()
        await watch.close()


async def test_a_service_is_deleted_and_made_anew(api: ApiServer, watch: Watch) -> None:
    """With another port's name, as another Service that took its name may have."""
    async with Following(api, watch) as following:
        api.delete("services", "server")
        api.delete("endpointslices", "server-1")  # by the garbage collector, a while later
        await until(lambda: following.events == ["discovery.failed"])
        assert following.seen == []
        api.service("server", 9090, ports=[{"name": "calls", "port": 9090}], clusterIP="10.9.9.9")
        ports = [{"name": "calls", "port": 7070}]
        api.slice("server", 7070, endpoint("10.0.0.5"), name="server-x7x7x", ports=ports)
        await following.sees("10.0.0.5", port=7070)
    assert "there is no Service server" in str(following.notes.events[0].attributes)
    assert following.events == ["discovery.failed", "discovery.recovered"]


# Another discovery in its place

FALL_BACK = ("--discovery", "watch", "--discovery-fallback", "poll", "--poll-interval", "200ms")


@pytest.mark.parametrize("why", ["no rights", "no answer", "no cluster"])
async def test_it_falls_back_where_that_was_asked_for_and_says_so(why: str, tmp_path: Path) -> None:
    async with LocalCluster(2) as cluster:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text("{}" if why == "no cluster" else cluster.api.kubeconfig())
        cluster.api.forbidden.add(("list", "endpointslices"))
        if why == "no answer":
            await cluster.api.stop()
        content = await asyncio.to_thread(
            run,
            cluster.target(headless=True),
            *(*FALL_BACK, "--lb-policy", "round_robin", "-n", "50"),
            KUBECONFIG=str(kubeconfig),
        )
    assert content["totals"]["ok"] == 50
    assert len(content["backends"]) == 2
    (fell,) = events(content, "discovery.fallback")
    said = {"no rights": "may not list endpointslices", "no answer": "does not answer"}
    assert said.get(why, "found no Kubernetes API") in fell["reason"]
    assert (fell["to"], content["evidence"]["discovery"]) == ("poll", "poll")
    assert "discovery_fell_back" in rules(content)


async def test_once_the_load_has_begun_nothing_falls_back(api: ApiServer, watch: Watch) -> None:
    notes = ledger()
    both = Fallback(watch, Static(DnsName("", "localhost", 9090)), notes)
    known = await both.lookup()
    both.changes(known, notes)
    await api.stop()
    with pytest.raises(NoAnswerError):
        await both.lookup()
    assert (both.kind, notes.events) == ("watch", [])


async def test_it_does_not_fall_back_for_what_the_api_does_tell(api: ApiServer) -> None:
    api.service("server", 9090, type="ExternalName", externalName="a.example")
    api.delete("endpointslices", "server-1")
    ended = await asyncio.to_thread(loadgen, "run", "server:9090", *FALL_BACK)
    assert ended.code == 1
    assert "is an ExternalName for a.example" in ended.err


async def test_without_rights_and_a_fallback_it_is_an_error_in_one_line(api: ApiServer) -> None:
    api.forbidden.add(("watch", "endpointslices"))
    ended = await asyncio.to_thread(loadgen, "run", "server:9090", "--discovery", "watch")
    assert (ended.code, ended.out) == (1, "")
    assert ROLE in ended.err
    assert ended.err.count("\n") == 1


# Descriptions by reflection

CHECK = ("--call", "grpc.health.v1.Health/Check", "-n", "20", "--lb-policy", "round_robin")


async def test_reflection_asks_the_endpoints_where_only_the_api_knows_the_name(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with LocalCluster(2) as cluster:
        kubeconfig.write_text(cluster.api.kubeconfig())
        target = f"server-headless:{cluster.proxy.port}"  # in no DNS
        content = await asyncio.to_thread(
            run, target, *CHECK, "--discovery", "watch", KUBECONFIG=str(kubeconfig)
        )
        lost = await asyncio.to_thread(
            loadgen, "run", target, *CHECK, "--ready-timeout", "1s", KUBECONFIG=str(kubeconfig)
        )
    assert content["totals"]["ok"] == 20
    assert len(content["backends"]) == 2
    assert lost.code == 1, "without the API nobody finds it"
