"""`loadgen merge`: make one result of several shards'."""

from pathlib import Path

import click

from loadgen import merging, resultfile, resultjson, summary, thresholds
from loadgen.errors import CrossedError, LoadgenError
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
    file = None if output is None else resultfile.ResultFile(output)
    try:
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
        if file is not None:
            file.write(resultjson.to_json(merged, summary.of(merged, checks)))
    finally:
        if file is not None:
            file.discard()
    click.echo(text.render(merged, checks))
    if merged.plan.get("threshold") and not checks:
        missing = ", ".join(map(str, merged.missing()))
        raise LoadgenError(f"the thresholds cannot be judged: shard {missing} is missing")
    if thresholds.passed(checks) is False:
        raise CrossedError(f"thresholds crossed: {text.crossed(checks)}")


def _all(paths: tuple[Path, ...]) -> Result:
    """Merge one file after the other: many take no more memory than two."""
    merged = resultfile.read(paths[0])
    for path in paths[1:]:
        try:
            merged = merging.merge([merged, resultfile.read(path)])
        except ValueError as error:
            raise LoadgenError(f"cannot merge {path} with those before it: {error}") from None
    return merged
