"""Descriptors from the server itself (https://grpc.io/docs/guides/reflection/)."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from loadgen import handshake
from loadgen.descriptors import Descriptors, check_service, split
from loadgen.discovery import Backends
from loadgen.engines import failure
from loadgen.engines.channels import Options
from loadgen.errors import LoadgenError, NotReadyError, PlanError
from loadgen.target import Uri

VERSIONS = ("v1", "v1alpha")  # their messages are the same on the wire
TRY_AGAIN = 0.2  # seconds
_ABSENT = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}
_NO_ANSWER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

Metadata = Sequence[tuple[str, str | bytes]]


async def fetch(
    channel: grpc.aio.Channel,
    uri: Uri,
    backends: Backends,
    options: Options,
    *,
    call: str | None,
    metadata: Metadata,
    limit: float,
    end: float,
) -> Descriptors:
    """Ask the server for the service of `call`, or for all services; `channel` is to `backends`.

    Raises PlanError where it has no reflection or no such service, NotReadyError where it cannot be reached
    before `end` (monotonic seconds; the user gave it `limit` seconds), LoadgenError where it refuses.
    """
    target = uri.text.removeprefix("dns:///")
    while True:
        left = max(0.1, end - time.monotonic())
        failures: list[grpc.aio.AioRpcError] = []
        for version in VERSIONS:
            try:
                return await _Server(channel, version, metadata, left).descriptors(target, call)
            except grpc.aio.AioRpcError as error:
                failures.append(error)
                if error.code() not in _ABSENT:
                    break
        last = failures[-1]
        if last.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise PlanError(
                f"{target} has no server reflection: describe the service with --proto or --protoset"
            )
        reason = failure.message(last.details() or "no message", options.token)
        if last.code() not in _NO_ANSWER:
            raise LoadgenError(f"{target}: server reflection failed: {last.code().name} ({reason})")
        if time.monotonic() + TRY_AGAIN >= end:
            reason = await failure.explain(channel, backends, uri, options.tls, reason)
            cure = handshake.cure(reason) or "check that it runs and that host and port are right"
            raise NotReadyError(
                f"{target}: waited {limit:g} s for a backend to describe the service: {reason}; {cure}"
            )
        await asyncio.sleep(TRY_AGAIN)


class _Server:
    """Answers questions.

    Each is a stream of its own, sent whole: grpc.aio can lose the status of a stream that ends while a
    message is sent (https://github.com/grpc/grpc/issues/36066), as those of an absent service do.
    """

    def __init__(self, channel: grpc.aio.Channel, version: str, metadata: Metadata, limit: float) -> None:
        self._ask_one: Any = channel.unary_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        self._metadata = metadata
        self._limit = limit

    async def _ask(self, **question: Any) -> ServerReflectionResponse:
        call = self._ask_one(
            ServerReflectionRequest(**question), metadata=self._metadata, timeout=self._limit
        )
        answers = [answer async for answer in call]
        if not answers:
            raise LoadgenError("server reflection ended without an answer")
        found: ServerReflectionResponse = answers[0]
        return found

    async def descriptors(self, target: str, call: str | None) -> Descriptors:
        listed = await self._ask(list_services="*")
        services = [one.name for one in listed.list_services_response.service]
        if call is not None:
            service, _ = split(call)
            check_service(call, service, services, target)
            services = [service]
        files: dict[str, FileDescriptorProto] = {}
        for service in services:
            answer = await self._ask(file_containing_symbol=service)
            if not answer.file_descriptor_response.file_descriptor_proto:
                if call is None:
                    continue  # listed, but not described: the others are of use
                why = answer.error_response.error_message or "no message"
                raise PlanError(
                    f"{target} lists {service} but does not describe it ({why}):"
                    " give the service's files with --proto or --protoset"
                )
            await self._take(answer, files)
        return Descriptors(files.values(), target)

    async def _take(self, answer: ServerReflectionResponse, files: dict[str, FileDescriptorProto]) -> None:
        """Keep the files of an answer, then ask for those that they import and that did not come along."""
        waiting = [answer]
        asked: set[str] = set()
        while waiting:
            for content in waiting.pop().file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(content)
                files.setdefault(file.name, file)
            needed = {name for file in files.values() for name in file.dependency}
            for name in sorted(needed - files.keys() - asked):
                asked.add(name)
                waiting.append(await self._ask(file_by_filename=name))
