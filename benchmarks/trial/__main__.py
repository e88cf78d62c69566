"""`make bench-trial`: run the KEDA trial on the cluster of KUBECONFIG, and write its page's tables."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import click

from benchmarks import document
from benchmarks.trial import page
from loadgen import resultjson
from loadgen.parameters import Duration
from tests.e2e.kube import CommandError, Release, call, lacks_keda, preset

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/keda-trial.md"
RESULTS = ROOT / "build/trial"
SPARE = 300.0  # seconds for pods to start, beside the load
SERVERS_FIRST = "autoscaling.mode=none,replicaCount=1,loadgen.enabled=false"
"""KEDA's webhook may not yet know a Deployment that is installed with its ScaledObject."""
COMMON = "loadgen.config.observe=true,loadgen.config.poll_interval=null"
CLIENTS = {
    "clusterip": ("ClusterIP", "headless=false,loadgen.config.discovery=null"),
    "static": ("headless, looked up once", "headless=true,loadgen.config.discovery=static"),
    "watch": ("headless, discovery `watch`", "headless=true,loadgen.config.discovery=watch"),
}
"""What the page calls each, and its values."""


@click.command()
@click.option("--duration", type=Duration(), default="4m", show_default=True, help="Of each load.")
@click.option("--at-once", is_flag=True, help="All at the same time: quicker, but they share the nodes.")
@click.option("--namespace", default="trial", show_default=True, help="Begins the names of the namespaces.")
@click.option("--from-results", is_flag=True, help="Write the tables of what is in build/trial.")
@click.option("--no-write", is_flag=True, help="Print the tables only.")
def main(duration: int, at_once: bool, namespace: str, from_results: bool, no_write: bool) -> None:
    """Run the trial with each client. Needs helm, kubectl, KEDA and metrics-server, and the images there."""
    if not from_results:
        try:
            if lacks := lacks_keda():
                sys.exit(lacks)
            with ThreadPoolExecutor(len(CLIENTS) if at_once else 1) as pool:
                for _ in pool.map(lambda client: _run(client, namespace, duration / 1e9), CLIENTS):
                    pass
        except (CommandError, FileNotFoundError) as error:
            sys.exit(f"a cluster is needed, with its kubeconfig in KUBECONFIG, and kubectl and helm: {error}")
    results = {
        client: resultjson.from_json(json.loads((RESULTS / f"{client}.json").read_text("utf-8")))
        for client in CLIENTS
    }
    named = {CLIENTS[client][0]: result for client, result in results.items()}
    blocks = {"table": f"{page.table(named)}\n\n{page.note(list(results.values()))}"}
    blocks |= {client: f"```\n{page.over_time(result)}\n```" for client, result in results.items()}
    text = DOCUMENT.read_text("utf-8")
    for part, block in blocks.items():
        click.echo(f"{block}\n")
        text = document.replaced(text, part, block)
    if not no_write:
        DOCUMENT.write_text(text, "utf-8")


def _run(client: str, prefix: str, seconds: float) -> None:
    """Make one client's load in a namespace of its own, and keep its result."""
    click.echo(f"{client} ...", err=True)
    release = Release("trial", f"{prefix}-{client}-{uuid4().hex[:4]}")
    values = f"{CLIENTS[client][1]},{COMMON},loadgen.config.duration={seconds:g}s"
    settings = (*preset("keda-memory"), "--set", values)
    call("kubectl", "create", "namespace", release.namespace)
    try:
        release.install(*settings, "--set", SERVERS_FIRST)
        release.upgrade(*settings)
        report = release.report(seconds + SPARE)
        if not report.succeeded:
            sys.exit(f"{client}: {report.log}")
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{client}.json").write_text(json.dumps(report.result), "utf-8")
    finally:
        call("kubectl", "delete", "namespace", release.namespace, "--wait=false")


main()
