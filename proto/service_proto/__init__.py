"""Generated from service.proto by `make proto`: import `service_pb2` for the messages."""
