"""A service of somebody else, for the tests of `--call`: all kinds of calls, with and without reflection."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection, reflection_pb2

from loadgen.descriptors import Descriptors, Method

PROTOS = Path(__file__).parents[1] / "protos"
SOURCE = PROTOS / "shop" / "v1" / "shop.proto"
SHOP = "shop.v1.Shop"
PATIENCE = 60.0


@cache
def descriptor_set() -> FileDescriptorSet:
    """Return what protoc makes of the service."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_imports"),
            *("--descriptor_set_out=/dev/stdout", "shop/v1/shop.proto"),
        ],
        capture_output=True,
        check=True,
    )
    return FileDescriptorSet.FromString(done.stdout)


@cache
def shop() -> Descriptors:
    return Descriptors(descriptor_set().file, "shop.proto")


def method(name: str) -> Method:
    return shop().find(f"{SHOP}/{name}")


class Sparse:
    """Reflection as some servers have it: one file an answer, none that comes with protobuf."""

    def __init__(self, absent: Iterable[str] = ()) -> None:
        self._files = {file.name: file for file in descriptor_set().file}
        self._absent = set(absent)

    def ServerReflectionInfo(self, requests: Iterator[Any], _: Any) -> Iterator[Any]:  # noqa: N802
        for request in requests:
            name = request.file_by_filename
            if request.HasField("list_services"):
                listed = [reflection_pb2.ServiceResponse(name=SHOP)]
                yield reflection_pb2.ServerReflectionResponse(
                    list_services_response=reflection_pb2.ListServiceResponse(service=listed)
                )
                continue
            if request.file_containing_symbol == SHOP:
                name = "shop/v1/shop.proto"
            yield self._file(name)

    def _file(self, name: str) -> Any:
        if name not in self._files or name in self._absent or name.startswith("google/"):
            return reflection_pb2.ServerReflectionResponse(
                error_response=reflection_pb2.ErrorResponse(error_code=5, error_message=f"no {name}")
            )
        content = [self._files[name].SerializeToString()]
        return reflection_pb2.ServerReflectionResponse(
            file_descriptor_response=reflection_pb2.FileDescriptorResponse(file_descriptor_proto=content)
        )


def _reflection(version: str, servicer: Any) -> grpc.GenericRpcHandler:
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        f"grpc.reflection.{version}.ServerReflection", {"ServerReflectionInfo": handler}
    )


def whole() -> Any:
    """Return the reflection of grpcio-reflection, about the shop alone."""
    pool = DescriptorPool()
    for file in descriptor_set().file:
        pool.Add(FileDescriptorProto.FromString(file.SerializeToString()))
    return reflection.ReflectionServicer([SHOP], pool=pool)


class Shop:
    """Answers with what it got, once `answer` is set; an item's name can ask for something else.

    `fail` ends a call as PERMISSION_DENIED, `hang` answers never.
    """

    def __init__(self, *versions: str, servicer: Any = None, held: bool = False) -> None:
        self.answer = threading.Event()
        if not held:
            self.answer.set()
        self.got: list[tuple[str, list[Message]]] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self._came = threading.Condition()
        self._stopping = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._handlers(),))
        for version in versions:
            self._server.add_generic_rpc_handlers((_reflection(version, servicer or whole()),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _handlers(self) -> grpc.GenericRpcHandler:
        made: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, kind, answer in (
            ("Echo", grpc.unary_unary_rpc_method_handler, self._echo),
            ("Add", grpc.stream_unary_rpc_method_handler, self._add),
            ("List", grpc.unary_stream_rpc_method_handler, self._list),
            ("Chat", grpc.stream_stream_rpc_method_handler, self._chat),
        ):
            found = method(name)
            made[name] = kind(answer, found.request.FromString, found.reply.SerializeToString)  # type: ignore[operator]
        return grpc.method_handlers_generic_handler(SHOP, made)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.set()
        self._stopping.set()
        self._server.stop(None).wait()

    def await_calls(self, number: int) -> None:
        """Wait until so many calls have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.got) >= number, PATIENCE)

    def messages(self, name: str) -> list[list[Message]]:
        """Return the messages of each call of a method."""
        return [messages for called, messages in self.got if called == name]

    def _begin(self, name: str, context: grpc.ServicerContext, *messages: Message) -> list[Message]:
        got = list(messages)
        with self._came:
            self.got.append((name, got))
            self.metadata.append(dict(context.invocation_metadata()))
            self._came.notify_all()
        context.set_trailing_metadata((("server-name", "aisle 1"),))
        assert self.answer.wait(PATIENCE)
        for message in got:
            self._obey(message, context)
        return got

    def _obey(self, message: Any, context: grpc.ServicerContext) -> None:
        wish = getattr(message, "name", "")
        if wish == "fail":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "as asked")
        if wish == "hang":
            self._stopping.wait(PATIENCE)

    def _echo(self, item: Any, context: grpc.ServicerContext) -> Any:
        self._begin("Echo", context, item)
        return item

    def _add(self, items: Iterator[Any], context: grpc.ServicerContext) -> Any:
        got = self._begin("Add", context)
        for item in items:
            got.append(item)
            self._obey(item, context)
        return method("Add").reply(count=len(got), server_name="aisle 1")

    def _list(self, query: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self._begin("List", context, query)
        for number in range(query.count):
            yield method("List").reply(small=number, name=f"item {number}")
        if query.count < 0:
            self._stopping.wait(PATIENCE)

    def _chat(self, items: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        got = self._begin("Chat", context)
        for item in items:
            got.append(item)
            self._obey(item, context)
            yield item
