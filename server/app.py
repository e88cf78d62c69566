"""Builds a replica and runs it until it has drained."""

import asyncio

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server import log, orca, service
from server.drain import Signals, drain
from server.health import Health
from server.identity import Identity
from server.listen import CannotListen, join, refusal
from server.memory import Memory
from server.metrics import Calls, Exposition, Metrics
from server.settings import Settings
from server.tls import Certificates

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 1 if the drain cut calls off.

    Raises CannotListen or CannotSecure, before anything is served.
    """
    log.configure(settings.log_level)
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    signals = Signals()
    exposition = _expose(settings)
    server = grpc.aio.server(options=_options(settings))
    certificates = Certificates(settings.tls) if settings.tls else None
    credentials = certificates.credentials() if certificates else None
    port = _bind(server, settings.host, settings.port, "--port", credentials)

    address = settings.address or join(settings.host, port)
    identity = Identity.new(settings.name, address)
    calls = Calls()
    memory = Memory(settings.footprint) if settings.footprint else None
    metrics = Metrics(identity, calls, memory.account if memory else None)
    checks = Health()
    probed, health_port = _probed(settings, checks)
    reports = orca.reports(settings)
    handlers = [service.Service(identity, settings.faults, calls, memory, reports).handler()]
    names = [service.NAME, health.SERVICE_NAME, reflection.SERVICE_NAME]
    streams = None
    if reports is not None and settings.orca is not None and settings.orca.out_of_band:
        streams = orca.OpenRca(reports)
        handlers.append(streams.handler())
        names.append(orca.NAME)
    server.add_generic_rpc_handlers(handlers)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(names, server)

    exposition.start(metrics)
    await checks.set(service.NAME, health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    if probed is not None:
        await probed.start()
    _log.info(
        "serving",
        id=identity.id,
        name=identity.name,
        address=address,
        port=port,
        metrics_port=exposition.port,
        **({} if health_port is None else {"health_port": health_port}),
        **({} if settings.tls is None else {"tls": "mutual" if settings.tls.client_ca else "server"}),
    )
    await signals.first.wait()
    endless = [checks.end_watches, *([streams.end] if streams else [])]
    cut = await drain(server, checks, endless, metrics, settings, signals.second)
    if probed is not None:
        await probed.stop(None)
    _log.info("stopped", served=calls.served, cut=cut, capped=metrics.capped)
    signals.ignore()
    return 1 if cut else 0


def _options(settings: Settings) -> list[tuple[str, int]]:
    options = [
        ("grpc.so_reuseport", 0),  # else two replicas may share a port unawares
        # the defaults, 1000 and 3000, cancel calls when thousands arrive at once
        ("grpc.server.max_pending_requests", 100_000),
        ("grpc.server.max_pending_requests_hard_limit", 200_000),
        # the default, 5 minutes, takes a client's keepalive for an attack (gRFC A8)
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    ages = {
        "grpc.max_connection_age_ms": settings.max_connection_age,
        "grpc.max_connection_age_grace_ms": settings.max_connection_age_grace,
    }
    options += [(name, age // 1_000_000) for name, age in ages.items() if age is not None]
    return options


def _expose(settings: Settings) -> Exposition:
    host, port = settings.host, settings.metrics_port
    try:
        return Exposition(host, port)
    except OSError as error:
        raise CannotListen(host, port, "--metrics-port", error) from error


def _probed(settings: Settings, checks: Health) -> tuple[grpc.aio.Server | None, int | None]:
    """Return a server of the same health in plaintext, not started yet, where one was asked for."""
    if settings.health_port is None:
        return None, None
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = _bind(server, settings.host, settings.health_port, "--health-port")
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    return server, port


def _bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    option: str,
    credentials: grpc.ServerCredentials | None = None,
) -> int:
    address = join(host, port)
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise CannotListen(host, port, option, refusal(host, port)) from error
