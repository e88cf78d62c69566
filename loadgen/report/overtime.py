"""The parts of the terminal's report that tell a run's moments apart: over time, and as replicas changed."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from loadgen import overtime, replicas
from loadgen.events import Event
from loadgen.overtime import parts
from loadgen.phases import phases
from loadgen.report.units import duration, seconds
from loadgen.result import Backend, Result

COLUMNS = 60
APART = 8  # columns between the times below them
BLOCKS = "▁▂▃▄▅▆▇█"
BACKENDS = 20  # in a table: the first called
EVENTS = 10
PHASES = 20
SHORTEST = 1_000_000_000  # ns: a shorter run says nothing over time
FEWEST = 3  # intervals, likewise

TELLING = (
    "shard.absent", "run.stopping", "discovery.fallback", "discovery.failed", "connection.lost",
    "backend.removed", "backend.added", "discovery.recovered", "connection.failed", "discovery.changed",
    "channel.swapped", "channel.rotated", "connection.made",
)  # fmt: skip
"""Events by how much they tell, the most first."""
OBSERVED = (
    "observe.failed", "replica.oom_killed", "replica.restarted", "replicas.wanted", "replica.ready",
    "replica.terminating", "observe.recovered", "replica.unready", "replica.gone",
)  # fmt: skip
"""Likewise, of those that the observer tells."""
CHANGES = frozenset({"backend.added", "backend.removed", "connection.lost"})


def during(result: Result, names: Collection[str] = CHANGES) -> list[Event]:
    """Return the events after every shard had started that tell that replicas changed."""
    return [event for event in result.events if event.name in names and event.at > result.skew()]


def _in_order(result: Result) -> list[tuple[str, Backend]]:
    return sorted(result.backends.items(), key=lambda item: (item[1].first_call or 0, item[0]))


# Over time


def _size(result: Result) -> int:
    """Return how many intervals are a column; 0 where the run says nothing over time."""
    rows = len(result.timeline.sent)
    told = result.duration >= SHORTEST and rows >= FEWEST and any(result.timeline.sent)
    return -(-rows // COLUMNS) if told else 0


def columns(result: Result) -> list[tuple[int, int]]:
    """Return begin and end of each column, in ns since the Unix epoch; none where there is no chart."""
    timeline, size = result.timeline, _size(result)
    if not size:
        return []
    edges = [timeline.start + row * timeline.interval for row in range(0, len(timeline.sent), size)]
    return [(edge, edge + size * timeline.interval) for edge in edges]


def width(result: Result) -> int:
    """Return the width of the names beside the columns."""
    names = [*(name for name, _ in _in_order(result)[:BACKENDS]), "(dropped)"]
    if result.observed is not None:
        names += [name for name, pod in result.observed.pods.items() if pod.memory]
    return max(map(len, names))


def _replicas(result: Result, size: int) -> dict[str, str]:
    """Return how many replicas were wanted, ready and idle in each column, where somebody observed them."""
    intervals = replicas.intervals(result, size)
    rows = {
        "(wanted)": [one.wanted for one in intervals],
        "(ready)": [one.ready for one in intervals],
        "(idle)": [one.idle for one in intervals],
    }
    return {
        name: "".join(" " if number is None else _digit(number) for number in row)
        for name, row in rows.items()
        if any(row)
    }


def chart(result: Result) -> Iterator[str]:
    """Give a line of blocks for each backend, and what else there is for each interval."""
    timeline = result.timeline
    rows = len(timeline.sent)
    if not (size := _size(result)):
        return
    counts = {name: _columns(timeline.backends.get(name, [0] * rows), size) for name, _ in _in_order(result)}
    shown = dict(list(counts.items())[:BACKENDS])
    if not shown:
        shown = {"sent": _columns(timeline.sent, size)}
    lines = {name: blocks(columns, _most(shown)) for name, columns in shown.items()}
    for name, row in (("failed", timeline.failed), ("dropped", timeline.dropped)):
        if any(row):
            lines[f"({name})"] = "".join("x" if count else " " for count in _columns(row, size))
    slow = overtime.percentiles(result, 99, size)
    if any(slow):
        most = max(time or 0 for time in slow)
        lines["(p99)"] = f"{blocks(slow, most):<{len(slow)}}  up to {duration(most)}"
    known = overtime.known(result)
    if known is not None and len({*known}) > 1:
        lines["(known)"] = "".join(_digit(part[-1]) for part in parts(known, size))
    lines |= _replicas(result, size)
    wide = max(map(len, lines)) if result.observed is None else width(result)
    length = size * timeline.interval
    yield f"Over time (a column is {duration(length)}, the highest {_most(shown)} calls)"
    for name, line in lines.items():
        yield f"  {name:<{wide}}  {line}".rstrip()
    if len(counts) > BACKENDS:
        yield f"  and {len(counts) - BACKENDS} backends more"
    yield f"  {'':<{wide}}  {_axis(-(-rows // size), timeline.start - result.started, length)}".rstrip()


def _columns(row: Sequence[int], size: int) -> list[int]:
    return [sum(part) for part in parts(row, size)]


def _most(columns: Mapping[str, Sequence[int]]) -> int:
    return max((max(row, default=0) for row in columns.values()), default=0)


def blocks(row: Sequence[int | None], most: int) -> str:
    """Return a block for each number, the highest for `most`; a space for 0 only, and where there is none."""
    return "".join(BLOCKS[-(-count * len(BLOCKS) // most) - 1] if count else " " for count in row)


def _digit(number: int) -> str:
    return str(number) if number < 10 else "+"


def _axis(columns: int, begin: int, length: int) -> str:
    """Return whole or round seconds since the start, each below the column that it falls into."""
    units = (unit * 10**power for power in range(8, 16) for unit in (1, 2, 5))
    step = next((unit for unit in units if unit >= APART * length), columns * length)
    axis = ""
    for at in range(max(0, -(-begin // step) * step), begin + columns * length, step):
        axis = f"{axis:<{(at - begin) // length}}{at / 1e9:.10g} s"
    return axis


# As replicas changed


def delays(result: Result) -> Iterator[str]:
    """Give the table of when the client learnt of each backend, reached it, called it and left it."""
    if not during(result) or not result.backends:
        return
    backends = _in_order(result)
    wide = max(len("Backend"), *(len(name) for name, _ in backends[:BACKENDS]))
    yield "Replicas as the client saw them (seconds since the start)"
    yield f"  {'Backend':<{wide}}  discovered  connected  first call  last call  removed  calls after"
    for name, one in backends[:BACKENDS]:
        removed = _removed(result, one)
        after = "-" if removed is None else str(_after(result, name, removed))
        yield (
            f"  {name:<{wide}}  {seconds(one.known):>10}  {seconds(one.connected):>9}  "
            f"{seconds(one.first_call):>10}  {seconds(one.last_call):>9}  {seconds(removed):>7}  {after:>11}"
        )
    if len(backends) > BACKENDS:
        yield f"  and {len(backends) - BACKENDS} more"


def stable(result: Result) -> Iterator[str]:
    """Give the table of stable phases where replicas changed: what the policy does while nothing happens."""
    found = phases(result) if during(result) else None
    if not found:
        return
    yield "Stable phases (all known backends connected; without the moments around each change)"
    yield f"  {'from':>8}  {'to':>8}  backends  {'calls':>8}  {'per backend':>15}  peak to mean"
    for one in found[:PHASES]:
        each = f"{one.least}" if one.least == one.most else f"{one.least} to {one.most}"
        yield (
            f"  {seconds(one.begin):>8}  {seconds(one.end):>8}  {one.backends:>8}"
            f"  {sum(one.calls.values()):>8}  {each:>15}  {one.peak_to_mean:>12.3f}"
        )
    if len(found) > PHASES:
        yield f"  and {len(found) - PHASES} more"


def _removed(result: Result, backend: Backend) -> int | None:
    """Return when discovery first told, after its first call, that its address is gone."""
    if backend.address is None or backend.first_call is None:
        return None
    return min(
        (
            event.at
            for event in result.events
            if event.name == "backend.removed"
            and event.attributes.get("address") == backend.address
            and event.at >= backend.first_call
        ),
        default=None,
    )


def _after(result: Result, name: str, removed: int) -> int:
    """Return the calls sent in the intervals that began after it was removed: at least so many were."""
    timeline = result.timeline
    first = -(-(result.started + removed - timeline.start) // timeline.interval)
    return sum(timeline.backends.get(name, ())[first:])


def events(result: Result) -> Iterator[str]:
    """Give the most telling events where replicas changed, in order of time."""
    if not during(result, {*CHANGES, *OBSERVED}):
        return
    first: dict[tuple[str, str], Event] = {}
    times: Counter[tuple[str, str]] = Counter()
    for event in result.events:
        key = (event.name, _about(event))
        first.setdefault(key, event)
        times[key] += 1
    rank = {name: number for number, name in enumerate((*OBSERVED, *TELLING))}
    chosen = sorted(
        (key for key in first if key[0] in rank and (first[key].at > 0 or key[0] != "connection.made")),
        key=lambda key: (rank[key[0]], first[key].at, key),
    )[:EVENTS]
    if not chosen:
        return
    left = sum(times.values()) - sum(times[key] for key in chosen) + result.events_left_out
    yield "Events (seconds since the start)"
    for key in sorted(chosen, key=lambda key: (first[key].at, rank[key[0]], key)):
        name, about = key
        again = f" ({times[key]} times, first then)" if times[key] > 1 else ""
        yield f"  {seconds(first[key].at):>8}  {name:<19} {about}{again}".rstrip()
    if left:
        yield f"  and {left} more in the result file" if not result.events_left_out else f"  and {left} more"


def _about(event: Event) -> str:
    """Return what an event is about in a line."""
    of = event.attributes
    if event.name in {"discovery.changed", "channel.swapped"}:
        backends = of.get("backends")
        return f"to {len(backends)} backends" if isinstance(backends, list) else ""
    if event.name == "replicas.wanted":
        return f"{of.get('before')} -> {of.get('after')}"
    if "pod" in of:
        return str(of["pod"])
    about = " ".join(str(of[key]) for key in ("address", "shard", "what") if key in of)
    reason = str(of.get("reason") or "").removeprefix("idle")  # the state after it: gRPC gave no reason
    reason = reason.removeprefix(f"ipv4:{about}: ").removeprefix(f"ipv6:{about}: ")
    return ": ".join(part for part in (about, reason[:60]) if part)
