"""The report on the terminal."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.report.text import WIDTH, render
from loadgen.report.units import duration
from loadgen.result import Part, Totals
from tests.unit.results import MS, SECOND, STARTED, evidence, histogram, replica, result

REPORT = """\
Summary (partial: stopped by SIGINT)
  Target:      server:9090
  Load:        Closed{4 at a time}, round_robin, discovery dns
  Count:       9 sent, 8 ok, 1 failed
  Dropped:     2 of 11 due
  Total:       2.00 s
  Slowest:     4.00 ms
  Fastest:     1.00 ms
  Average:     2.50 ms
  Calls/s:     4.5 sent, 4.0 ok
  Lag:         p50 1.00 us, p99 1.00 us
  Connections: 3 made, 1 lost

Distribution per backend
  Backend            calls   share  failed       p50       p99
  pod-b                  6  66.7%       0   2.00 ms   2.00 ms  ■■■■■■■■■■■■■■■■■■■■
  a                      2  22.2%       0   2.00 ms   2.00 ms  ■■■■■■■
  (unattributed)         1  11.1%       1         -         -  ■■■

Balance
  Backends:       2, and 1 idle
  Max - min:      4 calls (100.0% of the mean)
  Peak to mean:   1.500

Latency histogram
   1.30 ms  [2]  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
   1.60 ms  [0]
   1.90 ms  [0]
   2.20 ms  [2]  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
   2.50 ms  [0]
   2.80 ms  [0]
   3.10 ms  [2]  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
   3.40 ms  [0]
   3.70 ms  [0]
   4.00 ms  [2]  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■

Latency percentiles
     50 % in 2.00 ms
     75 % in 3.00 ms
     90 % in 4.00 ms
     95 % in 4.00 ms
     99 % in 4.00 ms
   99.9 % in 4.00 ms

Status codes
  OK                  8
  UNAVAILABLE         1

Errors
  1 x UNAVAILABLE: Connection refused

Verdict
"""


def test_a_whole_report() -> None:
    one = result(
        {"pod-b": 6, "a": 2},
        failed=1,
        dropped=2,
        partial="stopped by SIGINT",
        latency=histogram(*[n * MS for n in (1, 2, 3, 4) for _ in range(2)]),
        plan={"rps": 4.5},
        duration=2 * SECOND,
        evidence=evidence(connections_lost=1),
    )
    report = render(one)
    head, verdict, _ = report.partition("Verdict\n")
    assert head + verdict == REPORT
    assert not report.endswith("\n")


def test_the_verdict_is_the_last_part_and_wrapped() -> None:
    _, _, verdict = render(result({"a": 10, "b": 30, "c": 20}, dropped=3, failed=1)).partition("Verdict\n")
    lines = verdict.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("  ") and len(line) <= WIDTH for line in lines)
    assert "percentiles leave them out" in " ".join(verdict.split())


def test_parts_without_content_are_left_out() -> None:
    report = render(result({}, failed=2, message=""))
    assert "Latency" not in report
    assert "Balance" not in report
    assert "2 x UNAVAILABLE: (no message)" in report
    assert "(unattributed)" in report
    assert "Lag:" not in report
    assert "Dropped:" not in report


def test_a_run_without_any_call() -> None:
    report = render(result({}, duration=0))
    assert "0 sent, 0 ok, 0 failed" in report
    assert report.endswith("No call was made.")


def test_bars_are_relative_to_all_calls() -> None:
    report = render(result({"a": 1000, "b": 0 + 1}))
    assert "■" * 30 in report
    assert "■" * 31 not in report


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (1, "1 ns"),
        (999, "999 ns"),
        (999.6, "1.00 us"),
        (1_000, "1.00 us"),
        (9_994, "9.99 us"),
        (9_996, "10.0 us"),
        (99_940, "99.9 us"),
        (99_960, "100 us"),
        (412_000, "412 us"),
        (999_499, "999 us"),
        (999_600, "1.00 ms"),
        (1_240_000, "1.24 ms"),
        (20_500_000_000, "20.5 s"),
        (3_600_000_000_000, "3600 s"),
    ],
)
def test_durations_have_the_unit_that_suits_them(nanoseconds: float, text: str) -> None:
    assert duration(nanoseconds) == text


@given(st.integers(1, 3_600_000_000_000))
def test_a_duration_is_told_to_half_a_percent(nanoseconds: int) -> None:
    number, unit = duration(nanoseconds).split()
    told = float(number) * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert told == pytest.approx(nanoseconds, rel=0.0051)
    assert len(number) <= 4


def test_a_warm_up_is_shown_apart() -> None:
    report = render(result({"a": 4}, plan={"warmup": "10s"}, warmup=Totals(100, 98, 95, 3, 2)))
    warmup = "  Warm-up:     98 sent, 3 failed, 2 dropped in the first 10s, which no other figure counts\n"
    assert warmup + "  Count:       4 sent, 4 ok, 0 failed\n" in report


def test_thresholds_come_before_the_verdict() -> None:
    asked = ["p99<50ms", "each.p99<=1.5ms", "error_rate<0.1%", "rate>=0.99*target", "dropped==0", "p50<1s"]
    one = result({"a": 40, "b": 20}, failed=1, plan={"rps": 6.5, "total": 61, "threshold": asked})
    _, _, rest = render(one).partition("\n\nThresholds\n")
    assert rest.partition("\n\nVerdict\n")[0] == (
        "  Threshold              limit       seen\n"
        "  p99<50ms             50.0 ms    2.00 ms  ok\n"
        "  each.p99<=1.5ms      1.50 ms    2.00 ms  CROSSED  (a)\n"
        "  error_rate<0.1%         0.1%     1.639%  CROSSED\n"
        "  rate>=0.99*target      6.435        6.1  CROSSED\n"
        "  dropped==0                 0          0  ok\n"
        "  p50<1s                1.00 s    2.00 ms  ok"
    )


def test_one_shards_part_is_not_judged() -> None:
    one = result({"a": 4}, plan={"threshold": ["p99<1ns"]}, shards=[Part(1, 3, 0, 10 * SECOND)])
    assert "Thresholds\n  Not judged: this is a part of the load." in render(one)
    assert "CROSSED" not in render(one)


def test_replicas_stand_with_when_they_were_ready_and_first_called() -> None:
    made = result({"id": 90}, replicas=[replica(90), replica(0, ready_at=STARTED + 16 * SECOND)])
    made.replicas = [replace(one, id="id" if one.calls else "other") for one in made.replicas or []]
    made.backends["id"].first_call = 250_000_000
    _, _, table = render(made).partition("Replicas\n")
    rows = [line.split() for line in table.splitlines()[1:3]]
    assert rows == [
        ["pod-90", "90", "-1", "s", "+0.2", "s", "0"],
        ["pod-0", "0", "+16", "s", "-", "0", "idle"],
    ]
