"""Waiting for the backends before the first call, so that a report does not measure start-up."""

import asyncio
import time

from loadgen import handshake
from loadgen.discovery import Backends, Discovery
from loadgen.engines import Connectivity, Engine
from loadgen.errors import NotReadyError, ResolutionError

LOOK_AGAIN = 1.0  # seconds until a name is looked up anew while too few backends are known
GLANCE = 0.005  # seconds between two looks at the connections


async def first_backends(discovery: Discovery, limit: float) -> Backends:
    """Look up until it succeeds; raises ResolutionError with the last answer after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        try:
            return await discovery.lookup()
        except ResolutionError:
            if time.monotonic() + LOOK_AGAIN > end:
                raise
            await asyncio.sleep(min(LOOK_AGAIN, max(0.0, end - time.monotonic())))


async def wait(
    engine: Engine, discovery: Discovery, *, expect: int | None, limit: float, target: str
) -> Backends:
    """Return the backends that the engine uses once they are connected.

    Connected means: `expect` of them where that is given, else each one known has connected or failed to,
    and one at least has connected. Raises NotReadyError (`limit` seconds) saying how far it came.
    """
    end = time.monotonic() + limit
    backends = await first_backends(discovery, limit)
    while True:
        await engine.update(backends)
        look_again = time.monotonic() + LOOK_AGAIN
        while True:
            now = await engine.connectivity()
            if now.settled and (expect is None or now.connected >= expect):
                return backends
            if time.monotonic() >= end and now.connected and expect is None:
                return backends  # an address that neither connects nor fails must not hold up the others
            if time.monotonic() >= end:
                reason = await engine.explain(now.reason)
                raise NotReadyError(_explain(now, expect, limit, target, reason))
            # an unsettled channel is left alone: it backs off and tries again by itself
            if time.monotonic() >= look_again and (now.settled or not now.connected):
                break
            await asyncio.sleep(GLANCE)
        try:
            backends = await discovery.lookup()
        except ResolutionError:
            continue


def _explain(now: Connectivity, expect: int | None, limit: float, target: str, reason: str) -> str:
    known = "" if now.known is None else f", {now.known} known"
    wanted = f"{expect} backends" if expect and expect > 1 else "a backend"
    text = f"{target}: waited {limit:g} s for {wanted}: {now.connected} connected{known}"
    if expect and now.known is not None and now.known < expect and now.connected:
        return f"{text}; is it a headless service with {expect} ready replicas?"
    cure = handshake.cure(reason) or "check that it runs and that host and port are right"
    if not now.known and not now.failing:
        cure += "; a headless Service has no address until a replica is ready"
    return f"{text}; {reason}; {cure}" if reason else f"{text}; {cure}"
