"""One run: wires the parts together, nothing else."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from loadgen import attribution, calling, load, readiness
from loadgen.descriptors import Method
from loadgen.discovery import LOOKUP_TIMEOUT, Backends, Discovery, Dns, Poll, Static, resolve
from loadgen.engines import Engine
from loadgen.engines.grpc import GrpcEngine
from loadgen.errors import LoadgenError, NoClusterError, PlanError, StoppedError
from loadgen.fallback import Fallback
from loadgen.fallback import note as note_fallback
from loadgen.ledger import Ledger
from loadgen.options import options_of
from loadgen.pinning import Pinned
from loadgen.plan import DEFAULT_POLL_INTERVAL, Plan
from loadgen.progress import Progress
from loadgen.recorder import Recorder
from loadgen.result import Result
from loadgen.shard import WHOLE, Shard
from loadgen.snapshot import snapshot
from loadgen.target import DnsName, Uri

if TYPE_CHECKING:
    from loadgen.observer import Observer

Together = Callable[[], Awaitable[list[int]]]


def discovery_of(plan: Plan, uri: Uri, ledger: Ledger) -> Discovery:
    """Return the plan's way to learn of backends; raises PlanError where the target has no name."""
    if plan.discovery == "dns":
        return Dns(uri, plan.rotate_connections)
    if uri.name is None:
        raise PlanError(f"--discovery {plan.discovery} needs a target with a host name, not {uri.text}")
    if plan.discovery == "static":
        return Static(uri.name)
    poll = Poll(uri.name, plan.poll_interval or DEFAULT_POLL_INTERVAL)
    if plan.discovery == "poll":
        return poll
    if plan.discovery_fallback is None:
        return _watch(uri.name)
    try:
        return Fallback(_watch(uri.name), poll, ledger)
    except NoClusterError as error:
        note_fallback(ledger, poll, error.message)
        return poll


def _watch(name: DnsName) -> Discovery:
    try:
        from loadgen.watching import Watch  # noqa: PLC0415 - an extra that only this discovery needs
    except ImportError:
        raise NoClusterError(
            "--discovery watch needs a Kubernetes client: install grpc-spread's extra kubernetes"
            " (pip install 'grpc-spread[kubernetes]'), or use --discovery poll"
        ) from None
    return Watch.of(name)


def observer_of(plan: Plan, uri: Uri, shard: Shard) -> "Observer | None":
    """Return who observes the replicas, if that is asked for: the first shard does so for all."""
    if not plan.observe:
        return None
    if uri.name is None:
        raise PlanError(f"--observe needs the name of a Service as target, not {uri.text}")
    try:
        from loadgen.observer import Observer  # noqa: PLC0415 - an extra that only this option needs
    except ImportError:
        raise PlanError(
            "--observe needs a Kubernetes client: install grpc-spread's extra kubernetes"
            " (pip install 'grpc-spread[kubernetes]')"
        ) from None
    return Observer.of(uri.name) if shard.index == 0 else None


