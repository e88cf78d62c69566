"""What an observer has seen until now, put together from what it is told."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from loadgen.course import Course, Memory
from loadgen.manifests import PodState, Scaler
from loadgen.observed import Gauge, Observed, Pod

PODS = 200
SPELLS = 32  # times that one pod becomes ready

Owner = tuple[str, str]


@dataclass(slots=True)
class _Known:
    state: PodState
    first_seen: int
    ready: Course = field(default_factory=lambda: Course(SPELLS))
    terminating: int | None = None
    gone: int | None = None


def _quiet(*_: object, **__: Any) -> None:
    """Stand in for what takes events."""


class Sightings:
    """Of one Service. Times are wall-clock, in ns. What changes after the first look is told as an event."""

    def __init__(self, service: str) -> None:
        self.tell: Callable[..., None] = _quiet
        """Takes an event: its name and its attributes."""
        self.owner: Owner | None = None
        """What the pods say that owns them."""
        self._service = service
        self._workload: Owner | None = None
        self._seen = Course()
        self._wanted = Course()
        self._last_wanted: int | None = None
        self._replicas: int | None = None
        self._scalers: dict[str, Scaler] = {}
        self._last_scaler: str | None = None
        self._gauges: dict[str, tuple[str, int | float, Course]] = {}
        self._pods: dict[str, _Known] = {}
        self._left_out: set[str] = set()
        self._memory = Memory()
        self._looked = False
        self._unheard: set[str] = set()

    # Pods

    def sees(self, now: int, *, there: bool) -> None:
        """Learn whether the API tells of pods."""
        self._seen.set(now, 1 if there else None)
        self._looked |= there

    def pod(self, state: PodState, now: int) -> None:
        """Learn of a pod as it is now."""
        known = self._pods.get(state.name)
        if known is None:
            if len(self._pods) >= PODS:
                self._left_out.add(state.name)
                return
            known = self._pods[state.name] = _Known(state, now)
        before, known.state = known.state, state
        self.owner = self.owner or state.owner
        if state.restarts > before.restarts:
            killed = state.oom_killed
            self._note("replica.oom_killed" if killed else "replica.restarted", known, count=state.restarts)
        if state.ready and known.ready.value is None:
            # one that was ready before anybody looked has only the second that the API names
            long = not self._looked and state.ready_since is not None
            known.ready.set(min(now, state.ready_since or now) if long else now, 1)
            self._note("replica.ready", known)
        elif not state.ready and known.ready.value is not None:
            known.ready.set(now, None)
            if not state.terminating:
                self._note("replica.unready", known)
        if state.terminating and known.terminating is None:
            known.terminating = now
            self._note("replica.terminating", known)

    def gone(self, name: str, now: int) -> None:
        """Learn that a pod is no more."""
        known = self._pods.get(name)
        if known is not None and known.gone is None:
            known.ready.set(now, None)
            known.gone = now
            self._note("replica.gone", known)

    def only(self, names: Collection[str], now: int) -> None:
        """Learn that there are no other pods now."""
        for name in self._pods.keys() - {*names}:
            self.gone(name, now)

    def memory(self, name: str, at: int, value: int) -> None:
        """Learn what memory (bytes) a pod had at a time."""
        if name in self._pods:
            self._memory.add(name, at, value)

    def _note(self, event: str, known: _Known, **attributes: int) -> None:
        if self._looked:
            self.tell(event, pod=known.state.name, address=known.state.ip, **attributes)

    # How many are wanted

    def hears(self, what: str, now: int, *, there: bool) -> None:
        """Learn whether the API tells of this, `autoscaler` or `workload`: else what it said may be old."""
        if there:
            self._unheard.discard(what)
        else:
            self._unheard.add(what)
        self._weigh(now)

    def own(self, workload: Owner) -> None:
        """Learn what owns the pods."""
        self._workload = workload

    def scale(self, replicas: int | None, now: int) -> None:
        """Learn how many replicas the workload is to have; None where that is not known."""
        self._replicas = replicas
        self._weigh(now)

    def scaler(self, scaler: Scaler, now: int) -> None:
        """Learn of an autoscaler as it is now."""
        self._scalers[scaler.name] = scaler
        self._weigh(now)

    def no_scaler(self, name: str, now: int) -> None:
        """Learn that there is no such autoscaler."""
        self._scalers.pop(name, None)
        self._weigh(now)

    def only_scalers(self, names: Collection[str], now: int) -> None:
        """Learn that there are no other autoscalers now."""
        for name in self._scalers.keys() - {*names}:
            self.no_scaler(name, now)

    def _mine(self) -> Scaler | None:
        """Return the autoscaler of the workload."""
        return next((one for _, one in sorted(self._scalers.items()) if one.target == self._workload), None)

    def _weigh(self, now: int) -> None:
        """See how many replicas are wanted."""
        told = "autoscaler" not in self._unheard
        mine = self._mine() if told else None
        wanted = None if mine is None else mine.wanted
        if wanted is None and told and "workload" not in self._unheard:
            wanted = self._replicas
        self._wanted.set(now, wanted)
        if wanted is not None:
            if self._last_wanted not in {None, wanted}:
                self.tell("replicas.wanted", before=self._last_wanted, after=wanted)
            self._last_wanted = wanted
        for name, (_, _, course) in self._gauges.items():
            if mine is None or name not in mine.metrics:
                course.set(now, None)
        if mine is None:
            return
        self._last_scaler = mine.name
        for name, (unit, target, current) in mine.metrics.items():
            if self._gauges.get(name, ("", None))[:2] != (unit, target):
                self._gauges[name] = (unit, target, Course())
            self._gauges[name][2].set(now, current)

    # All of it

    def observed(self, now: int) -> Observed:
        """Return what was seen until now."""
        return Observed(
            service=self._service,
            workload=None if self._workload is None else "/".join(self._workload),
            autoscaler=self._last_scaler,
            interval=self._memory.interval,
            seen=self._seen.steps(now),
            wanted=self._wanted.steps(now),
            gauges={
                name: Gauge(unit, target, course.steps(now))
                for name, (unit, target, course) in sorted(self._gauges.items())
            },
            pods={
                name: Pod(
                    ip=known.state.ip,
                    request=known.state.request,
                    limit=known.state.limit,
                    first_seen=known.first_seen,
                    ready=known.ready.steps(now),
                    terminating=known.terminating,
                    gone=known.gone,
                    restarts=known.state.restarts,
                    oom_killed=known.state.oom_killed,
                    memory=self._memory.of(name),
                )
                for name, known in sorted(self._pods.items())
            },
            pods_left_out=len(self._left_out),
        )
