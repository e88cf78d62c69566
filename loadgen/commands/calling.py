"""Options of several commands that say what is called, and with what."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from loadgen.parameters import Duration
from loadgen.plan import DATA_ORDERS
from loadgen.template import HELP

F = TypeVar("F", bound=Callable[..., Any])

_DESCRIBED = (
    click.option(
        "--proto",
        metavar="FILE",
        multiple=True,
        help="A .proto file that describes the service, instead of server reflection; several may be given.",
    ),
    click.option(
        "-I",
        "--import-path",
        metavar="FOLDER",
        multiple=True,
        help="Where --proto and what it imports are looked for. [default: the file's own folder]",
    ),
    click.option(
        "--protoset",
        metavar="FILE",
        multiple=True,
        help="A descriptor set (protoc --include_imports --descriptor_set_out) that describes the service.",
    ),
)
_CALLED = (
    click.option(
        "--call",
        metavar="PACKAGE.SERVICE/METHOD",
        help="The method to call, unary or streaming; the server is asked for it by reflection."
        " [default: Service/Get of grpc-spread's own server]",
    ),
    *_DESCRIBED,
    click.option(
        "-d",
        "--data",
        metavar="JSON|@FILE|@-",
        help="The request as JSON, in place, from a file or from stdin; for a stream of the client an array"
        f" of its messages. Its texts may hold templates: {HELP}. [default: {{}}]",
    ),
    click.option(
        "--data-file",
        metavar="FILE",
        help="JSON lines: each line is one call's --data, used by --data-order.",
    ),
    click.option(
        "--data-order",
        type=click.Choice(DATA_ORDERS),
        help="Use the lines of --data-file in turn or at random. [default: turn]",
    ),
    click.option(
        "--stream-messages",
        type=click.IntRange(1, 1_000_000_000),
        help="Messages of each stream of the client: those of --data again and again. [default: each once]",
    ),
    click.option("--stream-interval", type=Duration(), help="Pause between messages of the client."),
    click.option(
        "--stream-cancel-after",
        type=Duration(),
        help="Cancel each stream after this time, which then counts as ok: for streams that never end.",
    ),
)


def described(command: F) -> F:
    """Add the options that say where descriptors are from, if not from the server."""
    return _add(_DESCRIBED, command)


def called(command: F) -> F:
    """Add those and the ones that say what is called and sent."""
    return _add(_CALLED, command)


def _add(options: tuple[Callable[[F], F], ...], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command
