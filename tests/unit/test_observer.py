"""`--observe` against a server that speaks as the Kubernetes API does, and against the lab's replicas."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from lab.api import ACCOUNT, ApiServer
from lab.cluster import LocalCluster
from lab.objects import autoscaler, metrics, owned, pod
from loadgen import observer as module
from loadgen.errors import LoadgenError, PlanError
from loadgen.ledger import Ledger
from loadgen.observed import Observed
from loadgen.observer import Observer
from loadgen.pacing import Closed
from loadgen.plan import Plan
from loadgen.recorder import Recorder
from loadgen.run import Run
from loadgen.shard import Shard
from loadgen.target import DnsName
from tests.unit.command import Load, events, loadgen, rules
from tests.unit.test_run import called
from tests.unit.waiting import until

SECOND = 1_000_000_000
MI = 2**20
LABELS = {"app": "web", "tier": "front"}
OWNER = ("ReplicaSet", "web-1")
ROLE = (
    "It needs a Role there with get on services and replicasets.apps, list and watch on pods,"
    " deployments.apps (or statefulsets.apps) and horizontalpodautoscalers.autoscaling, and list on"
    " pods.metrics.k8s.io"
)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """A Service with one pod of a Deployment, and a Service of other pods."""
    monkeypatch.setattr("loadgen.following.BACKOFF", (0.001, 0.01))
    monkeypatch.setattr(module, "EVERY", 0.01)
    async with ApiServer() as api:
        file = tmp_path / "kubeconfig"
        file.write_text(api.kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(file))
        api.service("web", 80, selector=LABELS)
        api.put("deployments", "web", {"spec": {"replicas": 1}})
        api.put("deployments", "other", {"spec": {"replicas": 7}})
        api.put("replicasets", "web-1", {"metadata": owned("Deployment", "web")})
        api.put("pods", "stranger", pod("10.0.0.99", ready=True, changed=0), {"app": "web"})
        api.metrics = dict
        put(api, "a", 1)
        yield api


def put(api: ApiServer, name: str, number: int, *, ready: bool = True, **more: Any) -> None:
    more = {"changed": time.time_ns() - 60 * SECOND, "owner": OWNER, **more}
    api.put("pods", name, pod(f"10.0.0.{number}", ready=ready, **more), LABELS)


class Observing:
    """Observes as a run does."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.notes = Ledger(Closed(1, total=1, duration=None), Recorder(), max_in_flight=1)

    async def __aenter__(self) -> Self:
        self._observer = Observer.of(DnsName("", "web.default.svc.cluster.local", 80))
        await self._observer.begin()
        await until(lambda: self.api.watches == 0)  # it only asked whether it may
        self._task = asyncio.create_task(self._observer.run(self.notes))
        await until(lambda: self.api.watches == 3)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._observer.close()

    @property
    def seen(self) -> Observed:
        seen = self._observer.observed()
        assert seen is not None
        return seen

    def told(self, name: str = "") -> list[str]:
        return [event.name for event in self.notes.events if event.name.startswith(name)]

    async def hears(self, *names: str) -> None:
        await until(lambda: self.told()[-len(names) :] == list(names))


async def test_pods_of_the_service_and_no_others(api: ApiServer) -> None:
    resources = {"requests": {"memory": "256Mi"}, "limits": {"memory": "1G"}}
    put(api, "a", 1, resources=resources)
    async with Observing(api) as observing:
        await until(lambda: bool(observing.seen.wanted))
        seen = observing.seen
        assert (seen.service, seen.workload, seen.autoscaler) == ("web.default", "Deployment/web", None)
        assert [(name, one.ip) for name, one in seen.pods.items()] == [("a", "10.0.0.1")]
        (found,) = seen.pods.values()
        assert (found.request, found.limit) == (256 * MI, 10**9)
        assert found.ready_at is not None
        assert 59 * SECOND < time.time_ns() - found.ready_at < 100 * SECOND  # as the API says
        assert seen.wanted[-1][2] == 1
        assert observing.told("replica") == []


