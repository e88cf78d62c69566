"""Addresses to listen on, and what to say when one cannot be had."""

import errno
import socket

import click


class CannotListen(click.ClickException):
    """Nothing can be served on this address: exit code 1."""

    def __init__(self, host: str, port: int, option: str, error: OSError) -> None:
        variable = "SERVER_" + option.removeprefix("--").upper().replace("-", "_")
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            cure = f"give another port with {option} or {variable} (0: any free one)"
        else:
            cure = "give an address of this machine with --host or SERVER_HOST"
        super().__init__(f"cannot listen on {join(host, port)}: {error.strerror}; {cure}.")


def join(host: str, port: int) -> str:
    """Write an address as URIs do, an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def family(host: str) -> socket.AddressFamily:
    """Tell whether a host is IPv4 or IPv6; OSError if it is neither nor a name for one."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "not a host name") from error


def refusal(host: str, port: int) -> OSError:
    """Find out why nothing could be bound there, which gRPC does not tell."""
    try:
        with socket.socket(family(host)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        return error
    return OSError(errno.EADDRINUSE, "Address was in use a moment ago")
