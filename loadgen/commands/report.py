"""`loadgen report`: print reports of result files."""

from pathlib import Path

import click

from loadgen import resultfile, thresholds
from loadgen.errors import CrossedError
from loadgen.parameters import Threshold
from loadgen.plan import check_thresholds
from loadgen.report import text


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    type=Threshold(),
    multiple=True,
    help="What must hold, as for run, in place of the thresholds of the run itself.",
)
def report(results: tuple[Path, ...], threshold: tuple[thresholds.Threshold, ...]) -> None:
    """Print the report of each result file, as `run` printed it.

    With --threshold the exit code is 99 where a result crosses one. Without, the report shows what became of
    the thresholds of the run, and the exit code is 0.
    """
    # all are read first: an error in one must not hide behind a long report
    read = [resultfile.read(path) for path in results]
    for one in read:
        check_thresholds(threshold, is_open=one.open)
    crossed = []
    for number, (path, one) in enumerate(zip(results, read, strict=True)):
        if len(read) > 1:
            click.echo(f"{'' if number == 0 else chr(10)}== {path} ==\n")
        checks = thresholds.judge(one, threshold or None)
        click.echo(text.render(one, checks))
        if threshold and not thresholds.passed(checks):
            crossed.append(f"{path}: {text.crossed(checks)}" if len(read) > 1 else text.crossed(checks))
    if crossed:
        raise CrossedError(f"thresholds crossed: {'; '.join(crossed)}")
