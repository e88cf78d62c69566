"""The command line of a replica."""

import functools
import itertools
import socket
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from server.faults import Errors, Faults, Stall
from server.parameters import Duration, Label, Ratio, Size
from server.settings import Footprint, Reporting, Settings
from server.tls import Files

PORT = click.IntRange(0, 65535)
FILE = click.Path(path_type=Path)


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
    "--health-port",
    type=PORT,
    show_default="none",
    help="Port for the health service alone, in plaintext: Kubernetes' gRPC probes speak no TLS. 0: any free "
    "one.",
)
@option(
    "--tls-cert",
    type=FILE,
    show_default="plaintext",
    help="Certificate (PEM, with its chain) for --port. New connections get what the file holds by then.",
)
@option("--tls-key", type=FILE, show_default="none", help="Private key of --tls-cert (PEM, no passphrase).")
@option(
    "--tls-client-ca",
    type=FILE,
    show_default="none",
    help="CAs (PEM) of the client certificates that clients then must show.",
)
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
    "--orca",
    type=click.Choice(["none", "per-call", "oob", "both"]),
    default="none",
    help="Report the load to clients, by which weighted_round_robin goes: with the answer of each Get, out "
    "of band (oob) by a stream that clients ask for, or both.",
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
    orca: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    **others: Any,
) -> int:
    """Run one replica: it answers /Service/Get with an id that it makes once, when it starts.

    It also serves gRPC's health and reflection services, and Prometheus metrics over HTTP.
    """
    for one, other in itertools.combinations(("port", "metrics_port", "health_port"), 2):
        if others[one] == others[other] and others[one]:
            raise click.UsageError(f"{_flag(one)} and {_flag(other)} must differ.")
    if others["max_connection_age_grace"] is not None and others["max_connection_age"] is None:
        raise click.UsageError("--max-connection-age-grace needs --max-connection-age.")
    faults = Faults(
        delay=delay,
        slots=slots,
        errors=Errors(error_ratio) if error_ratio else None,
        stall=_stall(stall_every, stall_for),
    )
    tls = _tls(tls_cert, tls_key, tls_client_ca)
    footprint = _footprint(memory_per_call, memory_hold, memory_max)
    reporting = None
    if orca != "none":
        reporting = Reporting(per_call=orca in {"per-call", "both"}, out_of_band=orca in {"oob", "both"})
    # imported late: it takes some time, and neither --help nor a usage error needs it
    from server.app import run  # noqa: PLC0415

    return run(Settings(faults=faults, footprint=footprint, orca=reporting, tls=tls, **others))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Files | None:
    if certificate is None and key is None:
        if client_ca is not None:
            raise click.UsageError("--tls-client-ca needs --tls-cert and --tls-key.")
        return None
    if certificate is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key need each other.")
    return Files(certificate, key, client_ca)


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