class Run:
    """A run of a shard's part of a plan. Making it checks the plan: errors come before any load."""

    def __init__(self, plan: Plan, shard: Shard = WHOLE, together: Together | None = None) -> None:
        """`together` waits for the other shards to be ready, and returns which of them did not come."""
        self.plan = plan = load.settled(plan, shard)
        self.shard = shard
        self._together = together
        self._uri = Uri.parse(plan.target)
        self._options = options_of(plan, self._uri)
        self._observer = observer_of(plan, self._uri, shard)
        self._recorder = Recorder()
        self._ledger = Ledger(
            load.pacer_of(plan, shard),
            self._recorder,
            max_in_flight=load.in_flight_of(plan, shard),
            warmup=plan.warmup or 0,
        )
        self._found = self._discovery = discovery_of(plan, self._uri, self._ledger)
        if self._options.tls is not None and plan.insecure_skip_verify:
            self._discovery = Pinned(self._discovery, self._uri, self._options.tls)
        method = calling.known(plan)
        self._made: Engine | None = None if method is None else self._engine_for(method)

    def _engine_for(self, method: Method) -> Engine:
        plan = self.plan
        return GrpcEngine(
            self._ledger,
            calling.target(plan, self._uri, method, self.shard),
            attribution.parse(plan.attribution, method.reply),
            self._options,
            calling.streaming(plan),
        )

    @property
    def _engine(self) -> Engine:
        assert self._made is not None, "the method is asked for first"
        return self._made

    async def execute(self, progress: Progress) -> Result:
        """Wait for the backends, make the calls and return what was seen.

        SIGINT and SIGTERM end the load: calls in flight get their deadline, a second signal cancels them.
        Raises NotReadyError or ResolutionError where the backends were not there in time.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        started = False

        def stop(number: signal.Signals) -> None:
            if not started:
                task.cancel()
            elif self._ledger.stopped is None:
                self._ledger.stop(number.name)
                progress.say(f"{number.name}: ending the calls in flight; once more cancels them")
            else:
                self._engine.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        try:
            try:
                if self._made is None:
                    self._made = self._engine_for(
                        await calling.reflected(self.plan, self._uri, self._options, self._discovery)
                    )
                backends = await self._ready()
                if self._observer is not None:
                    await self._observer.begin()
                absent = await self._start_together(progress)
            except asyncio.CancelledError:
                raise StoppedError("stopped before the first call") from None
            started = True
            await self._load(backends, absent, progress)
            observed = None if self._observer is None else self._observer.observed()
            now = await _look(self._uri, self._found)
            result = snapshot(
                self.plan, self._ledger, self._recorder, self._engine.connections(), now, self.shard
            )
            result.observed = observed
            return result
        finally:
            if self._made is not None:
                await self._made.close()
            await self._discovery.close()
            if self._observer is not None:
                await self._observer.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _ready(self) -> Backends:
        limit = self.plan.ready_timeout / 1e9
        if self.plan.cold:
            backends = await readiness.first_backends(self._discovery, limit)
            await self._engine.update(backends)
            return backends
        return await readiness.wait(
            self._engine,
            self._discovery,
            expect=self.plan.expect_backends,
            limit=limit,
            target=self.plan.target,
        )

    async def _start_together(self, progress: Progress) -> list[int]:
        if self._together is None:
            return []
        absent = await self._together()
        if absent:
            names = ", ".join(str(index) for index in absent)
            progress.say(f"shard {names} did not come: starting without it")
        return absent

    async def _load(self, backends: Backends, absent: list[int], progress: Progress) -> None:
        self._ledger.start()
        for index in absent:
            self._ledger.event("shard.absent", shard=index)
        progress.start(self.plan, str(self._ledger.pacer), self._ledger.counts)
        followers = [
            asyncio.create_task(self._follow(backends)),
            asyncio.create_task(progress.run()),
        ]
        if self._observer is not None:
            followers.append(asyncio.create_task(self._observer.run(self._ledger)))
        if self._options.token is not None:
            followers.append(asyncio.create_task(self._options.token.follow(self._ledger)))
        try:
            await self._engine.run()
        finally:
            for follower in followers:
                follower.cancel()
            for follower in followers:
                with suppress(asyncio.CancelledError):
                    await follower
            progress.stop()

    async def _follow(self, backends: Backends) -> None:
        changes = self._discovery.changes(backends, self._ledger)
        if changes is not None:
            async with aclosing(changes):
                async for changed in changes:
                    await self._engine.update(changed)


async def _look(uri: Uri, discovery: Discovery) -> list[str] | None:
    """Look the name up once more, to compare with what the client used."""
    if uri.name is None:
        return None
    try:
        if discovery.kind == "watch":  # DNS may give a ClusterIP, or other ports, where this has endpoints
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                return list((await discovery.lookup()).addresses or ())
        return list(await resolve(uri.name))
    except (LoadgenError, TimeoutError):
        return None
