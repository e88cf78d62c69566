"""Options of several commands that say how connections are secured, and who calls."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_SECURED = (
    click.option(
        "--tls", is_flag=True, help="Use TLS, also implied by the next five; trust the system's CAs."
    ),
    click.option("--cacert", type=click.Path(), help="Trust the CAs in this PEM file instead."),
    click.option("--cert", type=click.Path(), help="Client certificate (PEM, with its chain); needs --key."),
    click.option("--key", type=click.Path(), help="Private key of --cert (PEM, no passphrase)."),
    click.option(
        "--server-name",
        metavar="NAME",
        help="Name that the server's certificate must have; also sent as SNI and :authority.",
    ),
    click.option(
        "--insecure-skip-verify",
        is_flag=True,
        help="Trust whatever certificates the backends show before the load. gRPC cannot leave verifying out:"
        " one that comes later with another certificate is refused, and so is one that has expired.",
    ),
    click.option(
        "--token-file",
        type=click.Path(),
        help="Send the bearer token in this file with each call; read anew every 10 s."
        " Needs TLS, or loopback.",
    ),
    click.option("--token-env", metavar="NAME", help="The same with the token in this environment variable."),
)


def secured(command: F) -> F:
    """Add the options of TLS and of the token."""
    for option in reversed(_SECURED):
        command = option(command)
    return command