async def test_replicas_come_and_go(api: ApiServer) -> None:
    async with Observing(api) as observing:
        put(api, "b", 2, ready=False)
        put(api, "b", 2)
        await observing.hears("replica.ready")
        put(api, "b", 2, restarts=1, last_state={"terminated": {"reason": "OOMKilled"}})
        await observing.hears("replica.oom_killed")
        put(api, "b", 2, ready=False, restarts=2)
        await observing.hears("replica.restarted", "replica.unready")
        put(api, "b", 2, restarts=2)
        await observing.hears("replica.ready")
        put(api, "b", 2, deleted=time.time_ns(), restarts=2)
        await observing.hears("replica.terminating")
        api.delete("pods", "b")
        await observing.hears("replica.gone")
        gone = observing.seen.pods["b"]
        assert len(gone.ready) == 2
        assert gone.gone is not None
        assert gone.terminating is not None
        assert gone.ready[-1][1] <= gone.terminating <= gone.gone  # no call is due to one that is to end
        assert (gone.restarts, gone.oom_killed) == (2, False)
        assert {event.attributes["pod"] for event in observing.notes.events} == {"b"}


async def test_the_autoscaler_says_how_many_are_wanted_once_it_knows(api: ApiServer) -> None:
    async with Observing(api) as observing:
        api.put("horizontalpodautoscalers", "keda-hpa-web", autoscaler("web", 0))  # it has not decided
        api.put("horizontalpodautoscalers", "another", autoscaler("other", 9))
        await until(lambda: observing.seen.autoscaler == "keda-hpa-web")
        assert observing.seen.wanted[-1][2] == 1  # the Deployment's
        for wanted, percent in ((1, 52), (4, 266), (4, 74)):
            api.put("horizontalpodautoscalers", "keda-hpa-web", autoscaler("web", wanted, percent=percent))
        await until(lambda: [one[2] for one in observing.seen.gauges["memory"].current][-1:] == [74])
        gauge = observing.seen.gauges["memory"]
        assert (gauge.unit, gauge.target) == ("%", 80)
        assert observing.seen.wanted[-1][2] == 4
        (event,) = observing.notes.events
        assert (event.name, event.attributes) == ("replicas.wanted", {"before": 1, "after": 4})
        api.delete("horizontalpodautoscalers", "keda-hpa-web")
        await observing.hears("replicas.wanted", "replicas.wanted")
        assert observing.seen.wanted[-1][2] == 1


async def test_memory_has_the_times_of_the_metrics_api(api: ApiServer) -> None:
    now = time.time_ns() // SECOND * SECOND
    readings = {"a": metrics(now - 20 * SECOND, 30 * MI), "stranger": metrics(now, 7 * MI)}
    api.metrics = lambda: readings
    async with Observing(api) as observing:
        await until(lambda: observing.seen.pods["a"].memory == ((now - 20 * SECOND, 30 * MI),))
        readings["a"] = metrics(now, 90 * MI)
        await until(lambda: len(observing.seen.pods["a"].memory) == 2)
        assert observing.seen.pods["a"].memory[-1] == (now, 90 * MI)
        assert list(observing.seen.pods) == ["a"]
        assert observing.told() == []


async def test_without_the_metrics_api_the_rest_is_observed(api: ApiServer) -> None:
    api.metrics = None
    async with Observing(api) as observing:
        await observing.hears("observe.failed")
        (event,) = observing.notes.events
        assert event.attributes["what"] == "memory"
        assert "the metrics API (metrics.k8s.io, such as metrics-server's) is not there" in str(
            event.attributes["reason"]
        )
        put(api, "b", 2)
        await observing.hears("replica.ready")
        api.metrics = lambda: {"a": metrics(time.time_ns(), 30 * MI)}
        await observing.hears("observe.recovered")


