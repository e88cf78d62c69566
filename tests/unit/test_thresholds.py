"""Thresholds: what users write, and what becomes of them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import thresholds
from loadgen.result import Part, Result
from loadgen.thresholds import COMPARISONS, Check, Threshold, judge
from tests.unit.results import MS, SECOND, STARTED, evidence, histogram, replica, result


@pytest.mark.parametrize(
    ("text", "metric", "comparison", "limit", "of_target"),
    [
        ("p99<50ms", "p99", "<", 50 * MS, False),
        (" p99.9 <= 1.5 s ", "p99.9", "<=", 1.5 * SECOND, False),
        ("p50<250us", "p50", "<", 250_000, False),
        ("p100<1m", "p100", "<", 60 * SECOND, False),
        ("mean<1e3ns", "mean", "<", 1000, False),
        ("min>1µs", "min", ">", 1000, False),
        ("max<1s", "max", "<", SECOND, False),
        ("error_rate<0.1%", "error_rate", "<", 0.001, False),
        ("error_rate<0.02", "error_rate", "<", 0.02, False),
        ("failed==0", "failed", "==", 0, False),
        ("dropped==0", "dropped", "==", 0, False),
        ("rate>=0.99*target", "rate", ">=", 0.99, True),
        ("rate>=99%*target", "rate", ">=", 0.99, True),
        ("rate>=target", "rate", ">=", 1, True),
        ("rate>=200/s", "rate", ">=", 200, False),
        ("throughput>199.5", "throughput", ">", 199.5, False),
        ("peak_to_mean<1.1", "peak_to_mean", "<", 1.1, False),
        ("idle_backends==0", "idle_backends", "==", 0, False),
        ("backends>=3", "backends", ">=", 3, False),
        ("each.p99<50ms", "each.p99", "<", 50 * MS, False),
        ("backend.p99<50ms", "each.p99", "<", 50 * MS, False),
        ("each.mean<50ms", "each.mean", "<", 50 * MS, False),
    ],
)
def test_a_threshold(text: str, metric: str, comparison: str, limit: float, of_target: bool) -> None:
    one = Threshold.parse(text)
    assert (one.metric, one.comparison, one.of_target) == (metric, comparison, of_target)
    assert one.limit == pytest.approx(limit)
    assert Threshold.parse(str(one)) == one


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no threshold: write METRIC, a comparison and a limit"),
        ("p99", "is no threshold"),
        ("<5ms", "is no threshold"),
        ("p99<", "is no threshold"),
        ("p99=5ms", "'=' in 'p99=5ms' is no comparison: use <, <=, >, >= or =="),
        ("p99=<5ms", "'=<' in"),
        ("p99!=5ms", "'!=' in"),
        ("p99<<5ms", "'<<' in"),
        ("p999<5ms", "'p999' is no metric: did you mean p99"),
        ("p0<5ms", "'p0' is no metric"),
        ("p00.00<5ms", "is no metric"),
        ("p101<5ms", "is no metric"),
        ("eror_rate<1%", "'eror_rate' is no metric: did you mean error_rate"),
        ("latency<5ms", "is no metric"),
        ("xyz<5", "'xyz' is no metric: there are p50, p90"),
        ("each.failed==0", "'each.failed' is not known of each backend"),
        ("each.xyz<5ms", "is no metric"),
        ("p99<50", "'50' in 'p99<50' is not a time with its unit, such as 50ms"),
        ("p99<-5ms", "'-5ms' in"),
        ("p99<5h", "is not a time"),
        ("p99<fast", "is not a time"),
        ("p99<nan", "is not a time"),
        ("p99<0.5*target", "is not a time"),
        ("p99<\N{ARABIC-INDIC DIGIT FIVE}ms", "is not a time"),
        ("error_rate<5ms", "is not a share, such as 0.1%"),
        ("error_rate<101%", "'101%' in 'error_rate<101%' is more than all"),
        ("failed<1.5", "is not a whole number"),
        ("failed<1%", "is not a whole number"),
        ("rate>=99%", "is not calls per second or a share of the target rate, such as 0.99*target"),
        ("rate>=2*goal", "is not calls per second"),
        ("throughput>=target", "is not a number"),
        ("peak_to_mean<inf", "is not a number"),
    ],
)
def test_what_is_no_threshold(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Threshold.parse(text)


texts = st.from_regex(
    r"\A((each|backend)\.)?(p[0-9.]{1,5}|mean|rate|failed|error_rate|backends)[<>=]{1,2}[0-9.e%*]{1,5}(ms|s|target)?\Z"
)


@given(st.text() | texts)
def test_any_text_is_a_threshold_or_refused(text: str) -> None:
    try:
        one = Threshold.parse(text)
    except ValueError:
        return
    assert Threshold.parse(str(one)) == one
    assert one.limit >= 0
    (check,) = judge(result({"a": 3}, plan={"rps": 1.0}), [one])
    assert check.seen is not None


FAST = {"a": 60, "b": 30}
TEN = histogram(*[n * MS for n in range(1, 11)])
CASES: dict[str, tuple[str, Result, float | None, bool, str | None]] = {
    "a percentile": ("p90<=9.01ms", result({"a": 10}, latency=TEN), 9 * MS, True, None),
    "a percentile, crossed": ("p95<9.01ms", result({"a": 10}, latency=TEN), 10 * MS, False, None),
    "at the limit": ("max<10ms", result({"a": 10}, latency=TEN), 10 * MS, False, None),
    "at the limit, which is allowed": ("max<=10ms", result({"a": 10}, latency=TEN), 10 * MS, True, None),
    "the mean": ("mean==5.5ms", result({"a": 10}, latency=TEN), 5.5 * MS, True, None),
    "the least": ("min>1ms", result({"a": 10}, latency=TEN), MS, False, None),
    "failed": ("failed==0", result(FAST, failed=1), 1, False, None),
    "the rate of errors": ("error_rate<=10%", result(FAST, failed=10), 0.1, True, None),
    "dropped": ("dropped<3", result(FAST, dropped=2), 2, True, None),
    "throughput": ("throughput>=9", result(FAST), 9.0, True, None),
    "the rate of closed load": ("rate>9", result(FAST), 9.0, False, None),
    "the rate, all sent in time": (
        "rate>=0.99*target",
        result(FAST, plan={"rps": 10.0, "duration": "9s", "total": 90}, duration=9 * SECOND),
        10.0,
        True,
        None,
    ),
    "the rate, some dropped": (
        "rate>=0.99*target",
        result(FAST, dropped=10, plan={"rps": 10.0, "total": 100}),
        9.0,
        False,
        None,
    ),
    "the rate of stages after the warm-up": (
        "rate>=target",
        result(FAST, plan={"stages": "2s@99,5s:1,10s@9", "warmup": "7s"}),
        9.0,
        True,
        None,
    ),
    "the rate where there is none to aim for": (
        "rate>=target",
        result(FAST),
        None,
        False,
        "the load had no rate to aim for",
    ),
    "peak to mean": ("peak_to_mean<1.3", result(FAST), 4 / 3, False, None),
    "backends": ("backends>=2", result(FAST), 2, True, None),
    "no backend": ("backends>=1", result({}, failed=3), 0, False, None),
    "idle by addresses": ("idle_backends==0", result(FAST), 1, False, None),
    "idle by pods": (
        "idle_backends==0",
        result(FAST, replicas=[replica(60), replica(30)], evidence=evidence(addresses=None)),
        0,
        True,
        None,
    ),
    "idle, and a pod that came later": (
        "idle_backends==1",
        result(FAST, replicas=[replica(60), replica(0), replica(0, ready_at=STARTED + 60 * SECOND)]),
        1,
        True,
        None,
    ),
    "each, of slow and fast": (
        "each.max<5ms",
        result({"slow": 1, "quick": 1}),
        2 * MS,
        True,
        "quick",
    ),
    # what has no value is no pass
    "no call succeeded": ("p99<1s", result({}, failed=3), None, False, "no call succeeded"),
    "no call at all": ("error_rate<1%", result({}), None, False, "no call was made"),
    "nobody said who answered": (
        "peak_to_mean<2",
        result({}, unattributed_ok=3),
        None,
        False,
        "no call said who answered it",
    ),
    "each of nobody": ("each.p99<1s", result({}, failed=3), None, False, "no call said who answered it"),
    "idle unknown": (
        "idle_backends==0",
        result(FAST, evidence=evidence(addresses=None, addresses_now=None)),
        None,
        False,
        "how many backends there are is not known",
    ),
}


@pytest.mark.parametrize(("text", "result", "seen", "passed", "note"), CASES.values(), ids=CASES)
def test_a_check(text: str, result: Result, seen: float | None, passed: bool, note: str | None) -> None:
    (check,) = judge(result, [Threshold.parse(text)])
    assert check.passed is passed
    assert check.note == note
    assert check.seen == (None if seen is None else pytest.approx(seen, rel=1e-3))


def test_each_names_the_backend_that_is_worst() -> None:
    one = result({"a": 3, "b": 3, "c": 3})
    one.backends["b"].latency = histogram(7 * MS, 8 * MS, 9 * MS)
    one.backends["c"].latency = histogram(MS)
    for text, note, passed in (
        ("each.p50<8.5ms", "b", True),
        ("each.max<9ms", "b", False),
        ("each.min>1ms", "c", False),
        ("each.mean==2ms", "b", False),
    ):
        (check,) = judge(one, [Threshold.parse(text)])
        assert (check.note, check.passed) == (note, passed)


def test_a_backend_none_of_whose_calls_succeeded_is_no_pass() -> None:
    one = result({"a": 3})
    one.backends["b"] = one.backends["a"].__class__(2, 0, 2, 0, 0, histogram())
    (check,) = judge(one, [Threshold.parse("each.p99<1s")])
    assert check == Check(
        "each.p99<1s", SECOND, None, passed=False, note="no call to b succeeded", of_time=True
    )


def test_the_plans_thresholds_are_judged_on_the_whole_only() -> None:
    asked: dict[str, Any] = {"plan": {"rps": 9.0, "threshold": ["failed==0", "rate>=target"]}}
    (failed, rate) = judge(result(FAST, **asked))
    assert failed.passed
    assert rate.limit == 9.0
    part = result(FAST, **asked, shards=[Part(1, 3, STARTED, 10 * SECOND)])
    assert judge(part) == []
    assert thresholds.passed(judge(part)) is None
    (rate,) = judge(part, [Threshold.parse("rate>=target")])
    assert rate.limit == 3.0
    lacking = result(FAST, **asked, shards=[Part(n, 3, STARTED, 10 * SECOND) for n in (0, 2)])
    assert judge(lacking) == []
    (rate,) = judge(lacking, [Threshold.parse("rate>=target")])
    assert rate.limit == 6.0
    whole = result(FAST, **asked, shards=[Part(n, 3, STARTED, 10 * SECOND) for n in range(3)])
    assert [check.limit for check in judge(whole)] == [0, 9.0]


@pytest.mark.parametrize("text", ["p99<50", "jitter<5ms", ""])
def test_a_threshold_of_another_version_is_no_pass(text: str) -> None:
    (check,) = judge(result(FAST, plan={"threshold": [text]}))
    assert check == Check(text, None, None, passed=False, note="this loadgen does not know it")


limits = st.integers(0, 20)


@given(
    st.sampled_from(["failed", "dropped", "backends"]), st.sampled_from(sorted(COMPARISONS)), limits, limits
)
def test_a_comparison_is_that_of_numbers(metric: str, comparison: str, seen: int, limit: int) -> None:
    calls = {f"b{number}": 1 for number in range(seen)} if metric == "backends" else {"a": 1}
    counts = {metric: seen} if metric != "backends" else {}
    (check,) = judge(result(calls, **counts), [Threshold.parse(f"{metric}{comparison}{limit}")])
    truth = {
        "<": seen < limit,
        "<=": seen <= limit,
        ">": seen > limit,
        ">=": seen >= limit,
        "==": seen == limit,
    }
    assert check.passed == truth[comparison]
    assert check.to_json()["seen"] == seen
