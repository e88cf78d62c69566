"""The result and its file."""

import copy
import json
import os
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import resultjson, summary
from loadgen.cells import Cells
from loadgen.errors import LoadgenError
from loadgen.events import Event
from loadgen.report import text
from loadgen.result import Result, Totals
from loadgen.resultfile import ResultFile, read
from loadgen.resultjson import VERSION, schema
from tests.unit.results import evidence, histogram, result

WHOLE = result(
    {"a": 3, "b": 2},
    failed=2,
    dropped=4,
    events=(
        Event(-5, "backend.known", {"address": "10.0.0.1:9090"}),
        Event(7, "channel.swapped", {"backends": ["x", "y"]}),
    ),
    partial="stopped by SIGINT",
    plan={
        "metadata": ["k:..."],
        "rps": 5.0,
        "max_in_flight": 9,
        "warmup": "1s",
        "threshold": ["p99<50ms", "rate>=0.9*target", "each.max<1ms", "idle_backends==0"],
    },
    warmup=Totals(9, 7, 4, 3, 2),
)
NOTHING_KNOWN = result(
    {},
    failed=1,
    evidence=evidence(
        addresses=None, addresses_seen=None, addresses_now=None, connections=None, connections_lost=None
    ),
)


def content_of(result: Result) -> dict[str, Any]:
    return json.loads(json.dumps(resultjson.to_json(result, summary.of(result))))


def check_schema(content: object) -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.validate(content, schema(), cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize("result", [WHOLE, NOTHING_KNOWN], ids=["whole", "nothing known"])
def test_what_is_written_is_read_again(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    content = resultjson.to_json(result, summary.of(result))
    check_schema(json.loads(json.dumps(content)))
    ResultFile(path).write(content)
    again = read(path)
    assert again == result
    assert text.render(again) == text.render(result)
    assert resultjson.to_json(again, summary.of(again)) == content


@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 50), max_size=4),
    st.integers(0, 5),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=10),
    st.text(),
)
def test_any_result_survives_its_file(
    calls: dict[str, int], failed: int, lags: list[int], message: str
) -> None:
    made = result(calls, failed=failed, lag=histogram(*lags), message=message)
    assert resultjson.from_json(content_of(made)) == made


def test_a_result_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LoadgenError, match=r"cannot read .*: No such file"):
        read(tmp_path / "none.json")


