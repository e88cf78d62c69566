"""The command line of a replica."""

import functools
import socket
import sys
from fractions import Fraction
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from server.faults import Errors, Faults, Stall
from server.parameters import Duration, Label, Ratio, Size
from server.settings import Footprint, Settings

PORT = click.IntRange(0, 65535)


class _Option(click.Option):
    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name what was set wrongly: the variable if it came from one."""
        if ctx and self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return f"{ctx.auto_envvar_prefix}_{self.name.upper()}"
        return super().get_error_hint(ctx)


option = functools.partial(click.option, cls=_Option, show_default=True, show_envvar=True)


@click.command(
    context_settings={
        "auto_envvar_prefix": "SERVER",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog="Durations are written 250ms, 10s or 1m30s, sizes 225KiB, 64Mi or 1G. The first SIGTERM or "
    "SIGINT starts the drain, the second ends it. Exit codes: 0 all calls finished, 1 cannot serve or "
    "calls were cut off, 2 usage.",
)
@option("--host", type=Label(), default="0.0.0.0", help="Address to listen on.")  # noqa: S104
@option("--port", type=PORT, default=9090, help="Port for gRPC; 0: any free one.")
@option("--metrics-port", type=PORT, default=9100, help="Port for Prometheus; 0: any free one.")
@option(
    "--name",
    type=Label(),
    default=socket.gethostname,
    show_default="the host name",
    help="Name to tell in metadata, logs and metrics.",
)
@option(
    "--address",
    type=Label(),
    show_default="the HOST:PORT that was bound",
    help="Address to tell in metadata, logs and metrics.",
)
@option("--delay", type=Duration(at_most="1h"), default="0s", help="Time that a Get takes.")
@option(
    "--slots",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="Gets worked on at a time, the others wait: the capacity is SLOTS / DELAY. 0: any number.",
)
@option(
    "--error-ratio",
    type=Ratio(),
    default="0",
    help="Share of the Gets to fail with UNAVAILABLE, 0 to 1, evenly: 0.25 fails every 4th.",
)
@option("--stall-every", type=Duration("1ms"), help="Stall once in such a period.")
@option(
    "--stall-for",
    type=Duration("1ms"),
    help="Length of a stall, at the end of each period: no Get is answered in it.",
)
@option(
    "--memory-per-call",
    type=Size(),
    show_default="none",
    help="Memory that each Get takes, resident, and keeps for --memory-hold.",
)
@option(
    "--memory-hold",
    type=Duration("1ms"),
    help="Time until a Get's memory is given back to the system, from its arrival on.",
)
@option(
    "--memory-max",
    type=Size(),
    show_default="no limit",
    help="Most memory to hold for Gets at a time; those beyond are answered, hold none, and are counted.",
)
@option(
    "--max-connection-age",
    type=Duration("1ms"),
    show_default="no limit",
    help="Age at which a connection gets a GOAWAY, so that its client connects anew.",
)
@option(
    "--max-connection-age-grace",
    type=Duration(),
    show_default="no limit",
    help="Time for the calls in flight on a connection that is too old.",
)
@option(
    "--drain-delay",
    type=Duration(at_most="1h"),
    default="0s",
    help="Go on serving for so long once health is NOT_SERVING, for clients to learn of it.",
)
@option(
    "--drain-timeout",
    type=Duration(at_most="1h"),
    default="30s",
    help="Time for calls in flight after that; then they are cut off.",
)
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    help="Lowest level to log.",
)
def command(
    *,
    delay: int,
    slots: int,
    error_ratio: Fraction,
    stall_every: int | None,
    stall_for: int | None,
    memory_per_call: int | None,
    memory_hold: int | None,
    memory_max: int | None,
    **others: Any,
) -> int:
    """Run one replica: it answers /Service/Get with an id that it makes once, when it starts.

    It also serves gRPC's health and reflection services, and Prometheus metrics over HTTP.
    """
    if others["port"] == others["metrics_port"] != 0:
        raise click.UsageError("--port and --metrics-port must differ.")
    if others["max_connection_age_grace"] is not None and others["max_connection_age"] is None:
        raise click.UsageError("--max-connection-age-grace needs --max-connection-age.")
    faults = Faults(
        delay=delay,
        slots=slots,
        errors=Errors(error_ratio) if error_ratio else None,
        stall=_stall(stall_every, stall_for),
    )
    footprint = _footprint(memory_per_call, memory_hold, memory_max)
    # imported late: it takes some time, and neither --help nor a usage error needs it
    from server.app import run  # noqa: PLC0415

    return run(Settings(faults=faults, footprint=footprint, **others))


def _stall(every: int | None, length: int | None) -> Stall | None:
    if every is None and length is None:
        return None
    if every is None or length is None:
        raise click.UsageError("--stall-every and --stall-for need each other.")
    if length >= every:
        raise click.UsageError("--stall-for must be less than --stall-every.")
    return Stall(every, length)


def _footprint(per_call: int | None, hold: int | None, most: int | None) -> Footprint | None:
    if per_call is None and hold is None:
        if most is not None:
            raise click.UsageError("--memory-max needs --memory-per-call and --memory-hold.")
        return None
    if per_call is None or hold is None:
        raise click.UsageError("--memory-per-call and --memory-hold need each other.")
    if most is not None and most < per_call:
        raise click.UsageError("--memory-max must be at least --memory-per-call.")
    return Footprint(per_call, hold, most)


def main() -> NoReturn:
    """Run the command; an error is one line on stderr."""
    try:
        sys.exit(command.main(prog_name="python -m server", standalone_mode=False))
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
