"""The command line of the lab."""

import os
import sys

import click

from lab.commands.run import run
from lab.commands.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Run a service with several replicas on this machine, as a Kubernetes cluster does."""


for command in (run, up):
    cli.add_command(command)


def _line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" ({error.ctx.command_path} --help lists the options)"
    return text


def main() -> None:
    """Run the command; every error that a user can make is one line on stderr and an exit code."""
    try:
        code = cli.main(prog_name="python -m lab", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"lab: error: {_line(error)}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("lab: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
