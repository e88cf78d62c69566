"""`loadgen merge`: make one result of several shards'."""

from pathlib import Path

import click

from loadgen import merging, resultfile, resultjson, summary, thresholds
from loadgen.commands import ending
from loadgen.errors import LoadgenError
from loadgen.report import text
from loadgen.result import Result


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the result as JSON to this file."
)
def merge(results: tuple[Path, ...], output: Path | None) -> None:
    """Report result files of shards that ran together as one: counts, percentiles and timeline are exact.

    They must be of the same plan, such as those of `loadgen run --shard 0/2` and `--shard 1/2`. Its
    thresholds are judged on all together: exit code 99 where one is crossed, 1 where a shard is missing.
    """
    with resultfile.opened(output) as write:
        merged = _all(results)
        if merged.apart():
            first = min(merged.shards, key=lambda one: one.started + one.duration)
            last = max(merged.shards, key=lambda one: one.started)
            raise LoadgenError(
                f"these are no shards of one load: shard {first.index}/{first.count} had ended"
                f" {(last.started - first.started - first.duration) / 1e9:.1f} s before shard"
                f" {last.index}/{last.count} began"
            )
        checks = thresholds.judge(merged)
        write(resultjson.to_json(merged, summary.of(merged, checks)))
    click.echo(text.render(merged, checks))
    if merged.plan.get("threshold") and not checks:
        missing = ", ".join(map(str, merged.missing()))
        raise LoadgenError(f"the thresholds cannot be judged: shard {missing} is missing")
    ending.check(checks)


def _all(paths: tuple[Path, ...]) -> Result:
    """Merge one file after the other: many take no more memory than two."""
    merged = resultfile.read(paths[0])
    for path in paths[1:]:
        try:
            merged = merging.merge([merged, resultfile.read(path)])
        except ValueError as error:
            raise LoadgenError(f"cannot merge {path} with those before it: {error}") from None
    return merged
