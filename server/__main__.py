"""`python -m server`."""

import os
import signal
import sys

# process 1 of a container has no default actions: without this, an early signal would be lost
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _frame: sys.exit(128 + number))
# gRPC reads this when it is imported; its own lines on a failed bind would hide ours
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from server.cli import main  # noqa: E402

main()