async def test_the_api_is_gone_for_a_while(api: ApiServer) -> None:
    async with Observing(api) as observing:
        await until(lambda: bool(observing.seen.wanted))
        await api.stop()
        await until(lambda: observing.told().count("observe.failed") == 4)
        before = observing.seen
        put(api, "b", 2)
        put(api, "a", 1)
        api.put("deployments", "web", {"spec": {"replicas": 2}})
        await api.start()
        await until(lambda: observing.told().count("observe.recovered") == 4)
        await until(lambda: observing.seen.wanted[-1][2] == 2)
        seen = observing.seen
        (first, second) = seen.seen
        assert first[1] < second[0]  # a gap
        assert seen.wanted[0][1] < seen.wanted[1][0]
        assert before.seen == (first,)
        (ready,) = seen.pods["a"].ready  # that nobody could look is no news of the replica
        assert ready[0] < first[1] < second[0] < ready[1]
        assert {e.attributes["what"] for e in observing.notes.events if "what" in e.attributes} == {
            "pods", "autoscaler", "workload", "memory",
        }  # fmt: skip
        assert sorted(observing.told("replica")) == ["replica.ready", "replicas.wanted"]


@pytest.mark.parametrize(
    ("resource", "content"),
    [
        ("pods", {"spec": {"containers": [{"resources": {"requests": {"memory": "many"}}}]}}),
        ("pods", {"metadata": {"labels": {}}, "status": {"conditions": 7}, "spec": {}}),
        ("horizontalpodautoscalers", {"spec": {}}),
        ("deployments", {"spec": 7}),
    ],
)
async def test_what_cannot_be_read_is_skipped(resource: str, content: Any, api: ApiServer) -> None:
    async with Observing(api) as observing:
        name = "web" if resource == "deployments" else "b"
        api.put(resource, name, content, LABELS)
        await observing.hears("observe.skipped")
        api.compact()
        api.cut()  # so that it is listed too
        await until(lambda: observing.told().count("observe.skipped") >= 2)
        put(api, "c", 3)
        await observing.hears("replica.ready")


async def test_pods_beyond_those_that_are_followed(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.sightings.PODS", 2)
    async with Observing(api) as observing:
        for name, number in (("b", 2), ("c", 3), ("d", 4)):
            put(api, name, number)
        await until(lambda: observing.seen.pods_left_out == 2)
        assert list(observing.seen.pods) == ["a", "b"]


async def test_a_workload_that_comes_later(api: ApiServer) -> None:
    api.delete("pods", "a")
    observer = Observer.of(DnsName("", "web", 80))
    await observer.begin()
    observing = asyncio.create_task(observer.run(Observing(api).notes))
    put(api, "a", 1, owner=("StatefulSet", "db"))
    api.put("statefulsets", "db", {"spec": {"replicas": 5}})
    await until(lambda: bool((seen := observer.observed()) and seen.wanted and seen.wanted[-1][2] == 5))
    observing.cancel()
    await asyncio.gather(observing, return_exceptions=True)
    await observer.close()


# What a user can get wrong


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda api: api.delete("services", "web"), "there is no Service web in namespace default"),
        (
            lambda api: api.service("web", 80, selector=None),
            "Service web in namespace default has no selector, so which pods are its replicas",
        ),
        *(
            (
                lambda api, one=one: api.forbidden.add(one),
                f"{ACCOUNT} may not {one[0]} {said} in namespace default. {ROLE}",
            )
            for one, said in (
                (("get", "services"), "services"),
                (("list", "pods"), "pods"),
                (("watch", "pods"), "pods"),
                (("list", "horizontalpodautoscalers"), "horizontalpodautoscalers.autoscaling"),
                (("get", "replicasets"), "replicasets.apps"),
                (("watch", "deployments"), "deployments.apps"),
                (("list", "pods.metrics.k8s.io"), "pods.metrics.k8s.io"),
            )
        ),
    ],
)
async def test_what_is_wrong_before_the_load(change: Any, says: str, api: ApiServer) -> None:
    change(api)
    observer = Observer.of(DnsName("", "web", 80))
    with pytest.raises(LoadgenError) as caught:
        await observer.begin()
    await observer.close()
    assert caught.value.message.startswith(f"--observe: {says}")


