"""What the report says of a run's moments."""

from typing import Any

import numpy as np
import pytest

from loadgen import overtime
from loadgen.cells import Cells, cells, middle
from loadgen.events import Event
from loadgen.report.overtime import BACKENDS, COLUMNS, chart, delays, events
from loadgen.report.text import render
from loadgen.result import Backend, Result, Timeline
from tests.unit.results import MS, SECOND, STARTED, evidence, result

ONE, TWO = "10.0.0.1:9090", "10.0.0.2:9090"
SCALED = (
    Event(-9 * MS, "backend.known", {"address": ONE}),
    Event(-5 * MS, "connection.made", {"address": ONE}),
    Event(1_200 * MS, "discovery.changed", {"backends": [ONE, TWO]}),
    Event(1_200 * MS, "backend.added", {"address": TWO}),
    Event(1_210 * MS, "connection.made", {"address": TWO}),
    Event(1_220 * MS, "channel.swapped", {"backends": [ONE, TWO]}),
    Event(2_050 * MS, "backend.removed", {"address": ONE}),
    Event(2_060 * MS, "connection.lost", {"address": ONE, "reason": "idle"}),
)


def over_time(rows: dict[str, list[int]], **changes: Any) -> Result:
    """Return a result with these calls of each backend in each interval of 200 ms."""
    happened = changes.pop("events", SCALED)
    failed, took = changes.pop("failed", None), changes.pop("took", None)
    made = result({name: sum(row) for name, row in rows.items()}, events=happened, **changes)
    length = len(next(iter(rows.values())))
    sent = [sum(column) for column in zip(*rows.values(), strict=True)]
    cell = [int(number) for number in cells(np.array(took or [MS] * length))]
    made.timeline = Timeline(
        200 * MS,
        STARTED - 100 * MS,
        sent,
        failed or [0] * length,
        [0] * length,
        rows,
        latency=Cells.of([{number: count} for number, count in zip(cell, sent, strict=True)]),
    )
    return made


def scaled() -> Result:
    """Return a run in which a replica joined, and another left."""
    made = over_time(
        {"a": [8, 8, 8, 8, 8, 8, 8, 4, 4, 4, 4, 1, 0, 0], "b": [0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 7, 8, 8]},
        duration=2_700 * MS,
        failed=[0] * 11 + [1, 0, 0],
        took=[MS] * 11 + [90 * MS, MS, MS],
        evidence=evidence(discovery="poll"),
    )
    made.backends = {
        "a": Backend(61, 60, 1, 5 * MS, 2_180 * MS, None, ONE, -9 * MS, -5 * MS),
        "b": Backend(35, 35, 0, 1_230 * MS, 2_690 * MS, None, TWO, 1_200 * MS, 1_210 * MS),
    }
    return made


def test_each_backend_has_a_line_and_so_has_what_failed_and_was_known() -> None:
    assert list(chart(scaled())) == [
        "Over time (a column is 200 ms, the highest 8 calls)",
        "  a         ███████▄▄▄▄▁",
        "  b                ▄▄▄▄▇██",
        "  (failed)             x",
        "  (p99)     ▁▁▁▁▁▁▁▁▁▁▁█▁▁  up to 88.1 ms",
        "  (known)   11111122221111",
        "            0 s       2 s",
    ]


def test_when_each_replica_was_learnt_of_reached_called_and_left() -> None:
    _, head, *rows = delays(scaled())
    assert head.split()[:2] == ["Backend", "discovered"]
    assert [row.split() for row in rows] == [
        ["a", "-0.01", "-0.01", "+0.01", "+2.18", "+2.05", "1"],
        ["b", "+1.20", "+1.21", "+1.23", "+2.69", "-", "-"],
    ]


def test_calls_after_a_removal_are_those_of_later_intervals() -> None:
    made = scaled()
    made.timeline.backends["a"][12:] = [3, 2]
    assert list(delays(made))[2].split()[-1] == "6"


def test_what_happened_is_told_in_order() -> None:
    head, *rows = events(scaled())
    assert head.startswith("Events")
    assert [row.split() for row in rows] == [
        ["+1.20", "backend.added", TWO],
        ["+1.20", "discovery.changed", "to", "2", "backends"],
        ["+1.21", "connection.made", TWO],
        ["+1.22", "channel.swapped", "to", "2", "backends"],
        ["+2.05", "backend.removed", ONE],
        ["+2.06", "connection.lost", ONE],
        ["and", "2", "more", "in", "the", "result", "file"],
    ]


