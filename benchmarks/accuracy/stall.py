"""Percentiles of an open load on a server that stalls, beside their closed form."""

import statistics

from benchmarks.accuracy import forms, load
from benchmarks.accuracy.load import ms
from benchmarks.document import HOLDS, OPEN, Figure, table, within
from benchmarks.replica import Replica

RATE = 200.0
STALL, PERIOD = 1.0, 10.0
PERIODS = 6
READINGS = 3  # of the capacity, before and after
BELOW = 0.01  # percentiles may be so much below the form


def measure(*, short: bool) -> str:
    """Measure for some 85 s, or 40 s."""
    periods = 2 if short else PERIODS
    rate = forms.uniform_rate(RATE, PERIOD, periods)
    queued = round(RATE * STALL)
    planned = round(rate * periods * PERIOD)
    open_load = ("--rps", f"{rate:.6f}", "-n", str(planned))
    faults = ("--stall-for", f"{STALL:g}s", "--stall-every", f"{PERIOD:g}s")
    with Replica() as plain:
        before = [load.capacity(plain.address, queued, 10 * queued) for _ in range(READINGS)]
        base = load.run(plain.address, "--rps", f"{RATE:g}", "-z", f"{PERIOD:g}s")
        with Replica(*faults) as stalling:
            seen = load.run(stalling.address, *open_load)
        after = [load.capacity(plain.address, queued, 10 * queued) for _ in range(READINGS)]
    capacity = statistics.median(before + after)
    drain = forms.drain(queued, capacity, RATE)
    lost = seen.totals.dropped + seen.totals.failed
    figures = [
        Figure(
            "calls made, of them lost",
            f"{planned}, 0",
            f"{seen.totals.sent}, {lost}",
            HOLDS if seen.totals.sent == planned and not lost else "not the load that was asked for",
        )
    ]
    for percent in (95.0, 99.0, 99.9):
        form = forms.stall_quantile(percent / 100, STALL, PERIOD)
        value = load.latency(seen, percent)
        low, high = form * (1 - BELOW), form + drain
        figures.append(
            Figure(
                f"p{percent:g}",
                f"{ms(low)} to {ms(high)} (form {ms(form)})",
                f"{ms(value)}, the form {1e3 * (value - form):+.1f} ms",
                within(low, value, high, unit=" ms", scale=1e3),
            )
        )
    # a tenth of the calls are in stalls, so the median is of the others
    free = 50 / (1 - STALL / PERIOD)
    figures += [
        Figure(
            "p50",
            f"under {ms(STALL / 100)}",
            ms(load.latency(seen, 50)),
            within(0, load.latency(seen, 50), STALL / 100, unit=" ms", scale=1e3),
        ),
        Figure(
            f"p{free:.1f} of the same load without stalls",
            "for comparison with p50",
            ms(load.latency(base, free)),
            OPEN,
        ),
    ]
    return table(
        figures,
        f"Drain: {queued} calls queued; closed load with as many callers made {capacity:.0f} calls/s (median"
        f" of {READINGS} runs before, {min(before):.0f} to {max(before):.0f}, and {READINGS} after,"
        f" {min(after):.0f} to {max(after):.0f}): {ms(drain)}."
        f" The slowest call took {ms(seen.latency.max / load.SECOND)},"
        f" the latest start was {ms(seen.lag.max / load.SECOND)} late.",
    )