async def test_an_api_that_does_not_answer(api: ApiServer) -> None:
    await api.stop()
    observer = Observer.of(DnsName("", "web", 80))
    with pytest.raises(LoadgenError, match=r"--observe: the Kubernetes API at \S+ does not answer"):
        await observer.begin()
    await observer.close()


@pytest.mark.parametrize("target", ["127.0.0.1:9090", "unix:/run/web", "www.example.com:443"])
def test_a_target_that_names_no_service(target: str) -> None:
    with pytest.raises(PlanError, match="--observe needs the name of a Service"):
        Run(Plan(target=target, observe=True))


def test_no_cluster(tmp_path: Path) -> None:
    ended = loadgen("run", "server:9090", "--observe", KUBECONFIG=str(tmp_path / "none"))
    assert ended.code == 2
    assert "--observe found no Kubernetes API" in ended.err
    assert "Traceback" not in ended.err


def test_no_kubernetes_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("loadgen.observer", "loadgen.watching", "loadgen.following", "loadgen.api"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "lightkube.config.client_adapter", None)
    for shard in (Shard(0, 2), Shard(1, 2)):
        with pytest.raises(PlanError, match=r"pip install 'grpc-spread\[kubernetes\]'"):
            Run(Plan(target="server:9090", observe=True), shard)


# Beside a load


async def test_a_trial_in_the_lab(tmp_path: Path) -> None:
    """By two workers, of which the first observes, on a ClusterIP: the replica that is added idles."""
    kubeconfig = tmp_path / "kubeconfig"
    async with LocalCluster(1) as cluster:
        kubeconfig.write_text(cluster.api.kubeconfig())
        with Load(
            cluster.target(headless=False),
            *("--rps", "100", "-z", "10m", "--observe", "--workers", "2"),
            KUBECONFIG=str(kubeconfig),
        ) as load:
            await asyncio.to_thread(load.say)
            await until(lambda: cluster.api.watches == 3)
            (hot,) = await cluster.ready()
            await called(hot, 20)
            await cluster.scale(2)
            before = (await cluster.replicas())[0]
            await cluster.api.stop()
            await called(before, 100)
            await cluster.api.start()
            await until(lambda: cluster.api.watches == 3)
            await called(before, 100)
            load.signal(signal.SIGINT)
            content = await asyncio.to_thread(load.result)
        cold = (await cluster.ready())[1]
    assert (content["totals"]["failed"], content["totals"]["dropped"]) == (0, 0)
    observed, summary = content["observed"], content["summary"]["observed"]
    assert observed["service"] == "server.default"
    assert observed["workload"] == "Deployment/server"
    assert [step[2] for step in observed["wanted"]] == [1, 2, 2]
    assert {one["pod"]: one["calls"] for one in summary["replicas"]} == {
        hot.name: content["totals"]["sent"], cold.name: 0,
    }  # fmt: skip
    assert [(one["came"], one["ready"], one["even_after_s"]) for one in summary["changes"]] == [
        ([cold.name], 2, None)
    ]
    assert summary["idle"] == [cold.name]
    assert {"connection_balanced", "idle_replicas"} <= rules(content)
    (told,) = events(content, "replica.ready")
    assert cold.ready_at is not None
    assert told["pod"] == cold.name
    (spell,) = observed["pods"][cold.name]["ready"]
    assert spell[0] >= cold.ready_at
    assert all(10 * MI < value < 1000 * MI for one in observed["pods"].values() for _, value in one["memory"])
    assert observed["pods"][hot.name]["memory"]
    assert len(events(content, "observe.failed")) >= 3
