"""Addresses for the cluster: a block of loopback that nobody else uses."""

import errno
import itertools
import random
import socket
from collections.abc import Sequence

from lab.errors import LabError

FIRST, LAST = 2, 254
FALLBACK = "127.0.0"
CURE = (
    "127.0.0.2 cannot be used here, and every replica needs a loopback address of its own; "
    "add some with: for i in $(seq 2 20); do sudo ifconfig lo0 alias 127.0.0.$i; done"
)


class Block:
    """The addresses PREFIX.2 to PREFIX.254, given out one after the other and not soon again.

    Like pods, new replicas get addresses that no client remembers, until the block is used up.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._hosts = itertools.cycle(range(FIRST, LAST + 1))
        self._used: set[str] = set()

    def take(self, port: int) -> str:
        """Return an address on which the TCP port is free, 0: any; LabError if none is left."""
        for host in itertools.islice(self._hosts, LAST + 1 - FIRST):
            address = f"{self.prefix}.{host}"
            if address not in self._used and _can_bind(address, port):
                self._used.add(address)
                return address
        raise LabError(f"no address of {self.prefix}.* is left for another replica")

    def give_back(self, address: str) -> None:
        """Let an address be taken again, once all others had their turn."""
        self._used.discard(address)


def pick(prefixes: Sequence[str] = ()) -> Block:
    """Return the first block whose first address can be bound; LabError with the cure if none is.

    By default it is a random one of 127.0.0.0/8, so that labs can run side by side, or 127.0.0.*
    where the system has only those loopback addresses that somebody added, as macOS does.
    """
    for prefix in prefixes or (_random_prefix(), FALLBACK):
        if _can_bind(f"{prefix}.{FIRST}", 0):
            return Block(prefix)
    raise LabError(CURE)


def _random_prefix() -> str:
    return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"  # noqa: S311


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: connections that linger in TIME_WAIT do not count as use
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
                return False
            raise
    return True
