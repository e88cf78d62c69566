"""`loadgen collect` on a cluster that a test made up: what becomes of the shards, and of the thresholds."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from loadgen import logged, summary
from loadgen.cluster import Cluster, ShardPod
from loadgen.commands.collect import collect
from loadgen.errors import CrossedError, LoadgenError
from loadgen.result import Part, Replica, Result
from tests.unit.results import STARTED, evidence, replica, result


class Made:
    """A cluster with these pods of the Job and of the server."""

    def __init__(self, pods: list[ShardPod], replicas: list[Replica], count: int) -> None:
        self._pods, self._replicas, self._count = pods, replicas, count

    def job(self, name: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(completions=self._count))

    def shards(self, job: Any) -> list[ShardPod]:
        return self._pods

    def replicas(self, job: Any, calls: dict[str, int]) -> list[Replica]:
        return self._replicas


def part(index: int, count: int, calls: dict[str, int], *thresholds: str, **changes: Any) -> Result:
    plan = {"total": 60, "threshold": list(thresholds), **changes.pop("plan", {})}
    return result(calls, plan=plan, shards=[Part(index, count, STARTED)], **changes)


def pod(one: Result, exit_code: int = 0) -> ShardPod:
    log = ["Summary", *logged.lines(json.loads(json.dumps(one.to_json(summary.of(one)))))]
    return ShardPod(one.shards[0].index, f"load-{one.shards[0].index}", exit_code, log)


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command on these pods; returns its result and the error that it raised."""

    def collected(pods: list[ShardPod], count: int, replicas: list[Replica] | None = None) -> Any:
        monkeypatch.setattr(Cluster, "connect", lambda **_: Made(pods, replicas or [], count))
        return CliRunner().invoke(collect, ["job"], standalone_mode=False)

    return collected


def test_thresholds_are_judged_on_all_shards_together(collected: Any) -> None:
    """Each shard alone would be within them."""
    asked = ("failed<=2", "backends==2")
    pods = [pod(part(0, 2, {"a": 30}, *asked, failed=2)), pod(part(1, 2, {"b": 30}, *asked, failed=1))]
    ended = collected(pods, 2)
    assert isinstance(ended.exception, CrossedError)
    assert ended.exception.exit_code == 99
    assert ended.exception.message == "thresholds crossed: failed<=2: 3 seen"
    assert "backends==2          2          2  ok" in ended.output


def test_all_are_kept(collected: Any) -> None:
    pods = [pod(part(index, 2, {"a": 30}, "failed==0", "max<1s")) for index in (0, 1)]
    ended = collected(pods, 2)
    assert ended.exception is None
    assert ended.output.count("  ok\n") == 2


def test_idle_pods_are_known_behind_a_clusterip(collected: Any) -> None:
    one = part(0, 1, {"a": 30}, "idle_backends==0", evidence=evidence(addresses=["10.0.0.9:9090"]))
    ended = collected([pod(one, 99)], 1, [replica(30), replica(0), replica(0)])
    assert ended.exception.message == "thresholds crossed: idle_backends==0: 2 seen"


def test_a_job_that_ended_with_99_is_judged_and_has_not_failed(collected: Any) -> None:
    ended = collected([pod(part(0, 1, {"a": 30}, "max<1ns"), 99)], 1)
    assert isinstance(ended.exception, CrossedError)
    assert "max<1ns" in ended.exception.message


def test_a_shard_that_failed_is_said_first(collected: Any) -> None:
    pods = [
        pod(part(0, 2, {}, "failed==0", failed=30), 1),
        pod(part(1, 2, {"a": 30}, "failed==0")),
    ]
    ended = collected(pods, 2)
    assert isinstance(ended.exception, LoadgenError)
    assert (
        ended.exception.message == "shard 0 (pod load-0) failed with exit code 1; its result is in the report"
    )
    assert "CROSSED" in ended.output


def test_a_shard_without_a_result_is_said_first(collected: Any) -> None:
    ended = collected([pod(part(0, 2, {"a": 30}, "failed>0"))], 2)
    assert isinstance(ended.exception, LoadgenError)
    assert ended.exception.message == "shard 1 has no pod: it was not started, or was deleted"
