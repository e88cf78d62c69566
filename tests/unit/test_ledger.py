"""The one place that counts calls."""

import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrivals import WarmedUp
from loadgen.calls import Calls
from loadgen.ledger import BACKENDS, EVENTS, MESSAGES, Counts, Ledger
from loadgen.pacing import Closed, Constant, Due, Pacer
from loadgen.recorder import OK, UNATTRIBUTED, Recorder
from loadgen.result import Totals


@dataclass
class Clock:
    """A clock that a test moves."""

    now: int = 10**15

    def __call__(self) -> int:
        return self.now


@dataclass
class Run:
    """A ledger, and an engine's part played by hand."""

    pacer: Pacer
    max_in_flight: int
    warmup: int = 0
    clock: Clock = field(default_factory=Clock)
    flying: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder()
        self.ledger = Ledger(
            self.pacer,
            self.recorder,
            max_in_flight=self.max_in_flight,
            warmup=self.warmup,
            clock=self.clock,
        )
        self.ledger.start()

    def take(self) -> Due:
        due = self.ledger.take()
        self.flying += due.at
        return due

    def finish(self, ended: int, failed: int) -> None:
        calls, now = Calls(), self.ledger.now()
        for number, due in enumerate(self.flying[:ended]):
            outcome = self.ledger.outcome(14, "lost") if number < failed else OK
            calls.add(due, due, now, self.ledger.backend(f"b{number % 3}"), outcome)
        del self.flying[:ended]
        self.ledger.finish(calls)

    def check(self) -> None:
        ledger = self.ledger
        assert ledger.due == ledger.sent + ledger.dropped
        warmup, warm = ledger.warmup, sum(due < 0 for due in self.flying)
        assert ledger.sent == ledger.ok + ledger.failed + ledger.in_flight - warm
        assert warmup.due == warmup.sent + warmup.dropped
        assert warmup.in_flight == warm
        assert ledger.in_flight == len(self.flying) <= self.max_in_flight
        self.recorder.flush()
        assert (self.recorder.calls(), self.recorder.ok()) == (ledger.ok + ledger.failed, ledger.ok)
        drops = sum(self.recorder.timeline.series(0, self.recorder.timeline.rows()))
        assert drops == ledger.dropped


pacers = st.one_of(
    st.builds(
        Constant,
        st.sampled_from([1e3, 1e4, 333.3]),
        total=st.none() | st.integers(1, 300),
        duration=st.none() | st.integers(1, 10**9),
    ),
    st.builds(
        Closed,
        st.integers(1, 20),
        total=st.none() | st.integers(1, 300),
        duration=st.none() | st.integers(1, 10**9),
        pause=st.integers(0, 10**7),
    ),
)
LENGTH = 10**8
warmed_up = st.one_of(
    st.builds(
        lambda load: WarmedUp(Constant(500, total=None, duration=LENGTH), load, LENGTH),
        st.builds(Constant, st.sampled_from([1e3, 333.3]), total=st.integers(1, 300), duration=st.none()),
    ),
    st.builds(
        Closed,
        st.integers(1, 20),
        total=st.none() | st.integers(1, 300),
        duration=st.none() | st.integers(1, 10**9),
        pause=st.integers(0, 10**7),
        warmup=st.just(LENGTH),
    ),
)
steps = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 10**8)),
    st.tuples(st.just("finish"), st.tuples(st.integers(0, 20), st.integers(0, 20))),
    st.tuples(st.just("stop"), st.just(0)),
)


loads = st.one_of(st.tuples(pacers, st.just(0)), st.tuples(warmed_up, st.just(LENGTH)))


@given(loads, st.integers(1, 20), st.lists(steps, max_size=30))
def test_every_call_is_counted_once(load: tuple[Pacer, int], max_in_flight: int, todo: list) -> None:
    run = Run(load[0], max_in_flight, load[1])
    stopped = False
    for what, how in todo:
        if what == "take":
            run.clock.now += how
            before = run.ledger.due + run.ledger.warmup.due
            due = run.take()
            assert due.first == before
            assert not stopped or (due.at, due.dropped, due.last) == ((), 0, True)
        elif what == "finish":
            run.finish(*how)
        else:
            run.ledger.stop("test")
            stopped = True
        run.check()
    run.ledger.stop("test")
    run.take()
    while run.flying:
        assert not run.ledger.over
        run.finish(5, 2)
        run.check()
    assert run.ledger.over


def test_what_falls_due_without_room_is_dropped() -> None:
    run = Run(Constant(1000, total=None, duration=None), max_in_flight=2)
    run.clock.now += 9_500_000  # 10 are due
    due = run.take()
    assert (due.first, list(due.at), due.dropped) == (0, [0, 1_000_000], 8)
    run.finish(1, 0)
    run.clock.now += 2_000_000
    due = run.take()
    assert (due.first, list(due.at), due.dropped) == (10, [10_000_000], 1)


