"""Readiness, found as kubelet's gRPC probe finds it."""

import asyncio

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from lab.errors import LabError

PERIOD = 0.05
"""Seconds from an answer that was not SERVING to the next check; kubelet's is 10 s."""
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


async def serving(address: str, port: int) -> None:
    """Return once the standard health service says SERVING for the server as a whole.

    It asks as long as it takes: the caller sets the limit. LabError if there is no such service.
    """
    async with grpc.aio.insecure_channel(f"ipv4:{address}:{port}", options=OPTIONS) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        while True:
            try:
                answer = await check(HealthCheckRequest(), timeout=1, wait_for_ready=True)
                if answer.status == HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    raise LabError(f"the server on {address}:{port} has no health service") from error
            await asyncio.sleep(PERIOD)
