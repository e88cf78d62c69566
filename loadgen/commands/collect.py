"""`loadgen collect`: fetch the results of a Job's shards from its cluster, as one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadgen import logged, merging, peers, resultfile, resultjson, summary, thresholds
from loadgen.attribution import PEER
from loadgen.commands import ending
from loadgen.errors import CrossedError, LoadgenError
from loadgen.report import search, text
from loadgen.result import Result
from loadgen.searchfile import Found, is_search

if TYPE_CHECKING:
    from loadgen.cluster import ShardPod


@click.command()
@click.argument("job")
@click.option("-n", "--namespace", help="The Job's namespace. [default: that of the context]")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="[default: KUBECONFIG, as for kubectl]")
@click.option("--context", help="A context of the kubeconfig.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the result as JSON to this file."
)
def collect(
    job: str,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
    output: Path | None,
) -> None:
    """Report a load-generator JOB that ran in a cluster: all its shards as one, and the server's pods.

    Reads the Job's and the pods' logs with your own permissions; nothing in the cluster needs any.
    The thresholds of its plan are judged on all shards together: exit code 99 where one is crossed. Exit
    code 1 where a shard failed or its result is missing; what the others saw is reported all the same.
    """
    try:
        from loadgen.cluster import Cluster  # noqa: PLC0415 - an extra that only this command needs
    except ImportError:
        raise LoadgenError(
            "collect needs the Kubernetes client: pip install 'grpc-spread[kubernetes]'"
        ) from None
    with resultfile.opened(output) as write:
        cluster = Cluster.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
        found = cluster.job(job)
        count = (found.spec and found.spec.completions) or 1
        pods = list(cluster.shards(found))
        if (searched := _search(pods)) is not None:
            write(searched.to_json())
            click.echo(search.render(searched))
            return
        results, wrong = _read(pods, job, count)
        if not results:
            raise LoadgenError("; ".join(wrong))
        try:
            result = merging.merge(results)
        except ValueError as error:
            raise LoadgenError(f"the shards of Job {job} do not belong together: {error}") from None
        calls = {name: backend.calls for name, backend in result.backends.items()}
        result.replicas = cluster.replicas(found, calls)
        if result.plan.get("backend_from") == PEER:
            counts = peers.by_host(calls, [one.ip for one in result.replicas])
            result.replicas = [
                replace(one, calls=count) for one, count in zip(result.replicas, counts, strict=True)
            ]
        checks = thresholds.judge(result)
        write(resultjson.to_json(result, summary.of(result, checks)))
    click.echo(text.render(result, checks))
    if wrong:
        raise LoadgenError("; ".join(wrong))
    ending.check(checks)


def _search(pods: "Iterable[ShardPod]") -> Found | None:
    """Return what a search found, where the Job made one."""
    for pod in pods:
        try:
            content = logged.find(pod.log)
            if pod.exit_code is not None and is_search(content):
                return Found.from_json(content)
        except ValueError:
            continue  # its result is read, and what is wrong with it named, as that of a run
    return None


def _read(pods: "Iterable[ShardPod]", job: str, count: int) -> tuple[list[Result], list[str]]:
    """Return the shards' results, and a sentence for each shard that failed or has none."""
    results: dict[int, Result] = {}
    wrong: dict[int, str] = {}
    for pod in pods:
        name = f"pod {pod.pod}" if count == 1 else f"shard {pod.index} (pod {pod.pod})"
        if pod.exit_code is None:
            wrong[pod.index] = f"{name} has not finished: collect when the Job is over"
            continue
        try:
            results[pod.index] = resultjson.from_json(logged.find(pod.log))
        except ValueError as error:
            wrong[pod.index] = (
                f"{name} {error}; it exited with {pod.exit_code} and said last: {pod.last_words}"
            )
            continue
        wrong.pop(pod.index, None)  # of another pod that made the same shard's part
        if pod.exit_code not in (0, CrossedError.exit_code):  # thresholds are judged anew, on all shards
            wrong[pod.index] = f"{name} failed with exit code {pod.exit_code}; its result is in the report"
    if not results and not wrong:
        return [], [f"Job {job} has no pod: it has not started, or its pods were deleted"]
    for index in range(count):
        if index not in results and index not in wrong:
            wrong[index] = f"shard {index} has no pod: it was not started, or was deleted"
    return list(results.values()), [wrong[index] for index in sorted(wrong)]
