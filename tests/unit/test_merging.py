"""Several results as one."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import overtime, resultjson
from loadgen.addresses import KEY
from loadgen.calls import Calls
from loadgen.engines import Connections
from loadgen.ledger import Ledger
from loadgen.merging import merge
from loadgen.pacing import Due
from loadgen.peers import Peer
from loadgen.plan import Plan
from loadgen.recorder import OK, Recorder
from loadgen.result import Part, Replica, Result
from loadgen.shard import Shard
from loadgen.snapshot import snapshot
from tests.unit.results import SECOND, STARTED, evidence, result

HOUR = 3600 * SECOND
BACKENDS = ("", "a", "b", "c")
NAMES = ["x", "backend.known", "backend.removed", "connection.made"]


@dataclass(frozen=True)
class Call:
    """One call; times in ns since its shard's start."""

    due: int
    lag: int
    service: int
    backend: str
    message: str | None
    """Of its failure; None where it succeeded."""


@dataclass(frozen=True)
class Made:
    """What one shard did."""

    started: int
    calls: Sequence[Call]
    dropped: int
    dropped_at: int
    events: Sequence[tuple[int, str]]
    warmup: Sequence[Call] = ()
    """Calls that fell due before the start."""
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The addresses that calls of each backend told."""


calls = st.builds(
    Call,
    due=st.integers(0, 10 * SECOND) | st.integers(0, 48 * HOUR),
    lag=st.integers(0, SECOND),
    service=st.integers(0, 2 * HOUR),
    backend=st.sampled_from(BACKENDS),
    message=st.none() | st.sampled_from(["lost", "late"]),
)
warm = st.builds(
    Call,
    due=st.integers(-10 * SECOND, -1),
    lag=st.integers(0, 20 * SECOND),
    service=st.integers(0, 20 * SECOND),
    backend=st.sampled_from(BACKENDS),
    message=st.none() | st.just("cold"),
)
shards = st.builds(
    Made,
    started=st.integers(STARTED, STARTED + SECOND) | st.integers(STARTED, STARTED + 30 * HOUR),
    calls=st.lists(calls, max_size=20),
    dropped=st.integers(0, 3),
    dropped_at=st.integers(0, HOUR),
    events=st.lists(st.tuples(st.integers(-SECOND, HOUR), st.sampled_from(NAMES)), max_size=5),
    warmup=st.lists(warm, max_size=5),
    told=st.dictionaries(st.sampled_from(BACKENDS[1:]), st.lists(st.sampled_from(["A", "B"]), max_size=2)),
)


class Given:
    """Hands out the calls that a test made up."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._warm = True

    def __str__(self) -> str:
        return "Given{}"

    def due(self, now: int, room: int) -> Due:
        if self._warm:
            self._warm = False
            return Due(0, [call.due for call in self._made.warmup], 1, None, last=False, warmup=True)
        return Due(0, [call.due for call in self._made.calls], self._made.dropped, None, last=True)

    def ended(self, done: Sequence[int]) -> None:
        pass

    def expected(self) -> int | None:
        return None


def run(made: Made, shard: Shard, peers: Mapping[str, Peer] | None = None) -> Result:
    """Return the result of a shard that made these calls, by way of the real ledger and recorder."""
    now = 0
    recorder = Recorder()
    ledger = Ledger(Given(made), recorder, max_in_flight=100, clock=lambda: now)
    recorder.begin(made.started)
    now = made.dropped_at
    ledger.take()
    ledger.take()
    rows = Calls()
    for call in (*made.warmup, *made.calls):
        sent = call.due + call.lag
        outcome = OK if call.message is None else ledger.outcome(14, call.message)
        rows.add(call.due, sent, sent + call.service, ledger.backend(call.backend), outcome)
    ledger.finish(rows)
    for at, name in made.events:
        ledger.event(name, at, address="A")
    for name, addresses in made.told.items():
        for address in addresses:
            ledger.addresses.learn(ledger.backend(name), [(KEY, address)])
    recorder.last_done = max([recorder.last_done, *(c.due + c.lag + c.service for c in made.calls)])
    plan = Plan(target="server:9090", warmup=10 * SECOND)
    seen = Connections(["a"], ["a"], 2, 1, peers)
    return snapshot(plan, ledger, recorder, seen, ["a"], shard)


def alone(parts: Sequence[Made]) -> Result:
    """Return what one recorder shows that saw all calls of these shards."""
    started = min(part.started for part in parts)
    moved = [replace(call, due=call.due + part.started - started) for part in parts for call in part.calls]
    warmup = [call for part in parts for call in part.warmup]
    return run(Made(started, moved, 0, 0, (), warmup), Shard())


@settings(max_examples=40)
@given(st.lists(shards, min_size=2, max_size=5))
def test_the_merged_result_is_that_of_one_recorder_that_saw_all_calls(parts: list[Made]) -> None:
    parts = [replace(part, dropped=0, told={}) for part in parts]
    merged = merge(run(part, Shard(number, len(parts))) for number, part in enumerate(parts))
    truth = alone(parts)
    for name in (
        "started", "duration", "totals", "messages_out", "messages_in", "unattributed", "backends",
        "latency", "service", "lag", "failed_latency", "outcomes", "timeline",
    ):  # fmt: skip
        assert getattr(merged, name) == getattr(truth, name), name
    for percent in (50, 99):
        assert overtime.percentiles(merged, percent) == overtime.percentiles(truth, percent)
    assert merged.warmup is not None
    assert truth.warmup is not None
    drops = len(parts) - 1  # every shard drops one in its warm-up
    due, dropped = merged.warmup.due - drops, merged.warmup.dropped - drops
    assert replace(merged.warmup, due=due, dropped=dropped) == truth.warmup


