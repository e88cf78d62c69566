"""What is derived of observed replicas, from results made by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from loadgen import replicas, thresholds
from loadgen.cells import Cells
from loadgen.observed import Gauge, Observed, Pod
from loadgen.replicas import changes, idle, intervals, of, present
from loadgen.report import compare, text
from loadgen.result import Replica, Result, Timeline
from loadgen.verdict import judge
from tests.unit.results import SECOND, STARTED, result

MI = 2**20


def pod(number: int, *ready: float, until: float = 10, memory: Sequence[tuple[float, int]] = ()) -> Pod:
    """Return a pod that was ready from a time (s) until another, of 100 MiB."""
    at = [STARTED + round(time * SECOND) for time in ready]
    return Pod(
        ip=f"10.0.0.{number}",
        request=100 * MI,
        limit=None,
        first_seen=min([*at, STARTED]),
        ready=tuple((since, STARTED + round(until * SECOND), 1) for since in at),
        memory=tuple((STARTED + round(time * SECOND), mi * MI) for time, mi in memory),
    )


def observed(pods: Mapping[str, Pod], **changes: object) -> Observed:
    whole = ((STARTED - SECOND, STARTED + 10 * SECOND, 1),)
    made = Observed("server.default", "Deployment/server", None, 5 * SECOND, whole, pods=dict(pods))
    return replace(made, **changes)  # type: ignore[arg-type]


def made(
    rows: Mapping[str, Sequence[int]],
    pods: Mapping[str, Pod],
    places: Mapping[str, str] | None = None,
    **observations: object,
) -> Result:
    """Return a result with these calls by second of each backend; backend bN is in the pod at 10.0.0.N."""
    one = result({name: sum(row) for name, row in rows.items()})
    length = max(map(len, rows.values()))
    assert length == 10
    sent = [sum(column) for column in zip(*rows.values(), strict=True)]
    nothing = [0] * length
    one.timeline = Timeline(
        SECOND, STARTED, sent, nothing, nothing, {k: list(v) for k, v in rows.items()},
        latency=Cells.of([{99: count} if count else {} for count in sent]),
    )  # fmt: skip
    for name, backend in one.backends.items():
        address = f"10.0.0.{name[1:]}:9090" if places is None else places.get(name)
        first = next(n for n, count in enumerate(rows[name]) if count)
        one.backends[name] = replace(backend, address=address, first_call=first * SECOND + SECOND // 2)
    one.observed = observed(pods, **observations)
    return one


TEN = [10] * 10


def test_calls_of_a_pod_are_those_of_the_backends_at_its_address() -> None:
    pods = {"a": pod(1, -1), "b": pod(2, -1)}
    one = made({"b1": TEN, "b2": TEN}, pods)
    assert {found.pod: found.calls for found in of(one)} == {"a": 100, "b": 100}
    started_anew = made({"b1": [5] * 10, "c1": [4] * 10, "b2": TEN}, pods, None)
    assert {found.pod: found.calls for found in of(started_anew)} == {"a": 90, "b": 100}


def test_an_address_that_two_pods_had_is_that_of_the_one_before_the_first_call() -> None:
    late = replace(pod(1, 6), first_seen=STARTED + 6 * SECOND)
    one = made({"b1": [9] * 5 + [0] * 5, "c1": [0] * 7 + [9] * 3}, {"a": pod(1, -1, until=5), "b": late})
    assert {found.pod: found.calls for found in of(one)} == {"a": 45, "b": 27}


def test_calls_are_not_known_where_backends_do_not_say_where_they_are() -> None:
    pods = {"a": pod(1, -1), "b": pod(2, -1)}
    unknown = made({"b1": TEN}, pods, places={})
    assert [found.calls for found in of(unknown)] == [None, None]
    assert [one.idle for one in intervals(unknown, 1)] == [None] * 10
    assert idle(unknown) == []
    service = made({"b1": TEN}, pods, places={"b1": "10.96.0.7:9090"})
    assert [found.calls for found in of(service)] == [None, None]
    half = made({"b1": TEN, "b2": TEN}, pods, places={"b1": "10.0.0.1:9090"})
    assert {found.pod: found.calls for found in of(half)} == {"a": 100, "b": None}


def test_what_collect_adds() -> None:
    one = made({"b1": TEN}, {"a": pod(1, -1), "b": pod(2, -1)}, places={})
    found = Replica("a", "10.0.0.1", "b1", STARTED, 2, oom_killed=True, calls=100)
    one.replicas = [found, replace(found, pod="z", calls=7)]
    assert {each.pod: (each.calls, each.restarts) for each in of(one)} == {
        "a": (100, 2), "b": (None, 0), "z": (7, 2),
    }  # fmt: skip


def test_replicas_that_idle_behind_a_mean_are_named_without_collect() -> None:
    pods = {"a": pod(1, -1), "b": pod(2, 3), "c": pod(3, 9.5)}
    one = made({"b1": TEN}, pods)
    assert [found.pod for found in present(one)] == ["a", "b"]  # the last came too late to say
    assert [found.pod for found in idle(one)] == ["b"]
    cautions = {finding.rule: finding.text for finding in judge(one)}
    assert cautions["idle_replicas"].startswith("1 of 2 replicas got no call, and the busiest got 2.0 times")
    (check,) = thresholds.judge(one, [thresholds.Threshold.parse("idle_backends==0")])
    assert check.seen == 1
    assert [each.idle for each in intervals(one, 1)] == [0] * 3 + [1] * 7


def test_time_until_calls_are_even_again() -> None:
    pods = {"a": pod(1, -1), "b": pod(2, 2.3)}
    slow = [0, 0, 0, 0, 2, 5, 5, 5, 5, 5]
    one = made({"b1": [10 - n for n in slow], "b2": slow}, pods)
    (change,) = changes(one)
    assert (change.came, change.left, change.ready) == (("b",), (), 2)
    assert change.at == round(2.3 * SECOND)
    assert change.even_after == round(2.7 * SECOND)  # second 5 is the first that is even, and so are the next


@pytest.mark.parametrize(
    ("row", "even"),
    [
        ([0, 0, 5, 5, 4, 6, 5, 5, 5, 5], True),  # a call more or less is even
        ([0, 0, 5, 5, 9, 5, 5, 9, 5, 5], False),  # never three seconds in a row
        ([0, 0, 0, 0, 0, 0, 0, 0, 5, 5], False),  # the run is over before
        ([0] * 10, False),
    ],
)
def test_what_counts_as_even(row: list[int], even: bool) -> None:
    rows = {"b1": [10 - n for n in row], **({"b2": row} if any(row) else {})}
    (change,) = changes(made(rows, {"a": pod(1, -1), "b": pod(2, 1.5)}))
    assert (change.even_after is not None) == even


def test_one_idle_replica_among_many_is_not_even() -> None:
    rows = {f"b{n}": [100] * 10 for n in range(1, 20)}
    pods = {f"p{n}": pod(n, -1) for n in range(1, 20)} | {"late": pod(20, 4)}
    (change,) = changes(made(rows, pods))
    assert change.even_after is None


def test_changes_within_a_second_are_one_and_one_that_leaves_counts() -> None:
    pods = {"a": pod(1, -1), "b": pod(2, 2.0), "c": pod(3, 2.9), "d": pod(4, -1, until=6)}
    rows = {"b1": TEN, "b2": [0, 0, *[10] * 8], "b3": [0, 0, 0, *[10] * 7], "b4": [*[10] * 6, 0, 0, 0, 0]}
    found = changes(made(rows, pods))
    assert [(one.came, one.left, one.ready) for one in found] == [(("b", "c"), (), 4), ((), ("d",), 3)]
    assert [one.even_after for one in found] == [0, 0]


def test_a_gap_in_what_was_seen_is_no_replica_more_or_less() -> None:
    gap = ((STARTED, STARTED + 3 * SECOND, 1), (STARTED + 6 * SECOND, STARTED + 10 * SECOND, 1))
    one = made({"b1": TEN}, {"a": pod(1, -1)}, seen=gap, wanted=((STARTED, STARTED + 2 * SECOND, 3),))
    assert [each.ready for each in intervals(one, 1)] == [1, 1, 1, None, None, None, 1, 1, 1, 1]
    assert [each.wanted for each in intervals(one, 1)] == [3, 3, *[None] * 8]
    assert changes(one) == []


def test_the_report() -> None:
    pods = {
        "hot": pod(1, -3, memory=[(1, 100), (8, 280)]),
        "cold": pod(2, 4, memory=[(8, 20)]),
    }
    gauge = Gauge(
        "%", 80, ((STARTED, STARTED + 5 * SECOND, 100), (STARTED + 5 * SECOND, STARTED + 9 * SECOND, 150))
    )
    wanted = ((STARTED, STARTED + 3 * SECOND, 1), (STARTED + 3 * SECOND, STARTED + 10 * SECOND, 2))
    one = made({"b1": TEN}, pods, wanted=wanted, gauges={"memory": gauge}, autoscaler="keda")
    said = text.render(one)
    for line in (
        "  Pod      calls   ready at  first call  after ready  memory at most  of request  restarts",
        "  hot        100       -3 s      +0.5 s            -         280 MiB        280%  0",
        "  cold         0       +4 s           -            -          20 MiB         20%  0  idle",
        "  (wanted)   1112222222",
        "  (ready)    1111222222",
        "  (idle)     0000111111",
        "Memory over time (the same columns, the highest 280 MiB, 280% of the request)",
        "  hot         ▃▃▃▃▃▃▃██",
        "  cold               ▁▁",
        "  The autoscaler keda aims at 80% (memory, the mean) and saw 100% at first, 150% at last.",
        "     +4.00  +1              2  not again",
    ):
        assert f"{line}\n" in said


def test_side_by_side() -> None:
    pods = {"a": pod(1, -3, memory=[(8, 280)]), "b": pod(2, 4, memory=[(3, 90), (8, 20)])}
    one, plain = made({"b1": TEN}, pods), made({"b1": TEN}, {})
    plain.observed = None
    rows = {
        line[:13].strip(): line[13:].split() for line in compare.render(["a", "b"], [one, plain]).splitlines()
    }
    assert rows["idle replicas"] == ["1", "-"]
    assert rows["most memory"] == ["280", "MiB", "-"]
    assert rows["least memory"] == ["20", "MiB", "-"]
    assert "most memory" not in compare.render(["a", "b"], [plain, plain])


def test_memory_that_nobody_tells_of_is_said() -> None:
    one = made({"b1": TEN}, {"a": pod(1, -1)})
    assert "memory_unknown" in {finding.rule for finding in judge(one)}
    one.observed = None
    assert "memory_unknown" not in {finding.rule for finding in judge(one)}
    assert (intervals(one, 1), changes(one), replicas.summary(one)) == ([], [], None)
