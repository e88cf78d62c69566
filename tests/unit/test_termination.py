"""The summary in a container's termination message."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import summary
from loadgen.errors import LoadgenError
from loadgen.termination import MOST, message, write
from tests.unit.results import result


def test_it_says_what_matters() -> None:
    made = result({"a": 4, "b": 2}, failed=1)
    content = json.loads(message(made, summary.of(made)))
    assert (content["sent"], content["failed"], content["backends"]) == (7, 1, {"a": 4, "b": 2})
    assert content["spread"]["most"] == 4
    assert content["verdict"] == ["backends_unreached", "some_failed"]
    assert (content["passed"], content["crossed"]) == (None, {})


def test_it_says_which_thresholds_were_crossed() -> None:
    made = result({"a": 4, "b": 2}, failed=1, plan={"threshold": ["p99<50ms", "failed==0", "max<1ms"]})
    content = json.loads(message(made, summary.of(made)))
    assert content["passed"] is False
    assert content["crossed"] == {"failed==0": 1, "max<1ms": 0.002}


@settings(max_examples=30)
@given(
    st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=40, unique=True),
    st.none() | st.text(max_size=9000),
    st.lists(st.text(max_size=300) | st.just("failed>0"), max_size=40),
)
def test_it_always_fits(names: list[str], partial: str | None, thresholds: list[str]) -> None:
    made = result(dict.fromkeys(names, 1), partial=partial, plan={"threshold": thresholds})
    text = message(made, summary.of(made))
    assert len(text.encode()) <= MOST
    assert json.loads(text)["sent"] == len(names)
    assert json.loads(text)["passed"] is (False if thresholds else None)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LoadgenError, match=r"cannot write .*/none/log: No such file"):
        write(tmp_path / "none" / "log", "x")
