"""The closed forms that figures are measured by, and the one that a real load is held to here."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from benchmarks import document
from benchmarks.accuracy import beside, forms, merging
from benchmarks.document import HOLDS, OPEN, Figure
from loadgen import resultfile, resultjson
from loadgen.histogram import Histogram
from loadgen.merging import merge
from loadgen.summary import of as summary_of
from tests.server.replica import Replica
from tests.unit.command import run

SECOND = 1_000_000_000

# Stalls


@given(st.floats(0, 1), st.floats(0.01, 10), st.floats(1.001, 100))
def test_a_stalls_quantiles_are_those_of_evenly_placed_arrivals(
    quantile: float, stall: float, times: float
) -> None:
    period = stall * times
    arrivals = (np.arange(20_000) + 0.5) / 20_000 * period  # the stall is the last part of the period
    waits = np.where(arrivals >= period - stall, period - arrivals, 0)
    form = forms.stall_quantile(quantile, stall, period)
    assert form == pytest.approx(np.quantile(waits, quantile), abs=period / 10_000)
    assert 0 <= form <= stall * (1 + 1e-9)


def test_the_stall_of_the_document() -> None:
    seen = [forms.stall_quantile(quantile, 1, 10) for quantile in (0.5, 0.9, 0.95, 0.99, 0.999, 1)]
    assert seen == pytest.approx([0, 0, 0.5, 0.9, 0.99, 1])


@given(st.integers(1, 100), st.integers(1, 10), st.integers(2, 20))
def test_calls_meet_each_period_at_points_of_their_own(rate: int, period: int, periods: int) -> None:
    made = forms.uniform_rate(rate, period, periods)
    assert made == pytest.approx(rate, abs=0.6 / period + 1 / period)
    number = round(made * period * periods)
    phases = np.sort(np.arange(number) / made % period)
    gaps = np.diff(np.concatenate([phases, [phases[0] + period]]))
    assert gaps == pytest.approx(np.full(number, period / number), rel=1e-3)


@given(st.integers(0, 10_000), st.floats(1, 1e5), st.floats(0, 1e5))
def test_a_drain_ends_when_capacity_has_done_what_was_queued_and_what_came(
    queued: int, capacity: float, rate: float
) -> None:
    took = forms.drain(queued, capacity, rate)
    if capacity <= rate:
        assert took == math.inf
    else:
        assert took * capacity == pytest.approx(queued + took * rate)


STALL, PERIOD, PERIODS, RATE = 0.2, 2.0, 10, 200.0


def test_percentiles_of_a_server_that_stalls_are_the_closed_forms(replica: Replica) -> None:
    queued = round(STALL * RATE)
    rate = forms.uniform_rate(RATE, PERIOD, PERIODS)
    planned = round(rate * PERIOD * PERIODS)
    with Replica("--stall-for", "200ms", "--stall-every", "2s") as stalling:
        content = run(f"127.0.0.1:{stalling.port}", "--rps", f"{rate:.6f}", "-n", str(planned))
    closed = run(f"127.0.0.1:{replica.port}", "-c", str(queued), "-n", str(10 * queued))
    assert content["totals"] == {"due": planned, "sent": planned, "ok": planned, "failed": 0, "dropped": 0}
    latency = content["summary"]["latency_s"]
    # a machine that halts the load generator holds answers back as well, and shows in the lag
    beside = forms.drain(queued, closed["summary"]["throughput"], RATE) + content["lag"]["max_ns"] / SECOND
    for percent in (95.0, 99.0, 99.9):
        form = forms.stall_quantile(percent / 100, STALL, PERIOD)
        assert 0.99 * form <= latency[f"p{percent:g}"] <= form + beside, (percent, form, beside)
    assert latency["p50"] < STALL / 10
    assert latency["max"] >= 0.99 * STALL


# Queues


@given(st.lists(st.integers(0, 1000), max_size=50), st.integers(0, 500))
@example([0, 0, 0], 10)
def test_waits_are_those_of_a_queue_played_call_by_call(times: list[int], service: int) -> None:
    arrivals = sorted(times)
    free = 0
    expected = []
    for at in arrivals:
        begin = max(at, free)
        expected.append(begin - at)
        free = begin + service
    assert forms.waits(np.array(arrivals, np.float64), service).tolist() == expected


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_the_mean_of_many_waits_is_the_closed_form(load: float) -> None:
    random = np.random.default_rng(1)
    arrivals = np.cumsum(random.exponential(1 / load, 1_000_000))
    assert forms.waits(arrivals, 1).mean() == pytest.approx(forms.md1_wait(load, 1), rel=0.02)


@given(st.floats(0.001, 1000), st.floats(0.001, 10))
def test_a_wait_grows_with_the_load_and_has_no_end_at_capacity(rate: float, service: float) -> None:
    assume(rate * service < 0.999)
    wait = forms.md1_wait(rate, service)
    assert 0 <= wait <= forms.md1_wait(rate * 1.0001, service)
    assert forms.md1_wait(1 / service * 1.001, service) == math.inf


# Intervals


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-1e6, 1e6))
def test_an_interval_moves_with_its_values(values: list[float], by: float) -> None:
    mean, half = forms.interval(values)
    assert min(values) - 1e-6 <= mean <= max(values) + 1e-6
    moved, same = forms.interval([value + by for value in values])
    assert moved == pytest.approx(mean + by, abs=1e-6)
    assert same == pytest.approx(half, abs=1e-5, rel=1e-6)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    for number in (2, 5, 11, 20, 40):
        held = 0
        for _ in range(4000):
            mean, half = forms.interval(random.normal(0, 1, number).tolist())
            held += abs(mean) <= half
        assert held / 4000 == pytest.approx(0.95, abs=0.012)


def test_one_value_has_no_interval() -> None:
    assert forms.interval([3.0]) == (3.0, math.inf)


# The document

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<>-\r"), max_size=30)


@given(TEXT, TEXT, TEXT, TEXT)
def test_a_block_is_replaced_alone(before: str, old: str, between: str, new: str) -> None:
    def whole(first: str) -> str:
        one = f"<!-- one: begin -->\n{first}\n<!-- one: end -->"
        return f"{before}{one}{between}<!-- two: begin -->\n<!-- two: end -->"

    made = document.replaced(whole(old), "one", new)
    assert made == whole(new)
    assert document.block(made, "one") == new
    assert document.block(made, "two") == ""
    with pytest.raises(ValueError, match="no <!-- three"):
        document.replaced(made, "three", new)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5))
def test_a_verdict_says_by_how_much(value: float, low: float, width: float) -> None:
    verdict = document.within(low, value, low + width, unit=" ms")
    assert (verdict == HOLDS) == (low <= value <= low + width)
    if verdict != HOLDS:
        by, side = verdict.split(" ms ")
        bound = low if side == "below" else low + width
        assert float(by) == pytest.approx(abs(value - bound), rel=0.006, abs=1e-300)


def test_what_misses_is_listed() -> None:
    good = Figure("p50", "under 1 ms", "0.5 ms", HOLDS)
    bad = Figure("p99", "under 2 ms", "3 ms", "1 ms above")
    free = Figure("p90", "", "1 ms", OPEN)
    marks = "<!-- a: begin -->\n<!-- a: end -->\n<!-- b: begin -->\n<!-- b: end -->"
    text = document.replaced(marks, "a", document.table([good, free], "A note."))
    assert document.misses(text, ["a", "b"]) == "Nothing: every figure with a limit is within it."
    text = document.replaced(text, "b", document.table([good, bad, free], "Another."))
    assert document.misses(text, ["a", "b"]) == "- b, p99: 1 ms above (seen 3 ms, must be under 2 ms)"


# Beside another tool


def test_a_difference_may_be_as_large_as_the_others_spread() -> None:
    def verdict(mine: list[float], theirs: list[float], server: str = "20 ms delay") -> str:
        return beside.compared(server, "p50", mine, theirs).verdict

    assert verdict([1.02, 1.02], [1.0, 1.0]) == HOLDS
    assert verdict([1.04, 1.04], [1.0, 1.0]) == "1.0 % above"
    assert verdict([0.9, 0.9], [1.0, 1.0]) == "7.0 % below"
    # pair by pair: a machine that is slow for both makes no difference
    assert verdict([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == HOLDS
    assert verdict([1.2, 1.1, 1.0], [1.0, 1.0, 1.1]) == HOLDS
    assert verdict([1.2, 1.2, 1.2], [1.0, 1.0, 1.1]) == "10.0 % above"
    assert verdict([3.0], [1.0], beside.UNJUDGED) == OPEN


# Merging


def test_many_files_merge_into_what_one_recorder_has(tmp_path: Any) -> None:
    number, each, factor = 4, 3000, 7
    paths = [tmp_path / f"{index}.json" for index in range(number)]
    for index, path in enumerate(paths):
        part = merging.times(merging.shard(index, number, each), factor)
        resultfile.ResultFile(path).write(resultjson.to_json(part, summary_of(part)))
    truth = merging.times(merging.whole(number, each), factor)
    merged = merge(map(resultfile.read, paths))
    assert merged.totals.sent == number * each * factor
    assert merging.same(merged, truth)
    merged.latency.add(np.array([1]))
    assert not merging.same(merged, truth)
    assert merging.times(truth, 1).latency == truth.latency != Histogram()
