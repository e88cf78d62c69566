"""What a replica counts, and how Prometheus reads it."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from socketserver import ThreadingTCPServer
from threading import Thread

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    MetricsHandler,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from server.identity import Identity
from server.listen import family
from server.memory import Account
from server.settings import SECOND

_log = structlog.get_logger(__name__)

CODES = ("OK", "CANCELLED", "UNAVAILABLE", "UNKNOWN")
"""The gRPC status codes that a Get can end with, here; all are exported from the start."""
BUCKETS = tuple(
    SECOND * n // 10_000
    for n in (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000)
)
"""Upper bounds of the latency histogram, in nanoseconds: 500 us to 10 s."""


class Calls:
    """Counts the Gets. Plain numbers, as every call pays for this: a tenth of a metric's cost.

    Written to by the event loop only.
    """

    __slots__ = ("buckets", "handled", "nanoseconds", "started", "worked")

    def __init__(self) -> None:
        self.started = 0
        self.handled = dict.fromkeys(CODES, 0)
        self.nanoseconds = 0
        self.worked = 0
        self.buckets = [0] * (len(BUCKETS) + 1)

    @property
    def in_flight(self) -> int:
        """How many are being worked on, or wait for it."""
        ended = sum(self.handled.values())  # first: the other way round, a scrape might see -1
        return self.started - ended

    @property
    def served(self) -> int:
        """How many were answered, be it with an error that was asked for."""
        return self.handled["OK"] + self.handled["UNAVAILABLE"]

    def start(self) -> int:
        """Count a Get that arrived; returns its number, from 1."""
        self.started += 1
        return self.started

    def finish(self, code: str, nanoseconds: int) -> None:
        """Count a Get that ended, after so long."""
        self.handled[code] += 1
        self.nanoseconds += nanoseconds
        self.buckets[bisect_left(BUCKETS, nanoseconds)] += 1


class Metrics(Collector):
    """Exports a replica's calls, under the names that gRPC's middlewares use, and its state."""

    def __init__(self, identity: Identity, calls: Calls, memory: Account | None) -> None:
        self.identity = identity
        self.calls = calls
        self.memory = memory
        self.draining = False

    @property
    def capped(self) -> int:
        """How many Gets should have held memory, and did not."""
        return self.memory.capped if self.memory else 0

    def collect(self) -> Iterator[Metric]:
        """Give all metrics of this moment."""
        labels = ("grpc_type", "grpc_service", "grpc_method")
        method = ("unary", "Service", "Get")
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls that ended.", labels=(*labels, "grpc_code")
        )
        for code, count in self.calls.handled.items():
            handled.add_metric((*method, code), count)
        yield handled
        started = CounterMetricFamily("grpc_server_started", "Calls that began.", labels=labels)
        started.add_metric(method, self.calls.started)
        yield started
        seconds = HistogramMetricFamily(
            "grpc_server_handling_seconds", "Time from a call's begin to its end.", labels=labels
        )
        bounds = [*(str(bound / SECOND) for bound in BUCKETS), "+Inf"]
        counts = list(accumulate(self.calls.buckets))
        seconds.add_metric(method, list(zip(bounds, counts, strict=True)), self.calls.nanoseconds / SECOND)
        yield seconds
        yield GaugeMetricFamily(
            "server_calls_in_flight", "Gets that were not answered yet.", self.calls.in_flight
        )
        yield CounterMetricFamily(
            "server_work_seconds",
            "Time that Gets were worked on, without their wait for a slot: its rate is the slots in use.",
            self.calls.worked / SECOND,
        )
        held = self.memory.held if self.memory else 0
        yield GaugeMetricFamily("server_memory_held_bytes", "Memory held for Gets.", held)
        yield CounterMetricFamily(
            "server_memory_capped", "Gets that held no memory, as that would have been too much.", self.capped
        )
        yield GaugeMetricFamily("server_draining", "1 while the replica drains, else 0.", self.draining)
        info = {
            "id": self.identity.id,
            "name": self.identity.name,
            "address": self.identity.address,
        }
        yield InfoMetricFamily("server", "Which replica this is.", info)


class Exposition(ThreadingTCPServer):
    """Serves the metrics over HTTP, on any path, in threads that end with the process.

    Raises OSError if it cannot listen there.
    """

    # http.server's own class looks up the host's name, which may wait for a DNS server
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.address_family = family(host)
        super().__init__((host, port), MetricsHandler.factory(self.registry))

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self.server_address[1])

    def start(self, metrics: Metrics) -> None:
        """Answer from now on."""
        self.registry.register(metrics)
        Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what would be printed: most often a scraper that did not wait for the answer."""
        _log.warning("scrape failed", exc_info=True)
