"""The mean wait of Poisson arrivals at a server that works on one call at a time, beside M/D/1."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from benchmarks.accuracy import forms, load
from benchmarks.accuracy.load import SECOND, ms
from benchmarks.document import OPEN, Figure, table, within
from benchmarks.replica import Replica
from loadgen.load import pacer_of
from loadgen.plan import Plan
from loadgen.result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

DELAY = 50  # ms: long, so that what a timer and a network add to it is small
RATE = 14.0  # calls/s: a utilisation of some 0.7
RUNS, LENGTH = 6, 30  # seconds
ALONE = 60  # calls that find the server idle, one after the other
WITHIN = 0.05


@dataclass(frozen=True, slots=True)
class Work:
    """What the server counted while a load was made; times are seconds a call."""

    service: float
    """In the slot, the hand-over from the call before included."""
    handling: float
    """In the slot and waiting for it."""
    result: Result

    @classmethod
    def of(cls, server: Replica, *options: str) -> Self:
        """Make a load and read the server's counters before and after it."""
        names = (
            "server_work_seconds_total",
            "grpc_server_handling_seconds_sum",
            "grpc_server_handled_total",
        )
        before = [server.metric(name) for name in names]
        result = load.run(server.address, *options)
        work, handling, calls = (server.metric(name) - was for name, was in zip(names, before, strict=True))
        return cls(work / calls, handling / calls, result)


def arrivals(seed: int, length: int) -> "NDArray[np.float64]":
    """Return when the calls of such a load fall due, in seconds."""
    plan = Plan(
        target="127.0.0.1:1",
        rps=RATE,
        arrival="poisson",
        seed=seed,
        duration=length * SECOND,
    )
    due = pacer_of(plan).due(length * SECOND, 1_000_000)
    assert due.last
    return np.array(due.at) / SECOND


def measure(*, short: bool) -> str:
    """Measure for some 4 minutes, or 70 s."""
    runs, length = (2, 25) if short else (RUNS, LENGTH)
    seen, drawn, corrected, served, services, besides = [], [], [], [], [], []
    calls = 0
    with Replica("--slots", "1", "--delay", f"{DELAY}ms") as server:
        for seed in range(1, runs + 1):
            alone = Work.of(server, "-c", "1", "-n", str(ALONE))
            busy = Work.of(
                server,
                *("--rps", f"{RATE}", "-z", f"{length}s"),
                *("--arrival", "poisson", "--seed", str(seed)),
            )
            # what a call takes beside its service: network, gRPC, and the lag of its start
            beside = alone.result.latency.mean() / SECOND - alone.service
            form = forms.md1_wait(RATE, busy.service)
            times = arrivals(seed, length)
            assert len(times) == busy.result.totals.sent
            path = float(forms.waits(times, busy.service).mean())
            wait = busy.result.latency.mean() / SECOND - busy.service - beside
            seen.append(wait / form)
            drawn.append(path / form)
            corrected.append((wait - path) / form + 1)
            served.append((busy.handling - busy.service) / form)
            loaded_s = busy.result.latency.mean() / SECOND - busy.handling
            besides.append((beside, loaded_s, busy.result.lag.mean() / SECOND))
            services.append(busy.service)
            calls += busy.result.totals.sent
    service = float(np.mean(services))
    idle, loaded, lag = (ms(float(mean)) for mean in np.mean(besides, axis=0))
    mean, half = forms.interval(corrected)
    paired = forms.interval([mine / theirs for mine, theirs in zip(seen, served, strict=True)])
    figures = [
        Figure(
            "mean wait, corrected for the draw",
            f"100 % ± {WITHIN:.0%} of rho D / (2 (1 - rho)) = {ms(forms.md1_wait(RATE, service))}",
            _share((mean, half)),
            within(1 - WITHIN, mean, 1 + WITHIN, unit=" %", scale=100),
        ),
        Figure(
            "mean wait over that by the server's own clock, run by run",
            f"100 % ± {WITHIN:.0%}",
            _share(paired),
            within(1 - WITHIN, paired[0], 1 + WITHIN, unit=" %", scale=100),
        ),
        Figure("mean wait as it was", "for comparison", _share(forms.interval(seen)), OPEN),
        Figure(
            "mean wait of the same arrivals by arithmetic",
            "for comparison",
            _share(forms.interval(drawn)),
            OPEN,
        ),
        Figure(
            "mean wait by the server's own clock",
            "for comparison",
            _share(forms.interval(served)),
            OPEN,
        ),
    ]
    return table(
        figures,
        f"{runs} runs of {length} s with a seed each, {calls} calls at {RATE:g}/s; ± is the 95 % confidence"
        f" interval of the mean of runs. The server counted D = {ms(service)} in the slot"
        f" ({ms(min(services))} to {ms(max(services))} by run), which makes rho {RATE * service:.3f}."
        f" Beside its service and its wait a call took {idle} on an idle server, and"
        f" {loaded} under this load, of it {lag} of lag.",
    )


def _share(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} ± {interval[1]:.1%}"
