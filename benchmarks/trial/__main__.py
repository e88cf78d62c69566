"""`make bench-trial`: run the KEDA trial on the cluster of KUBECONFIG, and write its page's tables."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import click

from benchmarks.accuracy import document
from benchmarks.trial import page
from benchmarks.trial.release import ROOT, Release
from loadgen import resultjson
from loadgen.parameters import Duration

DOCUMENT = ROOT / "docs/keda-trial.md"
RESULTS = ROOT / "build/trial"
SPARE = 300.0  # seconds for pods to start, beside the load
COMMON = ("loadgen.config.observe=true", "loadgen.config.poll_interval=null")
SETTINGS = {
    "clusterip": ("headless=false", "loadgen.config.discovery=null", "loadgen.config.health_check=null"),
    "static": ("headless=true", "loadgen.config.discovery=static"),
    "watch": ("headless=true", "loadgen.config.discovery=watch"),
}
NAMES = {
    "clusterip": "ClusterIP",
    "static": "headless, looked up once",
    "watch": "headless, discovery `watch`",
}


@click.command()
@click.option("--duration", type=Duration(), default="4m", show_default=True, help="Of each load.")
@click.option("--at-once", is_flag=True, help="All at the same time: quicker, but they share the nodes.")
@click.option("--set", "values", multiple=True, help="More values of the chart, as helm takes them.")
@click.option("--namespace", default="trial", show_default=True, help="Begins the names of the namespaces.")
@click.option("--from-results", is_flag=True, help="Write the tables of what is in build/trial.")
@click.option("--no-write", is_flag=True, help="Print the tables only.")
def main(
    duration: int, at_once: bool, values: tuple[str, ...], namespace: str, from_results: bool, no_write: bool
) -> None:
    """Run the trial with each setting of the client. Needs helm, kubectl, KEDA and metrics-server."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    seconds = duration / 1e9

    def run(setting: str) -> None:
        chosen = (*SETTINGS[setting], *COMMON, f"loadgen.config.duration={seconds:g}s", *values)
        click.echo(f"{setting} ...", err=True)
        with Release(f"{namespace}-{setting}-{uuid4().hex[:4]}", chosen) as release:
            release.run(seconds + SPARE, RESULTS / f"{setting}.json")

    if not from_results:
        _each(run, at_once=at_once)
    results = {
        NAMES[name]: resultjson.from_json(json.loads((RESULTS / f"{name}.json").read_text("utf-8")))
        for name in SETTINGS
    }
    blocks = {"table": f"{page.table(results)}\n\n{page.note(list(results.values()))}"}
    for setting, name in NAMES.items():
        blocks[setting] = f"```\n{page.over_time(results[name])}\n```"
    text = DOCUMENT.read_text("utf-8")
    for part, block in blocks.items():
        click.echo(f"{block}\n")
        text = document.replaced(text, part, block)
    if not no_write:
        DOCUMENT.write_text(text, "utf-8")


def _each(run: Callable[[str], None], *, at_once: bool) -> None:
    with ThreadPoolExecutor(len(SETTINGS) if at_once else 1) as pool:
        for _ in pool.map(run, SETTINGS):
            pass


main()
