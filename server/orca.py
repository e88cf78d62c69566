"""Load reports to clients, ORCA (gRFC A51), by which weighted_round_robin weighs replicas (gRFC A58).

A report has the calls that ended per second, those that failed, and two utilizations. A client weighs a
replica by rate / utilization, and takes `application_utilization` where there is one. Here that is the
calls worked on at a time over those that can be, so the weight comes out as the replica's capacity in calls
per second, however many of them it gets: a replica whose calls take ten times as long weighs a tenth.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns, process_time_ns
from typing import TypeAlias

import grpc

from server.load import STEP, Meter, Processor
from server.settings import SECOND, Reporting, Settings
from service_proto.orca_pb2 import OrcaLoadReport
from service_proto.orca_service_pb2 import DESCRIPTOR, OrcaLoadReportRequest

NAME = DESCRIPTOR.services_by_name["OpenRcaService"].full_name
KEY = "endpoint-load-metrics-bin"
"""Of the trailing metadata with a call's report."""
AT_ONCE = 100
"""Calls that count as all that a replica without slots can work on at a time."""
LEAST, USUAL = STEP, 10 * SECOND
"""Between two reports of a stream: at least, and where the client does not say."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")

Context: TypeAlias = grpc.aio.ServicerContext[OrcaLoadReportRequest, bytes]
Metadata: TypeAlias = tuple[tuple[str, bytes], ...]


def cores() -> float:
    """Return how much of a core the event loop may use: one, or less where cgroup v2 says so."""
    with suppress(OSError, ValueError):
        quota, period = QUOTA.read_text("ascii").split()
        return min(1.0, int(quota) / int(period))  # without a limit the quota is `max`
    return 1.0


class Reports:
    """What a replica tells of its load. Used by the event loop only."""

    def __init__(self, reporting: Reporting, slots: int, *, works: bool) -> None:
        """`works`: calls take time to work on, so that what can be worked on at a time is the limit."""
        now = monotonic_ns()
        self.meter = Meter(now)
        self._per_call = reporting.per_call
        self._capacity = (slots or AT_ONCE) if works else None
        self._processor = Processor(now, process_time_ns())
        self._cores = cores()
        self._made_at = now
        self._made: bytes | None = None

    def ended(self, now: int, *, failed: bool) -> Metadata:
        """Count a call that has ended; returns what its trailing metadata has to have."""
        self.meter.ended(now, failed=failed)
        return ((KEY, self.report(now)),) if self._per_call else ()

    def report(self, now: int) -> bytes:
        """Return the report of now (`monotonic_ns`), serialised; a new one every 100 ms."""
        if self._made is None or now - self._made_at >= STEP:
            self._made_at, self._made = now, self._make(now).SerializeToString()
        return self._made

    def _make(self, now: int) -> OrcaLoadReport:
        load = self.meter.read(now)
        return OrcaLoadReport(
            rps_fractional=load.rate,
            eps=load.errors,
            cpu_utilization=self._processor.read(now, process_time_ns()) / self._cores,
            # 0 means that there is none: clients then go by the processor
            application_utilization=load.working / self._capacity if self._capacity else 0.0,
        )


class OpenRca:
    """Reports out of band: streams that last until the client or the replica ends them."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._over = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server is given."""
        stream: grpc.RpcMethodHandler[OrcaLoadReportRequest, bytes] = grpc.unary_stream_rpc_method_handler(
            self.stream, OrcaLoadReportRequest.FromString
        )
        return grpc.method_handlers_generic_handler(NAME, {"StreamCoreMetrics": stream})

    async def stream(self, request: OrcaLoadReportRequest, context: Context) -> None:
        """Send a report now and again and again."""
        asked = request.report_interval.ToNanoseconds()
        interval = max(LEAST, asked) if asked > 0 else USUAL
        while not self._over.is_set():
            await context.write(self._reports.report(monotonic_ns()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), interval / SECOND)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the replica stops")

    def end(self) -> None:
        """Fail all streams with UNAVAILABLE: left alone, one would hold up a drain until its timeout."""
        self._over.set()


def reports(settings: Settings) -> Reports | None:
    """Return what makes the reports, where some were asked for."""
    if settings.orca is None:
        return None
    return Reports(settings.orca, settings.faults.slots, works=settings.faults.work)
