"""What an observer saw of a service's replicas: as recorded beside the load, and as merged.

All times are wall-clock, ns since the Unix epoch, so that what several saw lies on one line. It merges by the
greater of two: numbers that last are steps, of which at each moment the higher stands, and of memory the
highest reading of an interval. So the order of merging does not matter, nor whether a thing was seen twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

Number = int | float
Step = tuple[int, int, Number]
"""From, until, and the number meanwhile."""
Reading = tuple[int, int]
"""A time, and bytes."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that the autoscaler works with."""

    unit: str
    """`%` of what was requested, or "" for a plain number (bytes of memory)."""
    target: Number
    current: tuple[Step, ...]
    """As the autoscaler said: a mean over the replicas."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A replica."""

    ip: str | None
    request: int | None
    """Bytes of memory; None where a container asks for none."""
    limit: int | None
    first_seen: int
    ready: tuple[Step, ...] = ()
    """While it was ready and did not terminate. If so from the start, the begin is exact to a second."""
    terminating: int | None = None
    """When the observer learnt that it was to end."""
    gone: int | None = None
    restarts: int = 0
    oom_killed: bool = False
    memory: tuple[Reading, ...] = ()
    """At the times that the metrics API gave for them, the highest of each interval."""

    @property
    def ready_at(self) -> int | None:
        """When it was ready first."""
        return self.ready[0][0] if self.ready else None

    def is_ready(self, begin: int, end: int) -> bool:
        """Return whether it was so throughout."""
        return any(since <= begin and end <= until for since, until, _ in self.ready)


@dataclass(frozen=True, slots=True)
class Observed:
    """A Service's replicas over time."""

    service: str
    """NAME.NAMESPACE."""
    workload: str | None
    """KIND/NAME of what owns the pods; None where nothing does, or it was not found."""
    autoscaler: str | None
    """The HorizontalPodAutoscaler's name; None where there is none."""
    interval: int
    """Of which a pod's highest reading is kept, in ns."""
    seen: tuple[Step, ...] = ()
    """While the API told of pods."""
    wanted: tuple[Step, ...] = ()
    """Replicas, by the autoscaler, else by the workload."""
    gauges: dict[str, Gauge] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    pods_left_out: int = 0


def merge(one: Observed | None, other: Observed | None) -> Observed | None:
    """Return what both saw; None where nobody looked."""
    if one is None or other is None:
        return one or other
    interval = max(one.interval, other.interval)
    pods = dict(one.pods)
    for name, pod in other.pods.items():
        pods[name] = _pod(pods[name], pod) if name in pods else pod
    gauges = dict(one.gauges)
    for name, gauge in other.gauges.items():
        gauges[name] = _gauge(gauges[name], gauge) if name in gauges else gauge
    return Observed(
        service=max(one.service, other.service),
        workload=_text(one.workload, other.workload),
        autoscaler=_text(one.autoscaler, other.autoscaler),
        interval=interval,
        seen=highest(one.seen, other.seen),
        wanted=highest(one.wanted, other.wanted),
        gauges=gauges,
        pods={name: replace(pod, memory=thinned(pod.memory, interval)) for name, pod in sorted(pods.items())},
        pods_left_out=max(one.pods_left_out, other.pods_left_out),
    )


def _pod(one: Pod, other: Pod) -> Pod:
    return Pod(
        ip=_text(one.ip, other.ip),
        request=_most(one.request, other.request),
        limit=_most(one.limit, other.limit),
        first_seen=min(one.first_seen, other.first_seen),
        ready=highest(one.ready, other.ready),
        terminating=_least(one.terminating, other.terminating),
        gone=_least(one.gone, other.gone),
        restarts=max(one.restarts, other.restarts),
        oom_killed=one.oom_killed or other.oom_killed,
        memory=tuple(sorted({*one.memory, *other.memory})),
    )


def _gauge(one: Gauge, other: Gauge) -> Gauge:
    greater = max(one, other, key=lambda gauge: (gauge.unit, gauge.target))
    if (one.unit, one.target) == (other.unit, other.target):
        return replace(one, current=highest(one.current, other.current))
    return greater


def _text(one: str | None, other: str | None) -> str | None:
    return max((text for text in (one, other) if text is not None), default=None)


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _most(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def highest(one: Iterable[Step], other: Iterable[Step]) -> tuple[Step, ...]:
    """Return the higher of two numbers at each moment, in the fewest steps."""
    steps = [*one, *other]
    cuts = sorted({time for begin, end, _ in steps for time in (begin, end)})
    made: list[Step] = []
    for begin, end in pairwise(cuts):
        values = [value for since, until, value in steps if since <= begin and end <= until]
        if not values:
            continue
        value = max(values)
        if made and made[-1][1] == begin and made[-1][2] == value:
            made[-1] = (made[-1][0], end, value)
        else:
            made.append((begin, end, value))
    return tuple(made)


def thinned(readings: Iterable[Reading], interval: int) -> tuple[Reading, ...]:
    """Return the highest reading of each interval, on a grid of wall-clock time, in order of time."""
    cells: dict[int, Reading] = {}
    for at, value in readings:
        cell = at // interval
        known = cells.get(cell)
        if known is None or (value, at) > (known[1], known[0]):
            cells[cell] = (at, value)
    return tuple(sorted(cells.values()))


def at(steps: Sequence[Step], time: int) -> Number | None:
    """Return the number at a time; None where it is not known."""
    return next((value for since, until, value in steps if since <= time < until), None)
