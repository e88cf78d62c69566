"""`loadgen report`: print reports of result files."""

from pathlib import Path

import click

from loadgen import resultfile
from loadgen.report import compare, text


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
def report(results: tuple[Path, ...]) -> None:
    """Print the report of a result file, as `run` printed it; of several, side by side with the first."""
    read = [resultfile.read(path) for path in results]
    if len(read) == 1:
        click.echo(text.render(read[0]))
    else:
        click.echo(compare.render([str(path) for path in results], read))
