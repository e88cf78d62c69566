from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.server.replica import Replica, Starter


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    """One with nothing set, for all tests of a module that leave it as it is."""
    with Replica("--name", "first", "--address", "10.0.0.1:9090") as replica:
        yield replica


@pytest.fixture
def start() -> Iterator[Starter]:
    """Start a replica with these options and variables."""
    with ExitStack() as stack:
        yield lambda *options, **others: stack.enter_context(Replica(*options, **others))
