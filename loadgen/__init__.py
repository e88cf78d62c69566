"""Calls a gRPC service and reports how the calls fell on its replicas."""

import os

# gRPC reads it when it is imported; its own lines on a failed handshake would be beside ours
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
