"""What the tests of the load generator share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.server.replica import Replica

settings.register_profile("untimed", deadline=None)  # other tests of the machine must not fail these
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def replica() -> Iterator[Replica]:
    """A real server with nothing set, for all tests that leave it as it is."""
    with Replica("--name", "first") as replica:
        yield replica
