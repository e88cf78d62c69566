"""`loadgen collect`: fetch the result of a Job from its cluster."""

from pathlib import Path

import click

from loadgen import logged, summary
from loadgen.errors import LoadgenError
from loadgen.report import text
from loadgen.result import Result
from loadgen.resultfile import ResultFile


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
    """Report a load-generator JOB that ran in a cluster, with the server's pods beside the calls they got.

    Reads the Job's and the pods' logs with your own permissions; nothing in the cluster needs any.
    """
    try:
        from loadgen.cluster import Cluster  # noqa: PLC0415 - an extra that only this command needs
    except ImportError:
        raise LoadgenError(
            "collect needs the Kubernetes client: pip install 'grpc-spread[kubernetes]'"
        ) from None
    file = None if output is None else ResultFile(output)
    try:
        cluster = Cluster.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
        found = cluster.job(job)
        shards = list(cluster.shards(found))
        if not shards:
            raise LoadgenError(f"Job {job} has no pod: it has not started, or its pods were deleted")
        (shard, *others) = shards
        if others:
            raise LoadgenError(f"Job {job} has {len(shards)} pods: only Jobs of one pod can be collected")
        if not shard.finished:
            raise LoadgenError(f"pod {shard.pod} has not finished: collect when the Job is over")
        try:
            result = Result.from_json(logged.find(shard.log))
        except ValueError as error:
            last = next((line for line in reversed(shard.log) if line.strip()), "nothing")
            raise LoadgenError(
                f"pod {shard.pod} {error}; it exited with {shard.exit_code} and said last: {last[:200]}"
            ) from None
        result.replicas = cluster.replicas(
            found, {name: backend.calls for name, backend in result.backends.items()}
        )
        if file is not None:
            file.write(result.to_json(summary.of(result)))
    finally:
        if file is not None:
            file.discard()
    click.echo(text.render(result))
