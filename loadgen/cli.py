"""The command `loadgen`."""

import os
import sys

import click

from loadgen import __version__
from loadgen.commands.collect import collect
from loadgen.commands.list import list_
from loadgen.commands.merge import merge
from loadgen.commands.report import report
from loadgen.commands.run import run
from loadgen.commands.schema import schema
from loadgen.commands.search import search


@click.group(
    context_settings={
        "auto_envvar_prefix": "LOADGEN",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.version_option(__version__, prog_name="loadgen")
def cli() -> None:
    """Call a gRPC service and see how the calls fall on its replicas."""


for command in (run, search, list_, report, merge, collect, schema):
    cli.add_command(command)


def _line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" ({error.ctx.command_path} --help lists the options)"
    return text


def main() -> None:
    """Run the command; every error that a user can make is one line on stderr and an exit code."""
    try:
        code = cli.main(prog_name="loadgen", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"loadgen: error: {_line(error)}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("loadgen: stopped", err=True)
        sys.exit(130)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at exit
        if not isinstance(error, BrokenPipeError):
            click.echo(f"loadgen: error: cannot write to stdout: {error.strerror}", err=True)
        sys.exit(1)
