"""`loadgen report`: print reports of result files."""

from pathlib import Path

import click

from loadgen import resultfile
from loadgen.report import text


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
def report(results: tuple[Path, ...]) -> None:
    """Print the report of each result file, as `run` printed it."""
    # all are read first: an error in one must not hide behind a long report
    read = [resultfile.read(path) for path in results]
    for number, (path, one) in enumerate(zip(results, read, strict=True)):
        if len(read) > 1:
            click.echo(f"{'' if number == 0 else chr(10)}== {path} ==\n")
        click.echo(text.render(one))
