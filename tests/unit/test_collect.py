"""`loadgen collect` against an API server with a Job's and the server's pods: what becomes of thresholds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from loadgen import logged, resultjson, summary
from loadgen.result import Part, Result
from tests.unit.command import Ended, checked, loadgen
from tests.unit.results import SECOND, STARTED, evidence, result

INSTANCE = "app.kubernetes.io/instance"
READY = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Pod:
    """A pod of the cluster, and its log."""

    name: str
    log: list[str]
    index: int | None = None
    """Which shard it is; None: a pod of the server."""
    exit_code: int = 0

    @property
    def content(self) -> dict[str, Any]:
        ended = {"terminated": {"exitCode": self.exit_code}}
        status = {"name": "main", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        labels = {} if self.index is None else {"batch.kubernetes.io/job-completion-index": str(self.index)}
        return {
            "metadata": {"name": self.name, "labels": labels},
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": READY}],
                "containerStatuses": [{**status, "state": {} if self.index is None else ended}],
            },
        }


@contextmanager
def api(pods: list[Pod], completions: int) -> Iterator[str]:
    """Serve what `collect` asks a cluster for, at the URL that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            name = path.removesuffix("/log").rpartition("/")[2]
            if path.endswith("/log"):
                body = "".join(f"{line}\n" for pod in pods if pod.name == name for line in pod.log)
            elif path.endswith("/pods"):
                of_job = query["labelSelector"] == ["job-name=load"]
                items = [pod.content for pod in pods if (pod.index is not None) == of_job]
                body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
            else:
                job = {"metadata": {"name": name, "labels": {INSTANCE: "demo"}}}
                body = json.dumps({**job, "spec": {"completions": completions, "template": {}}})
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if path.endswith("/log") else "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def collected(path: Path, pods: list[Pod], completions: int) -> Ended:
    """Run the command on a cluster with these pods; its result is at r.json."""
    with api(pods, completions) as url:
        kubeconfig = path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "users": [{"name": "u", "user": {}}],
                    "current-context": "c",
                }
            )
        )
        return loadgen("collect", "load", "--kubeconfig", str(kubeconfig), "-o", str(path / "r.json"))


def shard(
    index: int, count: int, calls: dict[str, int], *thresholds: str, exit_code: int = 0, **more: Any
) -> Pod:
    """Return the pod of a shard that made these calls, with its result in its log."""
    one: Result = result(
        calls,
        plan={"total": 60, "threshold": list(thresholds)},
        shards=[Part(index, count, STARTED, 10 * SECOND)],
        **more,
    )
    lines = logged.lines(json.loads(json.dumps(resultjson.to_json(one, summary.of(one)))))
    return Pod(f"load-{index}", ["Summary", *lines], index, exit_code)


def server(name: str) -> Pod:
    return Pod(f"server-{name}", [json.dumps({"event": "serving", "id": name})])


def test_thresholds_are_judged_on_all_shards_together(tmp_path: Path) -> None:
    """Each shard alone would be within them."""
    asked = ("failed<=2", "backends==2")
    pods = [shard(0, 2, {"a": 30}, *asked, failed=2), shard(1, 2, {"b": 30}, *asked, failed=1)]
    ended = collected(tmp_path, pods, 2)
    assert (ended.code, ended.err) == (99, "loadgen: error: thresholds crossed: failed<=2: 3 seen\n")
    assert "backends==2          2          2  ok" in ended.out
    content = checked((tmp_path / "r.json").read_text())
    assert content["summary"]["passed"] is False
    assert len(content["summary"]["thresholds"]) == 2


def test_all_are_kept(tmp_path: Path) -> None:
    pods = [shard(index, 2, {"a": 30}, "failed==0", "max<1s") for index in (0, 1)]
    ended = collected(tmp_path, pods, 2)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("  ok\n") == 2


def test_idle_pods_are_known_behind_a_clusterip(tmp_path: Path) -> None:
    behind = evidence(addresses=["10.0.0.9:9090"])
    pods = [shard(0, 1, {"a": 30}, "idle_backends==0", evidence=behind, exit_code=99)]
    ended = collected(tmp_path, [*pods, server("a"), server("b"), server("c")], 1)
    assert ended.err == "loadgen: error: thresholds crossed: idle_backends==0: 2 seen\n"
    assert ended.code == 99


def test_a_job_that_ended_with_99_is_judged_and_has_not_failed(tmp_path: Path) -> None:
    ended = collected(tmp_path, [shard(0, 1, {"a": 30}, "max<1ns", exit_code=99)], 1)
    assert (ended.code, ended.err) == (99, "loadgen: error: thresholds crossed: max<1ns: 2.00 ms seen\n")


@pytest.mark.parametrize(
    ("pods", "says", "shows"),
    [
        (
            [
                shard(0, 2, {}, "failed==0", failed=30, exit_code=1),
                shard(1, 2, {"a": 30}, "failed==0"),
            ],
            "shard 0 (pod load-0) failed with exit code 1; its result is in the report",
            "CROSSED",
        ),
        (
            [shard(0, 2, {"a": 30}, "failed>0")],
            "shard 1 has no pod: it was not started, or was deleted",
            "Not judged",
        ),
    ],
    ids=["failed", "missing"],
)
def test_a_shard_that_failed_is_said_first(pods: list[Pod], says: str, shows: str, tmp_path: Path) -> None:
    ended = collected(tmp_path, pods, 2)
    assert (ended.code, ended.err) == (1, f"loadgen: error: {says}\n")
    assert shows in ended.out
