"""`loadgen schema`: describe a result file."""

import json

import click

from loadgen import result


@click.command()
def schema() -> None:
    """Print the JSON Schema of a result file."""
    click.echo(json.dumps(result.schema(), indent=2))
