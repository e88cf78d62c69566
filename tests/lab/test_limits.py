"""Limits of the operating system, really set."""

import resource

import pytest

from lab.limits import OPEN_FILES, raise_open_files


@pytest.fixture
def limits():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_low_limit_on_open_files_is_raised_and_a_high_one_kept(limits):
    hard = limits[1]
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    raise_open_files()
    raise_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
