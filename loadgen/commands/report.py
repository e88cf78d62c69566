"""`loadgen report`: print reports of result files."""

from pathlib import Path

import click

from loadgen import resultfile, thresholds
from loadgen.errors import CrossedError, LoadgenError
from loadgen.parameters import Threshold
from loadgen.plan import check_thresholds
from loadgen.report import compare, search, text
from loadgen.searchfile import Found, is_search


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    type=Threshold(),
    multiple=True,
    help="What must hold of each, as for run, in place of the thresholds of the run itself.",
)
def report(results: tuple[Path, ...], threshold: tuple[thresholds.Threshold, ...]) -> None:
    """Print the report of a result file, as `run` printed it; of several, side by side with the first.

    With --threshold the exit code is 99 where a result crosses one. Without, the report of one file shows
    what became of the thresholds of the run, and the exit code is 0. It prints the report of a search too.
    """
    contents = [resultfile.content_of(path) for path in results]
    if any(map(is_search, contents)):
        if len(results) > 1 or threshold:
            raise click.UsageError("the file of a search is reported alone and without --threshold")
        try:
            click.echo(search.render(Found.from_json(contents[0])))
        except ValueError as error:
            raise LoadgenError(f"{results[0]} {error}") from None
        return
    read = [resultfile.result_of(path, content) for path, content in zip(results, contents, strict=True)]
    for one in read:
        check_thresholds(threshold, is_open=one.open)
    judged = [thresholds.judge(one, threshold or None) for one in read]
    if len(read) == 1:
        click.echo(text.render(read[0], judged[0]))
    else:
        click.echo(compare.render([str(path) for path in results], read))
    crossed = []
    for path, checks in zip(results, judged if threshold else (), strict=bool(threshold)):
        if len(read) > 1:
            click.echo("\n".join([f"\n{path}", *text.table(checks)]))
        if not thresholds.passed(checks):
            crossed.append(f"{path}: {text.crossed(checks)}" if len(read) > 1 else text.crossed(checks))
    if crossed:
        raise CrossedError(f"thresholds crossed: {'; '.join(crossed)}")
