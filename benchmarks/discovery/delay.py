"""From "ready in the EndpointSlice" to the first call, for each way to learn of a replica."""

import asyncio
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.discovery.witness import Witness
from benchmarks.document import HEAD, HOLDS, Figure, within
from tests.e2e.cluster import KubernetesCluster
from tests.e2e.kube import Json, Release
from tests.e2e.load import JobLoad

RATE = 200  # calls/s
REPLICAS = 3  # before and after each scale-up
SCALE_UPS = 10
STAYS = 6.0  # seconds that a new replica stays, more than any setting that works needs
APART = 2.0  # at most, seconds by chance before each scale-up: it must not keep time with look-ups
LIMIT = "15m"  # of a load, which is stopped before
AGE, MIN_TIME, ROTATION, POLL = 2.0, 1.0, 2.0, 1.0
NEVER = "never"


@dataclass(frozen=True)
class Setting:
    """One way to learn of replicas, and what must be seen of it."""

    name: str
    plan: Mapping[str, Any]
    bound: Callable[[float], float] | None
    """The most seconds that it may take, of DNS staleness in seconds; None: it never learns of them."""
    formula: str
    median: bool = False
    """Whether the bound is the median's rather than the slowest one's."""
    server: Mapping[str, str] = field(default_factory=dict)
    """Chart values of the server."""


SETTINGS = (
    Setting("watch", {"discovery": "watch"}, lambda _: 0.1, "median under 100 ms", median=True),
    Setting(
        f"poll, {POLL:g} s",
        {"discovery": "poll", "poll_interval": f"{POLL:g}s"},
        lambda staleness: staleness + 2,
        "DNS staleness + 2 s",
    ),
    Setting(
        f"dns, channels rotated every {ROTATION:g} s",
        {"discovery": "dns", "rotate_connections": f"{ROTATION:g}s"},
        lambda staleness: staleness + 1.1 * ROTATION + 0.5,
        "1.1 x rotation + DNS staleness + 0.5 s",
    ),
    Setting(
        f"dns, server's maximum connection age {AGE:g} s, client's cooldown {MIN_TIME:g} s",
        {"discovery": "dns", "dns_min_time_between_resolutions": f"{MIN_TIME:g}s"},
        lambda staleness: staleness + 1.1 * AGE + MIN_TIME,
        "1.1 x age + cooldown + DNS staleness",
        server={"server.maxConnectionAge": f"{AGE:g}s"},
    ),
    Setting("dns, gRPC's own resolver alone", {"discovery": "dns"}, None, NEVER),
    Setting("static", {"discovery": "static"}, None, NEVER),
)


@dataclass(frozen=True)
class Seen:
    """What came of one setting."""

    delays: list[float | None]
    """Seconds to the first call of each new replica; None: it got none."""
    staleness: list[float]
    """Seconds until the cluster's DNS named each, where it could be asked."""
    failed: int
    calls: int


def measure(namespace: str, *, short: bool) -> str:
    """Return the table; raises AssertionError where a load was not made."""
    times = 3 if short else SCALE_UPS
    rows, told = [], []
    calls = failed = 0
    for number, setting in enumerate(SETTINGS):
        seen = asyncio.run(_seen(setting, number, namespace, times))
        rows.append(_figure(setting, seen).row())
        told += seen.staleness
        calls, failed = calls + seen.calls, failed + seen.failed
    named = (
        f"The cluster's DNS named a new replica {_spread(told)} after that."
        if told
        else "The cluster's DNS could not be asked from here."
    )
    note = (
        f"{times} times from {REPLICAS} to {REPLICAS + 1} replicas under {RATE} calls/s, `round_robin`, with"
        " health checks: the time from when an independent watch saw it ready to its first call, the"
        f" median and from the soonest to the latest. {named} {failed} of {calls} calls failed."
    )
    return "\n".join([HEAD, *rows, "", note])


async def _seen(setting: Setting, number: int, namespace: str, times: int) -> Seen:
    server, client = (Release(f"{who}-{number}", namespace) for who in ("servers", "load"))
    options = [f"--set={key}={value}" for key, value in setting.server.items()]
    plan = {
        "rps": RATE,
        "duration": LIMIT,
        "lb_policy": "round_robin",
        "health_check": True,
        "expect_backends": REPLICAS,
        **setting.plan,
    }
    try:
        async with KubernetesCluster(server, *options) as cluster:
            service = cluster.target(headless=True).partition(":")[0]
            async with Witness(service, namespace) as witness:
                before = await witness.until(REPLICAS)
                load = await JobLoad.start(client, cluster.target(headless=True), plan)
                await load.began()
                new = [await _scale_up(cluster, witness, before) for _ in range(times)]
                await load.stop()
            report = await load.report()
        return _judged(new, report.result)
    finally:
        for release in (client, server):
            await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")


async def _scale_up(cluster: KubernetesCluster, witness: Witness, before: set[str]) -> tuple[str, int, int]:
    """Have one replica more for a while: its address, when it was ready, and when DNS named it, or 0."""
    await asyncio.sleep(random.uniform(0, APART))
    await cluster.scale(REPLICAS + 1)
    (address,) = await witness.until(REPLICAS + 1) - before
    await asyncio.sleep(STAYS)
    found = address, witness.ready[address], witness.in_dns.get(address, 0)
    await cluster.scale(REPLICAS)
    await witness.until(REPLICAS)
    return found


def _judged(new: list[tuple[str, int, int]], result: Json) -> Seen:
    firsts = [
        (str(one["address"]).rpartition(":")[0], result["started_ns"] + one["first_call_ns"])
        for one in result["backends"].values()
    ]
    delays: list[float | None] = []
    for address, ready, _ in new:
        # a pod may get the address of one that left: its first call is the one after it was ready
        later = [(at - ready) / 1e9 for host, at in firsts if host == address and at > ready - 1e9]
        delays.append(min(later, default=None))
    staleness = [(told - ready) / 1e9 for _, ready, told in new if told]
    return Seen(delays, staleness, result["totals"]["failed"], result["totals"]["sent"])


def _figure(setting: Setting, seen: Seen) -> Figure:
    called = [one for one in seen.delays if one is not None]
    times = len(seen.delays)
    shown = _spread(called) if called else NEVER
    if len(called) not in {0, times}:
        shown += f"; {times - len(called)} of {times} never"
    return Figure(setting.name, setting.formula, shown, _verdict(setting, seen, called))


def _verdict(setting: Setting, seen: Seen, called: list[float]) -> str:
    if setting.bound is None:
        return f"{len(called)} were called" if called else HOLDS
    if len(called) < len(seen.delays):
        return f"{len(seen.delays) - len(called)} were never called"
    bound = setting.bound(max(seen.staleness, default=1.0))
    return within(
        float("-inf"), statistics.median(called) if setting.median else max(called), bound, unit=" s"
    )


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
