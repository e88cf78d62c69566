"""`python -m lab`."""

import os

# gRPC reads this when it is imported; its own lines on a failed connection would hide ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from lab.cli import main

main()
