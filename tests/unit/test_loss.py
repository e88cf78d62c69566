"""Calls are lost where nothing can save them, and nowhere else: short versions of `make bench-loss`."""

from pathlib import Path

import pytest

from benchmarks import document
from benchmarks.loss import freeze, kill, restarts
from benchmarks.loss.load import adds_up, lost
from tests.unit.command import events

TEXT = (Path(__file__).parents[2] / "docs" / "zero-loss.md").read_text("utf-8")
PARTS = ("restarts", "kill", "freeze", "absence")


@pytest.mark.parametrize("discovery", ["watch", "poll"])
async def test_a_killed_replica_takes_no_more_than_the_calls_in_flight_on_it(discovery: str) -> None:
    seen = await kill.killed(discovery, 1, rate=200, settled=0.5)
    assert adds_up(seen.result)
    assert 0 < seen.result["totals"]["failed"] <= seen.bound
    assert {one["code"] for one in seen.result["outcomes"]} == {"OK", "UNAVAILABLE"}
    assert len(seen.result["backends"]) == 4


async def test_a_rolling_restart_loses_no_call() -> None:
    seen = await restarts.restarted(1, rate=200, drain="1s")
    assert lost(seen.result) == 0
    assert adds_up(seen.result)
    assert len(seen.result["backends"]) == 6


async def test_a_frozen_replica_gets_no_call_once_its_connection_is_given_up() -> None:
    seen = await freeze.frozen("500ms", "500ms", 3.0, rate=100, settled=0.5)
    (gone,) = events(dict(seen.result), "connection.lost")
    assert seen.result["unattributed"]["last_call_ns"] <= gone["at_ns"] + 1e8
    assert adds_up(seen.result)
    assert seen.result["totals"]["failed"] > 0


@pytest.mark.parametrize("part", PARTS)
def test_the_document_has_each_table(part: str) -> None:
    assert document.block(TEXT, part).startswith(document.HEAD)


def test_the_document_tells_what_does_not_hold() -> None:
    assert document.block(TEXT, "misses") == document.misses(TEXT, PARTS)
