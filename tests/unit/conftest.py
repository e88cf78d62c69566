"""What the tests of the load generator share."""

from collections.abc import Iterator

import psutil
import pytest

from tests.server.replica import Replica


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Check that no process started by a module's tests is left, but for the shared replica."""
    before = psutil.Process().children(recursive=True)
    yield
    started = [one for one in psutil.Process().children(recursive=True) if one not in before]
    assert [one for one in started if "server" not in one.cmdline()] == []
    assert len(started) <= 1


@pytest.fixture(scope="session")
def replica() -> Iterator[Replica]:
    """A real server with nothing set, for all tests that leave it as it is."""
    with Replica("--name", "first") as replica:
        yield replica
