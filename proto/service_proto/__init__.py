"""Generated from the .proto files by `make proto`: import `service_pb2` for the messages."""
