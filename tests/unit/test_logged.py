"""A result in a log."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import logged

NOISE = "loadgen: 10 s: 3000 sent"


def big(seed: int = 1) -> dict[str, object]:
    """Return a content that takes several lines: random text does not compress."""
    return {"format": "x", "text": random.Random(seed).randbytes(40_000).hex()}


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.integers())))
def test_what_was_logged_is_found(content: dict[str, object]) -> None:
    assert logged.find(["Summary", *logged.lines(content), NOISE]) == content


def test_lines_are_short_and_may_come_in_any_order_with_others_between() -> None:
    lines = list(logged.lines(big()))
    assert len(lines) > 3
    assert max(map(len, lines)) <= 8192
    mixed = [entry for line in reversed(lines) for entry in (NOISE, f"2026-11-24T00:00:00Z {line}\n")]
    assert logged.find(mixed) == big()


def test_a_log_without_result() -> None:
    with pytest.raises(ValueError, match="has no result"):
        logged.find([NOISE, ""])


def test_a_lost_line_is_named() -> None:
    lines = list(logged.lines(big()))
    del lines[1]
    with pytest.raises(ValueError, match=rf"lacks 1 of {len(lines) + 1} lines \(2\)"):
        logged.find(lines)


def test_a_damaged_line_is_noticed() -> None:
    first, second, *rest = logged.lines(big())
    changed = second[:-10] + ("A" if second[-10] != "A" else "B") + second[-9:]
    with pytest.raises(ValueError, match="damaged"):
        logged.find([first, changed, *rest])


def test_lines_of_another_result_do_not_pass_for_it() -> None:
    first, *_ = logged.lines(big(1))
    _, *rest = logged.lines(big(2))
    with pytest.raises(ValueError, match="damaged"):
        logged.find([first, *rest])
