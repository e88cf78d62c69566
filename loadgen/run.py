"""One run: wires the parts together, nothing else."""

import asyncio
import signal
from contextlib import suppress

from loadgen import attribution, barrier, calling, readiness
from loadgen.descriptors import Method
from loadgen.discovery import Backends, Discovery, Dns, Poll, Static, resolve
from loadgen.engines import Engine
from loadgen.engines.channels import Options
from loadgen.engines.grpc import GrpcEngine
from loadgen.errors import LoadgenError, PlanError, ResolutionError
from loadgen.ledger import Ledger
from loadgen.pacing import Closed, Constant, Pacer
from loadgen.plan import DEFAULT_POLL_INTERVAL, Plan
from loadgen.progress import Progress
from loadgen.recorder import Recorder
from loadgen.result import Result
from loadgen.shard import WHOLE, Shard
from loadgen.snapshot import snapshot
from loadgen.target import Uri

MAX_IN_FLIGHT = 10_000  # of open load, where it is not said


def pacer_of(plan: Plan, shard: Shard = WHOLE) -> Pacer:
    """Return the pacer for a shard's part of the plan's load; raises PlanError where that is no call."""
    total, duration = plan.limits
    if plan.rps is not None:
        pacer = Constant(plan.rps, total=total, duration=duration, shard=shard)
        if pacer.expected() == 0:
            raise PlanError(f"the load has fewer calls than shards ({shard.count}): each needs one")
        return pacer
    concurrency = plan.concurrency or 1
    for flag, whole in (("--total", total), ("--concurrency", concurrency)):
        if whole is not None and whole < shard.count:
            raise PlanError(f"{flag} {whole} is less than there are shards ({shard.count}): each needs one")
    if total is not None:
        concurrency = min(concurrency, total)
    return Closed(concurrency, total=total, duration=duration, pause=plan.interval or 0, shard=shard)


def discovery_of(plan: Plan, uri: Uri) -> Discovery:
    """Return the plan's way to learn of backends; raises PlanError where the target has no name."""
    if plan.discovery == "dns":
        return Dns(uri)
    if uri.name is None:
        raise PlanError(f"--discovery {plan.discovery} needs a target with a host name, not {uri.text}")
    if plan.discovery == "static":
        return Static(uri.name)
    return Poll(uri.name, plan.poll_interval or DEFAULT_POLL_INTERVAL)


class Run:
    """A run of a shard's part of a plan. Making it checks the plan: errors come before any load."""

    def __init__(self, plan: Plan, shard: Shard = WHOLE, together: tuple[str, int] | None = None) -> None:
        """`together`: host and port at which shard 0 waits for the others; None: each starts by itself."""
        self.plan = plan
        self.shard = shard
        self._together = together
        self._uri = Uri.parse(plan.target)
        self._discovery = discovery_of(plan, self._uri)
        self._recorder = Recorder()
        pacer = pacer_of(plan, shard)
        in_flight = plan.max_in_flight or MAX_IN_FLIGHT
        if plan.rps is None:
            in_flight = plan.concurrency or 1
        in_flight = max(1, shard.share(in_flight))
        self._ledger = Ledger(pacer, self._recorder, max_in_flight=in_flight)
        self._options = Options(
            plan.lb_policy,
            plan.connections,
            plan.health_check,
            plan.timeout / 1e9 if plan.timeout else None,
        )
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
                        await calling.reflected(self.plan, self._uri, self._options)
                    )
                backends = await self._ready()
                absent = await self._start_together(progress)
            except asyncio.CancelledError:
                raise LoadgenError("stopped before the first call") from None
            started = True
            await self._load(backends, absent, progress)
            now = await _look(self._uri)
            return snapshot(
                self.plan, self._ledger, self._recorder, self._engine.connections(), now, self.shard
            )
        finally:
            if self._made is not None:
                await self._made.close()
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
        absent = await barrier.wait(self.shard, *self._together)
        if absent:
            names = ", ".join(str(index) for index in absent)
            progress.say(f"shard {names} did not come in {barrier.LIMIT:g} s: starting without it")
        return absent

    async def _load(self, backends: Backends, absent: list[int], progress: Progress) -> None:
        self._ledger.start()
        for index in absent:
            self._ledger.event("shard.absent", shard=index)
        progress.start(self._ledger, self.plan)
        followers = [
            asyncio.create_task(self._follow(backends)),
            asyncio.create_task(progress.run()),
        ]
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
            async for changed in changes:
                await self._engine.update(changed)


async def _look(uri: Uri) -> list[str] | None:
    """Look the name up once more, to compare with what the client used."""
    if uri.name is None:
        return None
    try:
        return list(await resolve(uri.name))
    except ResolutionError:
        return None
