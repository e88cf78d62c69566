"""What several tests of the lab need."""

import time

import grpc
import psutil
import pytest

from service_proto import service_pb2

PATIENCE = 30
ROUND_ROBIN = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


class Client:
    """A channel to the service."""

    def __init__(self, target, *options):
        self.channel = grpc.aio.insecure_channel(target, options=[OWN_CONNECTION, *options])
        self._get = self.channel.unary_unary(
            "/Service/Get",
            request_serializer=service_pb2.Req.SerializeToString,
            response_deserializer=service_pb2.Res.FromString,
        )

    async def get(self, deadline=PATIENCE):
        """Return the id of the replica that answers within so many seconds."""
        return (await self._get(service_pb2.Req(), timeout=deadline, wait_for_ready=True)).id


@pytest.fixture
async def connect():
    """Make clients that are closed in the end: `connect(target, round_robin=True)`."""
    clients = []

    def connect(target, *, round_robin=False):
        clients.append(Client(target, *([ROUND_ROBIN] if round_robin else [])))
        return clients[-1]

    yield connect
    for client in clients:
        await client.channel.close()


@pytest.fixture
def gone():
    """Say whether all these processes are gone, or are before long."""

    def runs(process):
        try:  # a zombie waits only for its new parent, which may never ask
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def gone(processes):
        end = time.monotonic() + PATIENCE
        while any(runs(process) for process in processes) and time.monotonic() < end:
            time.sleep(0.01)
        return not any(runs(process) for process in processes)

    return gone


@pytest.fixture
def nothing_left():
    """Check in the end that no process started in the test is left."""
    before = psutil.Process().children(recursive=True)
    yield
    started = [p for p in psutil.Process().children(recursive=True) if p not in before]
    assert started == []