def test_the_most_telling_events_are_chosen_and_the_same_ones_told_once() -> None:
    refused = "ipv4:10.0.0.1:9090: Failed to connect to remote host: Connection refused"
    many = [
        *(Event(n * MS, "connection.made", {"address": f"10.0.1.{n}:9090"}) for n in range(1, 30)),
        *(Event(n * MS, "connection.failed", {"address": ONE, "reason": refused}) for n in range(40, 45)),
        Event(50 * MS, "connection.lost", {"address": ONE, "reason": "Connection reset by peer"}),
    ]
    _, *rows, left = events(over_time({"a": [1, 1, 1]}, events=tuple(many)))
    assert len(rows) == 10
    assert rows[-2].split(maxsplit=2) == [
        "+0.04", "connection.failed",
        "10.0.0.1:9090: Failed to connect to remote host: Connection refused (5 times, first then)",
    ]  # fmt: skip
    assert rows[-1].split(maxsplit=2)[2] == "10.0.0.1:9090: Connection reset by peer"
    assert left == "  and 21 more in the result file"


def test_the_parts_stand_between_balance_and_histogram() -> None:
    heads = [part.partition("\n")[0].partition(" (")[0] for part in render(scaled()).split("\n\n")]
    there = heads.index("Balance")
    assert heads[there : there + 6] == [
        "Balance", "Over time", "Stable phases", "Replicas as the client saw them", "Events",
        "Latency histogram",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "duration"), [([5, 5], 5 * SECOND), ([5, 5, 5], 999 * MS)], ids=["few intervals", "short"]
)
def test_a_short_run_has_no_moments(rows: list[int], duration: int) -> None:
    assert list(chart(over_time({"a": rows}, duration=duration))) == []


def test_where_nothing_changed_there_is_only_the_chart() -> None:
    steady = over_time({"a": [5] * 10}, duration=2 * SECOND, events=SCALED[:2])
    assert (list(delays(steady)), list(events(steady))) == ([], [])
    assert "(known)" not in "\n".join(chart(steady))


def test_columns_and_lines_are_limited() -> None:
    many = over_time({f"{number:02}": [1] * 1000 for number in range(30)}, duration=200 * SECOND)
    head, *lines, axis = chart(many)
    assert head == "Over time (a column is 3.40 s, the highest 17 calls)"
    assert max(len(line) for line in lines if "p99" not in line) <= len("  (p99)  ") + COLUMNS
    assert lines[BACKENDS] == "  (p99)  " + "█" * 59 + "  up to 1.02 ms"
    assert lines[-1] == "  and 10 backends more"
    assert axis.split() == [word for at in range(0, 201, 50) for word in (str(at), "s")]
    assert len(list(delays(many))) == BACKENDS + 3


def test_times_stand_below_the_column_that_they_fall_into() -> None:
    *_, axis = chart(over_time({"a": [1] * 60}, duration=12 * SECOND))
    at = axis.index("10 s") - len("  (p99)  ")
    assert at == (10 * SECOND + 100 * MS) // (200 * MS)


def test_how_many_are_known_is_null_where_it_cannot_be_told() -> None:
    made = scaled()
    assert overtime.known(made) == [1] * 6 + [2] * 4 + [1] * 4
    made.events_left_out = 1
    assert overtime.known(made) is None
    assert overtime.known(over_time({"a": [1] * 14})) is None, "gRPC's resolver does not tell who left"
    assert overtime.known(over_time({"a": [1]}, events=())) is None


@pytest.mark.parametrize("start", [-(10**30), 0, STARTED + 10**15, 10**30])
def test_a_timeline_that_is_nowhere_near_the_run_is_still_drawn(start: int) -> None:
    made = scaled()
    made.timeline.start = start
    assert len(list(chart(made))) >= 6
    assert overtime.summary(made)["interval_s"] == 0.2
    assert list(delays(made))


def test_each_backend_has_percentiles_of_its_own_in_longer_rows() -> None:
    made = over_time({"a": [1] * 20, "b": [1] * 20})
    none = [{}] * (len(made.timeline.coarse()) - 1)
    made.timeline.latencies = {"a": Cells.of([{50: 98, 90: 2}, *none]), "b": Cells.of([*none, {40: 1}])}
    found = overtime.of_backends(made)
    assert (found["interval_s"], -1.8 < found["start_s"] <= 0) == (1.6, True)
    blank = [None] * len(none)
    assert found["p50_s"] == {"a": [middle(50) / 1e9, *blank], "b": [*blank, middle(40) / 1e9]}
    assert found["p99_s"]["a"][0] == middle(90) / 1e9
