"""Results side by side."""

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.report.compare import ROWS, render
from loadgen.result import Result
from tests.unit.results import MS, evidence, histogram, result


def rows(*results: Result) -> dict[str, list[str]]:
    text = render([f"{number}.json" for number in range(len(results))], results)
    return {line[:12].strip(): line[12:].split() for line in text.splitlines()}


def test_each_figure_has_its_difference_from_the_first() -> None:
    slow = histogram(*[4 * MS] * 200)
    seen = rows(result({"a": 100, "b": 100}), result({"a": 50, "b": 150}, latency=slow, failed=50))
    assert seen["p99"] == ["2.00", "ms", "4.00", "ms", "(+100.0%)"]
    assert seen["failed"] == ["0", "50", "(+50)"]
    assert seen["error rate"] == ["0.00%", "20.00%", "(+20.00%)"]
    assert seen["calls/s sent"] == ["20.0", "25.0", "(+25.0%)"]
    assert seen["peak to mean"] == ["1.000", "1.500", "(+50.0%)"]
    assert seen["least"] == ["100", "50", "(-50.0%)"]


def test_what_is_not_known_is_a_dash() -> None:
    unknown = evidence(addresses=["10.0.0.1:1"], addresses_now=None)
    seen = rows(result({"a": 1}), result({}, failed=1, evidence=unknown))
    assert seen["p50"] == ["2.00", "ms", "-"]
    assert seen["idle"] == ["2", "-"]


def test_three_are_all_compared_with_the_first() -> None:
    seen = rows(result({"a": 10}), result({"a": 20}), result({"a": 5}))
    assert seen["sent"] == ["10", "20", "(+100.0%)", "5", "(-50.0%)"]


def test_a_long_name_keeps_its_end() -> None:
    text = render(["x" * 90 + "/one.json", "two.json"], [result({"a": 1}), result({"a": 1})])
    assert "x/one.json  " in text.splitlines()[0]
    assert len(text.splitlines()[0]) < 90


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 20)), min_size=2, max_size=4))
def test_any_results_can_be_compared(all_calls: list[dict[str, int]]) -> None:
    results = [result(calls, failed=int(not calls)) for calls in all_calls]
    text = render([str(number) for number in range(len(results))], results)
    assert len(text.splitlines()) == len(ROWS) + 4
    assert all(line == line.rstrip() for line in text.splitlines())
