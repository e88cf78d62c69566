"""Whether open load is sent at the rate that was asked for, and how late."""

from benchmarks.accuracy import load
from benchmarks.accuracy.load import SECOND, ms
from benchmarks.document import OPEN, Figure, table, within
from benchmarks.replica import Replica

RATES = (20, 200, 1000)
LENGTH = 60  # seconds
WITHIN = 0.001


def measure(*, short: bool) -> str:
    """Measure for some 3 minutes, or 30 s."""
    length = 10 if short else LENGTH
    figures = []
    with Replica() as server:
        for rate in RATES:
            result = load.run(server.address, "--rps", str(rate), "-z", f"{length}s")
            planned = rate * length
            # all calls in the time planned for them, or in what it took to send them
            last = max(one.last_call or 0 for one in (*result.backends.values(), result.unattributed))
            achieved = result.totals.sent / max(length, last / SECOND)
            figures += [
                Figure(
                    f"{rate}/s: sent",
                    f"{planned} in {length} s ± {WITHIN:.1%}",
                    f"{result.totals.sent}, {result.totals.dropped} dropped;"
                    f" {achieved / rate - 1:+.3%} of the rate",
                    within(
                        rate * (1 - WITHIN),
                        achieved,
                        rate * (1 + WITHIN),
                        unit=" % of the rate",
                        scale=100 / rate,
                    ),
                ),
                Figure(
                    f"{rate}/s: lag",
                    "",
                    f"p50 {ms(load.lag(result, 50))}, p99 {ms(load.lag(result, 99))},"
                    f" most {ms(result.lag.max / SECOND)}",
                    OPEN,
                ),
            ]
    return table(figures, f"One run of {length} s each, on a server without delay.")
