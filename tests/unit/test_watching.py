"""Discovery `watch` against a server that speaks as the Kubernetes API does."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self

import pytest

from lab.api import ACCOUNT, ApiServer
from lab.cluster import LocalCluster
from lab.objects import endpoint
from loadgen import watching
from loadgen.discovery import Backends
from loadgen.errors import LoadgenError, PlanError, ResolutionError
from loadgen.following import pause
from loadgen.ledger import Ledger
from loadgen.pacing import Closed
from loadgen.plan import Plan
from loadgen.recorder import Recorder
from loadgen.run import Run
from loadgen.target import DnsName
from loadgen.watching import ServiceName, Watch
from tests.certificates import Authority
from tests.server.replica import Replica
from tests.unit.command import Load, events, loadgen, run
from tests.unit.test_run import called
from tests.unit.waiting import until

HOST = "server.default.svc.cluster.local"


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    async with ApiServer() as api:
        file = tmp_path / "kubeconfig"
        file.write_text(api.kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(file))
        yield api


@pytest.fixture
async def watch(api: ApiServer) -> AsyncIterator[Watch]:
    api.service("server", 9090)
    api.slice("server", 9090, endpoint("10.0.0.1"))
    watch = Watch.of(DnsName("", HOST, 9090))
    yield watch
    await watch.close()


def ledger() -> Ledger:
    return Ledger(Closed(1, total=1, duration=None), Recorder(), max_in_flight=1)


class Following:
    """Takes what `changes` gives, as a run does."""

    def __init__(self, api: ApiServer, watch: Watch) -> None:
        self.api = api
        self.watch = watch
        self.notes = ledger()
        self.seen: list[tuple[str, ...]] = []

    async def __aenter__(self) -> Self:
        self._known = await self.watch.lookup()
        await until(lambda: self.api.watches == 0)  # it only asked whether it may
        self._task = asyncio.create_task(self._take())
        await until(lambda: self.api.watches == 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if not self._task.cancelled():
            self._task.result()

    async def _take(self) -> None:
        async with aclosing(self.watch.changes(self._known, self.notes)) as changes:
            async for one in changes:
                assert one.addresses
                self.seen.append(one.addresses)

    async def sees(self, *addresses: str, port: int = 9090) -> None:
        wanted = tuple(f"{one}:{port}" for one in addresses)
        await until(lambda: (self.seen or [()])[-1] == wanted)

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.notes.events]


async def test_the_endpoints_that_are_ready_now(api: ApiServer, watch: Watch) -> None:
    assert await watch.lookup() == Backends("ipv4:10.0.0.1:9090", ("10.0.0.1:9090",))
    api.slice(
        "server",
        9090,
        endpoint("10.0.0.2"),
        endpoint("10.0.0.3", ready=None),  # not said: ready
        endpoint("10.0.0.4", ready=False),
        endpoint("10.0.0.5", ready=False, serving=True, terminating=True),
        endpoint("10.0.0.6", ready=True, serving=True, terminating=True),  # publishNotReadyAddresses
        endpoint("10.0.0.7", serving=True, terminating=False),
    )
    assert (await watch.lookup()).addresses == ("10.0.0.2:9090", "10.0.0.3:9090", "10.0.0.7:9090")
    selectors = [one for one in api.requests if "endpointslices" in one]
    assert all("labelSelector=kubernetes.io%2Fservice-name%3Dserver" in one for one in selectors)


async def test_many_slices_in_many_pages(api: ApiServer, watch: Watch) -> None:
    api.page = 3
    for n in range(20):
        api.slice("server", 9090, *(endpoint(f"10.1.{n}.{i}") for i in range(1, 101)), name=f"server-{n + 1}")
    assert len((await watch.lookup()).addresses or ()) == 2000


async def test_each_change_is_given_at_once(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        for addresses in (["10.0.0.1", "10.0.0.2"], ["10.0.0.3"], ["10.0.0.1"]):
            api.slice("server", 9090, *map(endpoint, addresses))
            await following.sees(*addresses)
        api.slice("server", 9090, endpoint("10.0.0.8"), name="server-2")
        await following.sees("10.0.0.1", "10.0.0.8")
        api.delete("endpointslices", "server-1")
        await following.sees("10.0.0.8")
    assert following.events == []
    assert len(following.seen) == 5


async def test_a_burst_is_one_change(api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "JOIN", 0.3)
    async with Following(api, watch) as following:
        for n in range(2, 32):
            api.slice("server", 9090, *(endpoint(f"10.0.0.{i}") for i in range(10, 10 + n)))
            await asyncio.sleep(0.001)
        await following.sees(*(f"10.0.0.{i}" for i in range(10, 41)))
    assert len(following.seen) <= 3


async def test_it_goes_on_where_a_watch_ended(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
        api.bookmark()
        for ending in (api.end, api.cut):
            ending()
            await until(lambda: api.watches == 0)
            await until(lambda: api.watches == 1)
        api.slice("server", 9090, endpoint("10.0.0.3"))
        await following.sees("10.0.0.3")
    lists = [one for one in api.requests if one.startswith("list")]
    assert len(lists) == 2  # one before the load, one in it
    last = [one for one in api.requests if one.startswith("watch")][-1]
    assert "resourceVersion=104" in last  # the bookmark's
    assert "allowWatchBookmarks=true" in last
    assert following.events == []


async def test_a_version_that_is_gone_is_listed_anew(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        await api.stop()
        api.slice("server", 9090, endpoint("10.0.0.2"))
        api.compact()
        await api.start()
        await following.sees("10.0.0.2")
    assert len([one for one in api.requests if one.startswith("list")]) == 3


async def test_the_api_is_gone_for_a_while(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        await api.stop()
        await until(lambda: following.events == ["discovery.failed"])
        api.slice("server", 9090, endpoint("10.0.0.2"), endpoint("10.0.0.3"))
        await asyncio.sleep(0.5)
        assert following.seen == []
        await api.start()
        await following.sees("10.0.0.2", "10.0.0.3")
    assert following.events == ["discovery.failed", "discovery.recovered"]
    assert f"the Kubernetes API at http://127.0.0.1:{api.port} does not answer" in str(
        following.notes.events[0].attributes["reason"]
    )


async def test_the_last_addresses_stay_where_none_is_ready(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        api.slice("server", 9090, endpoint("10.0.0.1", ready=False))
        await until(lambda: following.events == ["discovery.failed"])
        api.delete("services", "server")
        api.delete("endpointslices", "server-1")
        await until(lambda: following.events == ["discovery.failed"] * 2)
        assert following.seen == []
        api.service("server", 9090)
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    reasons = [str(event.attributes.get("reason")) for event in following.notes.events]
    assert "no ready endpoint" in reasons[0]
    assert "there is no Service server in namespace default" in reasons[1]
    assert following.events[-1] == "discovery.recovered"


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_it_ends_in_what_a_list_gives(
    seed: int, api: ApiServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "JOIN", 0.0)
    monkeypatch.setattr("loadgen.following.BACKOFF", (0.001, 0.01))
    chance = random.Random(seed)
    names = {"server-1"}

    def put() -> None:
        names.add(name := f"server-{chance.randint(1, 4)}")
        numbers = chance.sample(range(1, 9), chance.randint(0, 4))
        every = (endpoint(f"10.0.0.{n}", ready=chance.choice([True, True, False, None])) for n in numbers)
        api.slice("server", 9090, *every, name=name)

    def delete() -> None:
        if names:
            name = chance.choice(sorted(names))
            names.remove(name)
            api.delete("endpointslices", name)

    trouble = (api.cut, api.end, api.compact, api.bookmark, lambda: api.say("{"))
    async with Following(api, watch) as following:
        for _ in range(80):
            chance.choice([put, put, put, delete, chance.choice(trouble)])()
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.003]))
        api.slice("server", 9090, endpoint("10.0.1.1"), endpoint("10.0.1.2"), name="server-1")
        wanted = (await watch.lookup()).addresses
        await until(lambda: following.seen[-1:] == [wanted])


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        '{"type": "ADDED"}',
        '{"type": "ADDED", "object": null}',
        '{"type": "ADDED", "object": {"metadata": {"name": "a"}}}',
        '{"type": "ADDED", "object": {"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{}]}}',
        '{"type": "ADDED", "object": {"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": 7}}',
        '{"type": "DELETED", "object": {}}',
        '{"type": "BOOKMARK", "object": {}}',
        '{"type": "SURPRISE", "object": {"metadata": {"name": "a", "resourceVersion": "1"}}}',
        '{"type": "ERROR", "object": 3}',
        json.dumps(
            {
                "type": "ADDED",
                "object": {
                    "metadata": {"name": "a", "resourceVersion": "1"},
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": ["fd00::1"]}],
                },
            }
        ),
    ],
)
async def test_a_malformed_event_is_skipped(line: str, api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        api.say(line)
        await until(lambda: following.events == ["discovery.skipped"])
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert following.events == ["discovery.skipped"]
    assert "malformed" in str(following.notes.events[0].attributes) or "unknown" in str(
        following.notes.events[0].attributes
    )


async def test_an_error_in_a_watch(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        api.say('{"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}}')
        await until(lambda: "discovery.recovered" in following.events)
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert "etcd is ill" in str(following.notes.events[0].attributes)


async def test_rights_that_are_taken_away(api: ApiServer, watch: Watch) -> None:
    async with Following(api, watch) as following:
        api.forbidden.add(("watch", "endpointslices"))
        api.end()
        await until(lambda: following.events == ["discovery.failed"])
        api.forbidden.clear()
        api.slice("server", 9090, endpoint("10.0.0.2"))
        await following.sees("10.0.0.2")
    assert following.events[-1] == "discovery.recovered"


@pytest.mark.parametrize(
    ("service", "ports", "number", "expected"),
    [
        ([("grpc", 80)], [("grpc", 9090)], 80, ["10.0.0.1:9090"]),
        ([("", 80)], [("", 9090)], 80, ["10.0.0.1:9090"]),
        ([("grpc", 80)], [("grpc", 9090)], 9090, ["10.0.0.1:9090"]),  # what a headless name is called with
        ([("a", 80), ("b", 81)], [("a", 1), ("b", 2)], 81, ["10.0.0.1:2"]),
        (
            [("a", 80), ("b", 90)],
            [("a", 90), ("b", 91)],
            90,
            ["10.0.0.1:91"],
        ),  # the Service's own comes first
        ([], [], 9090, ["10.0.0.1:9090"]),
        ([("grpc", 9090)], [(None, None)], 9090, []),
    ],
)
async def test_ports(
    service: list[tuple[str, int]],
    ports: list[tuple[str | None, int | None]],
    number: int,
    expected: list[str],
    api: ApiServer,
) -> None:
    api.service("server", 9090, ports=[{"name": name, "port": port} for name, port in service])
    api.slice("server", 9090, endpoint("10.0.0.1"), ports=[{"name": n, "port": p} for n, p in ports])
    watch = Watch.of(DnsName("", "server", number))
    try:
        assert list((await watch.lookup()).addresses or ()) == expected
    except ResolutionError:
        assert expected == []
    finally:
        await watch.close()


async def test_one_family_of_a_dual_stack_service(api: ApiServer, watch: Watch) -> None:
    six = {"addressType": "IPv6", "name": "server-6"}
    api.slice("server", 9090, endpoint("fd00::1"), endpoint("fd00::2"), **six)
    assert (await watch.lookup()).addresses == ("10.0.0.1:9090",)
    api.slice("server", 9090)
    assert (await watch.lookup()).uri == "ipv6:[fd00::1]:9090,[fd00::2]:9090"


ROLE = (
    "It needs a Role there with get, list and watch on endpointslices.discovery.k8s.io and get on services,"
    " or use --discovery poll, which needs none (--discovery-fallback poll: only where this fails)"
)


@pytest.mark.parametrize(
    ("change", "says", "may_change"),
    [
        (
            lambda api: api.delete("services", "server"),
            "there is no Service server in namespace default",
            True,
        ),
        (
            lambda api: api.slice("server", 9090),
            "Service server in namespace default has no ready endpoint",
            True,
        ),
        (lambda api: api.delete("endpointslices", "server-1"), "has no ready endpoint", True),
        (
            lambda api: (
                api.service("server", 9090, selector=None),
                api.delete("endpointslices", "server-1"),
            ),
            "has no selector and no EndpointSlices",
            False,
        ),
        (
            lambda api: (
                api.service("server", 9090, type="ExternalName", externalName="a.example"),
                api.delete("endpointslices", "server-1"),
            ),
            "is an ExternalName for a.example",
            False,
        ),
        (
            lambda api: (
                api.service("server", 80, ports=[{"name": "web", "port": 80}, {"port": 81}]),
                api.slice("server", 8080, endpoint("10.0.0.1")),
            ),
            "has no port 9090; it has 80 (web), 81",
            False,
        ),
        *(
            (
                lambda api, one=one: api.forbidden.add(one),
                f"{ACCOUNT} may not {one[0]} {one[1]} in namespace default. {ROLE}",
                False,
            )
            for one in (("get", "services"), ("list", "endpointslices"), ("watch", "endpointslices"))
        ),
    ],
)
async def test_what_is_wrong_before_the_load(
    change: Any, says: str, may_change: bool, api: ApiServer, watch: Watch
) -> None:
    change(api)
    with pytest.raises(LoadgenError) as caught:
        await watch.lookup()
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert isinstance(caught.value, ResolutionError) == may_change  # is tried again until the ready time-out


async def test_an_api_that_does_not_answer(api: ApiServer, watch: Watch) -> None:
    await api.stop()
    with pytest.raises(ResolutionError, match=r"API at http://127\.0\.0\.1:\d+ does not answer"):
        await watch.lookup()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("server", ServiceName("server", "")),
        ("server.shop", ServiceName("server", "shop")),
        ("Server.shop.svc", ServiceName("server", "shop")),
        ("server.shop.svc.cluster.local.", ServiceName("server", "shop")),
    ],
)
def test_names(host: str, expected: ServiceName) -> None:
    assert ServiceName.parse(host, "--discovery watch") == expected


@pytest.mark.parametrize("host", ["a..b", "server_1", "www.example.com", "pod-0.server.shop.svc", "x" * 64])
def test_what_is_no_service_s_name(host: str) -> None:
    with pytest.raises(PlanError, match="needs the name of a Service"):
        ServiceName.parse(host, "--discovery watch")


@pytest.mark.parametrize("content", [None, "", "a: [", "{}", '{"clusters": [], "contexts": []}'])
def test_no_cluster(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    ended = loadgen("run", "server:9090", "--discovery", "watch", KUBECONFIG=str(file))
    assert ended.code == 2
    assert "found no Kubernetes API" in ended.err
    assert "Traceback" not in ended.err


def test_no_kubernetes_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("loadgen.watching", "loadgen.api"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "lightkube.config.client_adapter", None)
    with pytest.raises(PlanError, match=r"pip install 'grpc-spread\[kubernetes\]'"):
        Run(Plan(target="server:9090", discovery="watch"))


def test_pauses_grow_to_a_limit_and_differ() -> None:
    for failures, longest in ((1, 0.1), (2, 0.2), (4, 0.8), (30, 3.0)):
        some = [pause(failures) for _ in range(50)]
        assert longest / 2 <= min(some) < max(some) <= longest


async def test_replicas_come_and_go_and_the_api_too_and_no_call_fails(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with LocalCluster(2, server_options={"drain-delay": "1s"}) as cluster:
        kubeconfig.write_text(cluster.api.kubeconfig())
        first = await cluster.ready()
        # health: while the API is away nothing else tells in time that a replica leaves
        options = ("--rps", "200", "-z", "10m", "--expect-backends", "2", "--health-check")
        with Load(
            cluster.target(headless=True),
            *(*options, "--lb-policy", "round_robin", "--discovery", "watch", "--workers", "2"),
            KUBECONFIG=str(kubeconfig),
        ) as load:
            await asyncio.to_thread(load.say)
            await cluster.scale(3)
            await called((await cluster.ready())[2], 20)
            await cluster.api.stop()
            await cluster.scale(4)
            cluster.terminate(first[0].name)
            await cluster.drained()
            await cluster.api.start()
            await called((await cluster.ready())[-1], 20)
            await until(lambda: cluster.api.watches == 2)  # each worker's
            await cluster.scale(4)
            every = await cluster.ready()
            await called(every[-1], 20)
            load.signal(signal.SIGINT)
            content = await asyncio.to_thread(load.result)
    assert (content["totals"]["failed"], content["totals"]["dropped"]) == (0, 0), (
        content["outcomes"],
        [event for event in content["events"] if not event["name"].startswith("connection.made")],
    )
    assert set(content["backends"]) == {one.id for one in (first[0], *every)}
    assert len(events(content, "discovery.failed")) == len(events(content, "discovery.recovered")) == 2
    assert content["evidence"]["discovery"] == "watch"
    assert content["evidence"]["addresses_now"] == sorted(f"{one.address}:{one.port}" for one in every)
    assert content["summary"]["verdict"][0]["rule"] == "replicas_changed"


async def test_a_cluster_ip_s_endpoints_are_called_themselves(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with LocalCluster(2) as cluster:
        kubeconfig.write_text(cluster.api.kubeconfig())
        content = await asyncio.to_thread(
            run,
            cluster.target(headless=False),
            *("-n", "100", "--lb-policy", "round_robin", "--expect-backends", "2", "--discovery", "watch"),
            KUBECONFIG=str(kubeconfig),
        )
    assert [one["calls"] for one in content["backends"].values()] == [50, 50]
    assert content["summary"]["verdict"][0]["rule"] == "even"


async def test_certificates_of_endpoints_that_come_later(api: ApiServer, tmp_path: Path) -> None:
    """With --insecure-skip-verify, which asks each for its own."""
    first, second = (
        Authority(tmp_path, ca).issue("replica.test", to=f"{ca}-replica").server for ca in ("one", "two")
    )
    with Replica("--host", "127.0.0.2", *first) as one:  # noqa: SIM117 - the other needs its port
        with Replica("--host", "127.0.0.3", "--port", str(one.port), *second) as two:
            api.service("server", one.port)
            api.slice("server", one.port, endpoint("127.0.0.2"))
            options = ("--discovery", "watch", "--lb-policy", "round_robin", "--insecure-skip-verify")
            with Load(f"server:{one.port}", *options, "--rps", "50", "-z", "2s") as load:
                await asyncio.to_thread(load.say)
                api.slice("server", one.port, endpoint("127.0.0.2"), endpoint("127.0.0.3"))
                content = await asyncio.to_thread(load.result)
    assert content["totals"]["failed"] == 0
    assert set(content["backends"]) == {one.serving["id"], two.serving["id"]}
