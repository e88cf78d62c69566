"""What users write: durations, rates, connections, metadata."""

import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.parameters import Connections, Duration, Metadata, Rate, Stages, Threshold


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("500ms", 500_000_000),
        ("30s", 30_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5s", 1_500_000_000),
        ("2h", 7_200_000_000_000),
        ("250us", 250_000),
        (" 1s ", 1_000_000_000),
    ],
)
def test_a_duration_is_ns(text: str, nanoseconds: int) -> None:
    assert Duration()(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no duration: write it like 500ms"),
        ("5", "is no duration"),
        ("s", "is no duration"),
        ("nan", "is no duration"),
        ("nans", "is no duration"),
        ("inf", "is no duration"),
        ("1 s", "is no duration"),
        ("1x", "is no duration"),
        ("1s1", "is no duration"),
        ("\N{ARABIC-INDIC DIGIT ONE}x", "is no duration"),
        ("9" * 400 + "h", "is no duration"),
        ("-1s", "is negative"),
        ("-0s", "is negative"),
        ("0s", "is too short"),
    ],
)
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        Duration()(text)


def test_zero_where_it_is_allowed() -> None:
    assert Duration(zero=True)("0s") == 0
    with pytest.raises(click.BadParameter, match="is negative"):
        Duration(zero=True)("-1s")


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        nanoseconds = Duration()(text)
    except click.BadParameter:
        return
    assert nanoseconds > 0


@pytest.mark.parametrize(
    ("text", "rate"), [("200", 200), ("200/s", 200), ("0.5", 0.5), ("1e3", 1000), (300, 300), (0.1, 0.1)]
)
def test_a_rate_is_calls_per_second(text: object, rate: float) -> None:
    assert Rate()(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "-inf", "1e7", "fast", "1/m", "1,5"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no rate: write calls per second"):
        Rate()(text)


@given(st.text() | st.floats().map(str))
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    try:
        rate = Rate()(text)
    except click.BadParameter:
        return
    assert math.isfinite(rate)
    assert 0 < rate <= 1_000_000


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1000", 1000), (3, 3), ("per-call", 0)])
def test_connections(text: object, number: int) -> None:
    assert Connections()(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1001", "1.5", "", "percall", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_number_of_connections(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a number from 1 to 1000 nor per-call"):
        Connections()(text)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("key:value", ("key", "value")),
        ("Key: a b ", ("key", "a b")),
        ("k:", ("k", "")),
        ("k:http://x", ("k", "http://x")),
        ("x_1-2.y:~", ("x_1-2.y", "~")),
        (("k", "v"), ("k", "v")),
    ],
)
def test_metadata(text: object, pair: tuple[str, str]) -> None:
    assert Metadata()(text) == pair


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key", "has no colon: write key:value"),
        ("key=value", "has no colon"),
        (":value", "is no metadata key"),
        (" : v", "is no metadata key"),
        ("a b:v", "is no metadata key"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}:v", "is no metadata key"),
        ("grpc-timeout:1S", "reserved"),
        ("GRPC-x:1", "reserved"),
        ("k:caf\N{LATIN SMALL LETTER E WITH ACUTE}", "not printable ASCII"),
        ("k:a\nb", "not printable ASCII"),
    ],
)
def test_what_is_no_metadata(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        Metadata()(text)


def test_stages_are_converted_once() -> None:
    made = Stages()("30s:100,1m@5.5")
    assert [str(stage) for stage in made] == ["30s:100", "1m@5.5"]
    assert Stages()(made) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no stage: write DURATION:RATE to ramp, DURATION@RATE to step"),
        ("30s", "'30s' is no stage"),
        ("100", "'100' is no stage"),
        ("30s:100,", "'' is no stage"),
        ("30s:100;1m:5", "'30s:100;1m:5' is no stage"),
        ("30s:1:2", "'30s:1:2' is no stage"),
        ("30s:@5", "'30s:@5' is no stage"),
        ("30:100", "'30' in '30:100' is no duration"),
        (":100", "'' in ':100' is no duration"),
        ("soon:100", "'soon' in 'soon:100' is no duration"),
        ("0s:100", "'0s:100' takes no time: for a jump in the rate write @"),
        ("0s@100", "takes no time"),
        ("1m:5,-30s:100", "'-30s:100' goes back in time"),
        ("30s:", "'' is no rate: write calls per second, from 0 up to 1000000"),
        ("30s:fast", "'fast' is no rate"),
        ("30s:-5", "'-5' is no rate"),
        ("30s:nan", "'nan' is no rate"),
        ("30s:inf", "'inf' is no rate"),
        ("30s:1000001", "'1000001' is no rate"),
        ("30s:0,1m@0", "makes no call: its rate never rises above 0"),
    ],
)
def test_what_are_no_stages(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        Stages()(text)


def test_a_threshold_is_converted_once() -> None:
    made = Threshold()("p99 < 50ms")
    assert str(made) == "p99<50ms"
    assert Threshold()(made) == made
    with pytest.raises(click.BadParameter, match="'q99' is no metric: did you mean p99"):
        Threshold()("q99<50ms")
