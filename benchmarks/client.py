"""One measured client in a process of its own; prints what it saw as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from loadgen import eventloop
from loadgen.ledger import Counts
from loadgen.plan import Plan
from loadgen.progress import Progress
from loadgen.run import Run
from service_proto import service_pb2

FIRST_READING = 100_000  # calls after which memory is read for the first time


async def bare(target: str, total: int, concurrency: int) -> None:
    """Make the calls with as little as grpc.aio needs: no records, no report."""
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(
            "/Service/Get",
            request_serializer=service_pb2.Req.SerializeToString,
            response_deserializer=service_pb2.Res.FromString,
        )
        request = service_pb2.Req()

        async def caller(calls: int) -> None:
            for _ in range(calls):
                await call(request)

        share, rest = divmod(total, concurrency)
        await asyncio.gather(*(caller(share + (n < rest)) for n in range(concurrency)))


class Memory(Progress):
    """Reads resident memory (bytes) after the first 100,000 calls."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.early = 0
        self._counts: Callable[[], Counts] = Counts

    def start(self, plan: Plan, pacing: str, counts: Callable[[], Counts]) -> None:
        """Keep what tells how far the run is."""
        self._counts = counts

    async def run(self) -> None:
        """Look four times a second."""
        while self._counts().ok < FIRST_READING:  # noqa: ASYNC110 - it is read now and then, by design
            await asyncio.sleep(0.25)
        self.early = resident()


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096


def main() -> None:
    """Usage: client.py bare|engine TARGET TOTAL CONCURRENCY."""
    kind, target, total, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    loop = eventloop.new() if kind == "engine" else asyncio.new_event_loop()
    memory = Memory()
    plan = Plan(target=target, total=total, concurrency=concurrency)
    work = bare(target, total, concurrency) if kind == "bare" else Run(plan).execute(memory)
    wall, cpu = time.perf_counter(), time.process_time()
    loop.run_until_complete(work)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "cpu_us": cpu / total * 1e6,
                "rate": total / wall,
                "early": memory.early,
                "late": resident(),
            }
        )
    )


main()
