"""Where nothing changed, the policy alone decides."""

import pytest

from loadgen import summary
from loadgen.events import Event
from loadgen.phases import Phase, phases
from loadgen.report.overtime import stable
from tests.unit.results import MS, evidence
from tests.unit.test_overtime import ONE, SCALED, TWO, over_time, scaled

SWAPPED = Event(2_100 * MS, "channel.swapped", {"backends": [TWO]})


def test_a_phase_begins_an_interval_after_a_change_and_ends_shortly_before_the_next() -> None:
    assert phases(scaled()) == [
        Phase(0, 900 * MS, 1, {"a": 40}),
        Phase(1_500 * MS, 1_700 * MS, 2, {"a": 4, "b": 4}),
    ]  # the channel was never swapped for what the last change told


def test_the_last_one_ends_with_the_run() -> None:
    made = scaled()
    made.events = [*SCALED, SWAPPED]
    assert phases(made)[2:] == [Phase(2_300 * MS, 2_700 * MS, 1, {"b": 16})]  # type: ignore[index]


@pytest.mark.parametrize("name", ["connection.lost", "connection.made", "channel.rotated"])
def test_whatever_happens_to_a_backend_in_use_parts_them(name: str) -> None:
    made = scaled()
    made.events = [*SCALED[:2], Event(650 * MS, name, {"address": ONE})]
    found = phases(made)
    assert found is not None
    assert (found[0].begin, found[0].end) == (0, 300 * MS)
    assert [one.begin for one in found[1:]] == ([] if name == "connection.lost" else [900 * MS])


def test_a_backend_that_is_known_and_not_connected_makes_none() -> None:
    made = scaled()
    made.events = [
        event for event in SCALED if event.attributes.get("address") != TWO or "made" not in event.name
    ]
    assert phases(made) == [Phase(0, 900 * MS, 1, {"a": 40})]


def test_one_that_gets_nothing_counts_in_the_mean() -> None:
    rows = {"a": [6] * 12, "b": [6] * 12}
    known = tuple(Event(-9 * MS, "backend.known", {"address": f"10.0.0.{n}:1"}) for n in (1, 2, 3))
    connected = tuple(Event(-5 * MS, "connection.made", {"address": f"10.0.0.{n}:1"}) for n in (1, 2, 3))
    made = over_time(rows, events=known + connected, evidence=evidence(discovery="static"))
    (phase,) = phases(made) or []
    assert (phase.backends, phase.least, phase.most, phase.peak_to_mean) == (3, 0, 72, 1.5)


def test_where_it_cannot_be_told_there_are_none() -> None:
    made = scaled()
    made.evidence.discovery = "dns"
    assert phases(made) is None
    assert summary.of(made)["over_time"]["phases"] is None
    assert list(stable(made)) == []


def test_the_report_has_a_row_for_each() -> None:
    made = scaled()
    made.timeline.backends["b"][8] = 5
    head, columns, *rows = stable(made)
    assert head.startswith("Stable phases")
    assert columns.split("  ")[-1] == "peak to mean"
    assert [row.split() for row in rows] == [
        ["+0.00", "+0.90", "1", "40", "40", "1.000"],
        ["+1.50", "+1.70", "2", "9", "4", "to", "5", "1.111"],
    ]


def test_a_run_without_changes_needs_no_table() -> None:
    steady = over_time({"a": [5] * 10}, events=SCALED[:2], evidence=evidence(discovery="poll"))
    assert list(stable(steady)) == []
    assert len(summary.of(steady)["over_time"]["phases"]) == 1