@settings(max_examples=30)
@given(st.lists(shards, min_size=3, max_size=5), st.randoms(use_true_random=False))
def test_order_and_grouping_do_not_matter(parts: list[Made], random) -> None:
    results = [run(part, Shard(number, len(parts))) for number, part in enumerate(parts)]
    before = copy.deepcopy(results)
    whole = merge(results)
    assert results == before, "a result that was given was changed"
    random.shuffle(results)
    cut = random.randint(1, len(results) - 1)
    assert merge([merge(results[:cut]), merge(results[cut:])]) == whole
    for name, backend in whole.backends.items():
        mine = [(one.backends[name], one.started - whole.started) for one in results if name in one.backends]
        assert {one.address for one, _ in mine} == {backend.address} or backend.address is None
        for time in ("first_call", "known", "connected"):
            seen = [getattr(one, time) + later for one, later in mine if getattr(one, time) is not None]
            told = time == "first_call" or backend.address is not None
            assert getattr(backend, time) == (min(seen, default=None) if told else None)
    assert sum(whole.timeline.dropped) == whole.totals.dropped == sum(part.dropped for part in parts)
    assert resultjson.from_json(resultjson.to_json(whole, {})) == whole


peers = st.dictionaries(
    st.sampled_from(["10.0.0.1:1", "10.0.0.2:1"]),
    st.builds(Peer, st.integers(0, 30), st.integers(0, 20), st.integers(0, 20), st.just(5), st.just(9)),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(shards, peers), min_size=3, max_size=4), st.randoms(use_true_random=False))
def test_calls_counted_by_address_add_up_whatever_connections_say(
    parts: list[tuple[Made, dict[str, Peer]]], random
) -> None:
    results = [
        run(
            replace(made, calls=[replace(call, backend="") for call in made.calls]),
            Shard(n, len(parts)),
            seen,
        )
        for n, (made, seen) in enumerate(parts)
    ]
    whole = merge(results)
    assert whole.totals.sent == sum(b.calls for b in (*whole.backends.values(), whole.unattributed))
    assert all(min(b.calls, b.ok, b.failed) >= 0 for b in (*whole.backends.values(), whole.unattributed))
    assert {b.latency for b in whole.backends.values()} <= {None}
    assert sum(whole.timeline.sent) == whole.totals.sent
    assert {name: sum(row) for name, row in whole.timeline.backends.items()} == {
        name: backend.calls for name, backend in whole.backends.items()
    }
    random.shuffle(results)
    assert merge([merge(results[:1]), merge(results[1:])]) == whole
    assert resultjson.from_json(resultjson.to_json(whole, {})) == whole


@given(st.integers(0, 10**9), st.integers(1, 1000))
def test_shares_add_up(whole: int, count: int) -> None:
    shares = [Shard(index, count).share(whole) for index in range(count)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1


def part(index: int, count: int = 2, **changes: object) -> Result:
    made = result({"a": 3}, **changes)
    made.shards = [Part(index, count, STARTED, 10 * SECOND)]
    return made


def test_what_one_shard_does_not_know_is_not_known() -> None:
    merged = merge([part(0), part(1, evidence=evidence(addresses=None, connections=None))])
    assert (merged.evidence.addresses, merged.evidence.connections) == (None, None)


def test_a_name_that_one_shard_could_not_look_up_again_is_known_from_the_others() -> None:
    merged = merge([part(0), part(1, evidence=evidence(addresses_now=None))])
    assert merged.evidence.addresses_now == evidence().addresses_now


def test_why_shards_ended_early_is_said_once() -> None:
    merged = merge(
        [
            part(0, 3, partial="stopped by SIGTERM"),
            part(1, 3, partial="stopped by SIGINT"),
            part(2, 3, partial="stopped by SIGTERM"),
        ]
    )
    assert merged.partial == "stopped by SIGINT and stopped by SIGTERM"


def test_replicas_are_joined_by_pod() -> None:
    one, other = part(0), part(1)
    one.replicas = [Replica("p", "10.0.0.1", None, 5, 0, oom_killed=False, calls=3)]
    other.replicas = [
        Replica("p", "10.0.0.1", "a", None, 1, oom_killed=True, calls=4),
        Replica("q", None, None, None, 0, oom_killed=False, calls=None),
    ]
    assert merge([one, other]).replicas == [
        Replica("p", "10.0.0.1", "a", 5, 1, oom_killed=True, calls=7),
        Replica("q", None, None, None, 0, oom_killed=False, calls=None),
    ]


WRONG = {
    "another target": (part(0), part(1, plan={"target": "other:1"}), 'target is "server:9090" in one'),
    "a key that one lacks": (part(0), part(1, plan={"rps": 5.0}), "rps is null in one result and 5.0 in"),
    "twice the same": (part(1), part(1), "the result of shard 1/2 is there twice"),
    "twice the same run": (part(0, 1), part(0, 1), "the result of shard 0/1 is there twice"),
    "of different sets": (part(0, 2), part(1, 3), "of a load of more shards than another"),
}


@pytest.mark.parametrize(("one", "other", "says"), WRONG.values(), ids=WRONG)
def test_what_does_not_belong_together_is_refused(one: Result, other: Result, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        merge([one, other])


def test_another_version_is_refused() -> None:
    other = part(1)
    other.versions = {**other.versions, "loadgen": "9.0.0"}
    with pytest.raises(ValueError, match=r"one result is of loadgen 0\.1\.0, another of loadgen 9"):
        merge([part(0), other])


def test_other_pythons_are_all_named() -> None:
    other = part(1)
    other.versions = {**other.versions, "python": "3.13.0"}
    assert merge([part(0), other]).versions["python"] == "3.11.0, 3.13.0"
