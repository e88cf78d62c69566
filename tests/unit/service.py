"""A gRPC server in the tests' own process, whose answers a test holds back, and which shows what it got."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc

from service_proto.service_pb2 import Req, Res
from tests.certificates import Files

PATIENCE = 60.0


class Service:
    """Answers Get with the id "inside", once `answer` is set."""

    def __init__(
        self,
        *,
        held: bool = False,
        workers: int = 32,
        credentials: Files | None = None,
        complaint: str | None = None,
    ) -> None:
        """`credentials`: for TLS; `complaint`: what every call ends UNAUTHENTICATED with."""
        self.answer = threading.Event()
        if not held:
            self.answer.set()
        self.metadata: list[list[tuple[str, str | bytes]]] = []
        self._came = threading.Condition()
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(workers), options=options)
        get = grpc.unary_unary_rpc_method_handler(self._get, Req.FromString, Res.SerializeToString)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("Service", {"Get": get}),)
        )
        self._complaint = complaint
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (credentials.key.read_bytes(), credentials.certificate.read_bytes())
            port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.target = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.set()
        self._server.stop(None).wait()

    def _get(self, _request: Req, context: grpc.ServicerContext) -> Res:
        with self._came:
            self.metadata.append(list(context.invocation_metadata()))
            self._came.notify_all()
        assert self.answer.wait(PATIENCE)
        if self._complaint is not None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, self._complaint)
        return Res(id="inside")

    def await_calls(self, number: int) -> None:
        """Wait until so many calls have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.metadata) >= number, PATIENCE)
