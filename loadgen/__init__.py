"""Calls a gRPC service and reports how the calls fell on its replicas."""

__version__ = "0.1.0"
