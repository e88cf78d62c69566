"""`loadgen schema`: describe a result file."""

import json

import click

from loadgen import resultjson


@click.command()
def schema() -> None:
    """Print the JSON Schema of a result file."""
    click.echo(json.dumps(resultjson.schema(), indent=2))