def spoil(**changes: object) -> str:
    """Return the file with these keys (a__b for a.b) changed, or taken out where None."""
    content = content_of(WHOLE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(content)


BAD = {
    "empty": ("", "is not JSON, or was cut short"),
    "cut short": (json.dumps(content_of(WHOLE))[:-100], "is not JSON, or was cut short"),
    "another JSON": ('{"a": 1}', 'is not a result: it has no "format"'),
    "a list": ("[1]", 'is not a result: it has no "format"'),
    "another format": (spoil(format="ghz"), 'is not a result: it has no "format"'),
    "newer": (spoil(version=VERSION + 1), f"format version {VERSION + 1}, newer than this loadgen's"),
    "no version": (spoil(version=None), "is not a whole result: data must contain .*version"),
    "version a word": (spoil(version="one"), "is not a whole result: data.version"),
    "a key missing": (spoil(totals__sent=None), "is not a whole result: data.totals must contain"),
    "a wrong type": (spoil(timeline__sent="none"), "is not a whole result: data.timeline.sent"),
    "a negative count": (spoil(totals__sent=-1), "is not a whole result: data.totals.sent"),
    "damaged histogram": (spoil(latency__hdr="HISTFAAAA"), r"is damaged: latency.hdr is no HdrHistogram"),
    "empty histogram": (spoil(lag__hdr=""), r"is damaged: lag.hdr is no HdrHistogram"),
    "damaged backend": (spoil(backends__a__latency__hdr="%%"), r"is damaged: backends.a.latency.hdr"),
    "totals that do not add up": (spoil(totals__sent=99), "is damaged: its counts do not add up"),
    "a warm-up that does not add up": (spoil(warmup__ok=5), "is damaged: its counts do not add up"),
    "an outcome lost": (spoil(outcomes=[]), "is damaged: its counts do not add up"),
    "a plan without target": (spoil(plan={}), "is not a whole result: data.plan must contain"),
    "rows that differ in number": (spoil(timeline__failed=[]), "is damaged: the lists of its timeline"),
    "cells that are none": (spoil(timeline__latency="9999"), "is damaged: timeline.latency is no counts"),
    "a backend's": (
        spoil(timeline__latencies={"a": "9999"}),
        "is damaged: timeline.latencies.a is no counts",
    ),
    "wrong count": (spoil(latency__count=99), r"is damaged: latency.hdr counts 5 values, not 99"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_file_that_is_no_result_is_named_with_the_reason(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(LoadgenError, match=f"bad.json .*{message}") as caught:
        read(path)
    assert caught.value.exit_code == 1
    assert len(caught.value.format_message()) < 1000


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LoadgenError, match="is not JSON"):
        read(path)


def test_keys_of_a_later_version_are_left_alone() -> None:
    content = content_of(WHOLE)
    content["workers"] = 3
    content["timeline"]["more"] = []
    assert resultjson.from_json(content) == WHOLE


def test_a_file_without_what_came_later_is_read() -> None:
    content = content_of(WHOLE)
    for key in ("failures", "latency", "latencies"):
        del content["timeline"][key]
    for backend in content["backends"].values():
        for key in ("address", "known_ns", "connected_ns"):
            del backend[key]
    older = resultjson.from_json(content)
    assert older.timeline.latency == Cells.of([{}])
    assert {backend.address for backend in older.backends.values()} == {None}
    assert text.render(older)


def places(content: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every node of a JSON document."""
    found = [path] if path else []
    entries: Any = ()
    if isinstance(content, dict):
        entries = content.items()
    elif isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        found += places(value, (*path, key))
    return found


CONTENT = content_of(WHOLE)
values = st.sampled_from([None, True, 0, 1, -1, 10**30, 1.5, "", "x", [], [1], {}, {"x": 1}])


@given(st.lists(st.tuples(st.sampled_from(places(CONTENT)), values | st.just("cut")), max_size=3))
def test_a_damaged_file_is_refused_or_can_be_reported(damages: list[tuple[tuple[Any, ...], object]]) -> None:
    content = copy.deepcopy(CONTENT)
    for (*parents, last), value in damages:
        inner: Any = content
        try:
            for parent in parents:
                inner = inner[parent]
            if value == "cut":
                del inner[last]
            else:
                inner[last] = value
        except (KeyError, IndexError, TypeError):
            return  # another damage has taken this place away
    try:
        read_again = resultjson.from_json(content)
    except ValueError:
        return
    text.render(read_again)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


class TestResultFile:
    def test_a_link_stays_and_its_file_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        link = tmp_path / "latest.json"
        link.symlink_to("there/r.json")
        ResultFile(link).write({"a": 1})
        assert link.is_symlink()
        assert json.loads((tmp_path / "there/r.json").read_text("utf-8")) == {"a": 1}
        assert [one.name for one in (tmp_path / "there").iterdir()] == ["r.json"]

    def test_an_older_file_stays_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        path.write_text("old")
        file = ResultFile(path)
        assert path.read_text() == "old"
        file.write({"new": 1})
        assert json.loads(path.read_text()) == {"new": 1}
        file.discard()
        assert names(tmp_path) == ["r.json"]

    def test_nothing_is_left_of_a_run_that_failed(self, tmp_path: Path) -> None:
        file = ResultFile(tmp_path / "r.json")
        file.discard()
        file.discard()
        assert names(tmp_path) == []

    def test_what_cannot_be_written_leaves_the_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        path.write_text("old")
        file = ResultFile(path)
        with pytest.raises(TypeError):
            file.write({"x": object()})
        file.discard()
        assert path.read_text() == "old"

    def test_it_can_be_read_as_any_file_can(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        mask = os.umask(0o027)
        try:
            ResultFile(path).write({})
        finally:
            os.umask(mask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_pipe_is_written_to_and_stays(self, tmp_path: Path) -> None:
        """A device is the same: `-o /dev/null` as root must not replace it. A test must not try that."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            file = ResultFile(path)
            file.write({"a": 1})
            file.discard()
            assert json.loads(os.read(reader, 1000)) == {"a": 1}
        finally:
            os.close(reader)
        assert names(tmp_path) == ["pipe"]
        assert path.is_fifo()

    @pytest.mark.parametrize("name", [".", "no/such/directory/r.json", "file/r.json", "x" * 300])
    def test_a_place_that_takes_no_file_is_found_at_once(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LoadgenError, match="cannot write"):
            ResultFile(tmp_path / name)
        assert names(tmp_path) == ["file"]
