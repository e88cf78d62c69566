"""What the operating system lets the lab have."""

import contextlib
import resource

OPEN_FILES = 65_536


def raise_open_files() -> None:
    """Raise the soft limit on open files, for this process and those it starts, as far as allowed.

    The proxy needs two descriptors a connection, and a client with a connection for each of 3000
    calls is one of the experiments; 1024 is a usual soft limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    # macOS reports no hard limit and refuses large values all the same.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