def test_a_call_is_of_the_phase_in_which_it_fell_due() -> None:
    second = 10**9
    pacer = WarmedUp(Constant(10, total=None, duration=second), Constant(10, total=4, duration=None), second)
    run = Run(pacer, 6, second)
    assert run.ledger.now() == -second
    assert run.ledger.counts() == Counts(0, None, warming_up=True)
    run.clock.now += second + second // 4  # late: all of the warm-up is due at once, and a part of the load
    due = run.take()
    assert (len(due.at), due.dropped, due.warmup) == (6, 4, True)
    run.finish(3, 1)  # they end after the warm-up, and are of it all the same
    due = run.take()
    assert (list(due.at), due.dropped, due.warmup) == ([0, second // 10, second // 5], 0, False)
    run.finish(6, 1)
    run.check()
    ledger = run.ledger
    assert ledger.warmup == Totals(due=10, sent=6, ok=4, failed=2, dropped=4)
    assert (ledger.due, ledger.sent, ledger.ok, ledger.failed, ledger.dropped) == (3, 3, 3, 0, 0)
    assert (run.recorder.latency.count, run.recorder.failed_latency.count) == (3, 0)
    assert run.recorder.latency.max == second // 4
    assert not ledger.over
    counts = ledger.counts()
    assert (counts.at, counts.expected, counts.due, counts.warming_up) == (second * 5 // 4, 4, 3, False)


def test_a_warm_up_that_is_stopped_leaves_an_empty_run() -> None:
    run = Run(Closed(3, total=9, duration=None, warmup=100), 3, 100)
    run.take()
    run.ledger.stop("SIGINT")
    assert run.take().last
    run.finish(3, 0)
    run.check()
    assert run.ledger.over
    assert (run.ledger.warmup.ok, run.ledger.due) == (3, 0)


def test_the_run_is_over_when_the_last_call_ends() -> None:
    run = Run(Closed(2, total=2, duration=None), max_in_flight=2)
    assert not run.ledger.over
    assert run.take().last
    run.finish(1, 0)
    assert not run.ledger.over
    run.finish(1, 1)
    assert run.ledger.over


def test_stop_tells_the_engine_once_and_keeps_the_first_reason() -> None:
    run = Run(Closed(1, total=None, duration=None), max_in_flight=1)
    told: list[str | None] = []
    run.ledger.changed = lambda: told.append(run.ledger.stopped)
    run.ledger.stop("SIGINT")
    run.ledger.stop("SIGTERM")
    assert told == ["SIGINT"]
    assert [(event.name, event.attributes) for event in run.ledger.events] == [
        ("run.stopping", {"reason": "SIGINT"})
    ]


def test_time_counts_from_the_start_and_earlier_events_are_negative() -> None:
    run = Run(Closed(1, total=1, duration=None), max_in_flight=1)
    assert run.ledger.now() == 0
    run.clock.now += 700
    run.ledger.event("backend.known", address="x")
    run.clock.now += 300
    run.ledger.start()
    assert run.ledger.now() == 0
    run.clock.now += 5
    assert run.ledger.now() == 5
    run.ledger.event("later", at=3)
    assert [(event.name, event.at) for event in run.ledger.events] == [("backend.known", -300), ("later", 3)]


def test_the_run_begins_after_the_warm_up() -> None:
    run = Run(Closed(1, total=1, duration=None, warmup=40), max_in_flight=1, warmup=40)
    run.clock.now += 60
    run.ledger.event("backend.known", address="x")
    run.clock.now += 10
    before = time.time_ns()
    run.ledger.start()
    assert run.ledger.now() == -40
    assert run.recorder.started >= before + 40
    assert [event.at for event in run.ledger.events] == [-50]


def test_names_are_interned() -> None:
    ledger = Run(Closed(1, total=1, duration=None), 1).ledger
    assert ledger.backend("") == UNATTRIBUTED
    assert ledger.outcome(0, "") == OK
    a, b = ledger.backend("a"), ledger.backend("b")
    assert (ledger.backend("a"), ledger.backend("b")) == (a, b)
    assert len({a, b, UNATTRIBUTED}) == 3
    assert ledger.outcome(14, "x") == ledger.outcome(14, "x") != ledger.outcome(14, "y")


def test_too_many_backends_are_not_attributed_and_said_once() -> None:
    ledger = Run(Closed(1, total=1, duration=None), 1).ledger
    numbers = [ledger.backend(f"b{number}") for number in range(BACKENDS + 10)]
    assert numbers[: BACKENDS - 1] == list(range(1, BACKENDS))
    assert set(numbers[BACKENDS - 1 :]) == {UNATTRIBUTED}
    assert ledger.backend("b0") == 1
    assert [event.name for event in ledger.events] == ["backend.overflow"]


def test_too_many_messages_are_pooled_by_status_code() -> None:
    ledger = Run(Closed(1, total=1, duration=None), 1).ledger
    for number in range(MESSAGES - 1):
        ledger.outcome(14, f"at {number}")
    pooled = {ledger.outcome(14, f"more {number}") for number in range(50)}
    other = {ledger.outcome(4, f"more {number}") for number in range(50)}
    assert len(pooled) == len(other) == 1
    assert pooled != other
    assert len(ledger.outcomes) == MESSAGES + 2
    assert list(ledger.outcomes)[-2:] == [(14, "(other messages)"), (4, "(other messages)")]


def test_too_many_events_are_only_counted() -> None:
    ledger = Run(Closed(1, total=1, duration=None), 1).ledger
    for number in range(EVENTS + 7):
        ledger.event("connection.made", at=number)
    assert (len(ledger.events), ledger.events_left_out) == (EVENTS, 7)
    assert ledger.events[-1].at == EVENTS - 1
