import re
import sys
from contextlib import suppress
from fractions import Fraction

import pytest
from click import BadParameter
from hypothesis import given
from hypothesis import strategies as st

from server.cli import main
from server.parameters import Duration, Ratio, Size

WRONG = {
    "--port": ["x", "-1", "65536", "9090.5", "tcp://10.0.0.1:9090"],
    "--metrics-port": ["x", "-1", "65536"],
    "--health-port": ["x", "-1", "65536"],
    "--host": ["", " ", "ö"],
    "--name": ["", "  ", "ü", "a\nb", "a" * 254],
    "--address": ["", "é"],
    "--delay": [
        "-1s",
        "1",
        "nan",
        "NaNs",
        "inf",
        "1.2.3s",
        "1s or 2s",
        "s",
        "",
        "2h",
        "1e3s",
        "1y",
    ],
    "--slots": ["-1", "1.5", "nan", "1000001"],
    "--error-ratio": ["-0.1", "1.1", "nan", "inf", "x", "1/3", "1e-999999", "0.1234567891"],
    "--stall-every": ["0s", "25h"],
    "--stall-for": ["-5s", "5"],
    "--memory-per-call": ["0", "-1Mi", "lots", "", "1K", "1mi", "1 Mi", "1e6", "2Ti", "1" * 5000, "٣Mi"],
    "--memory-hold": ["0s", "25h", "30"],
    "--memory-max": ["0Ki", "inf", "nan", "1Mi or 2Mi", "1Pi"],
    "--max-connection-age": ["0s", "500us", "99999999999999999999h"],
    "--max-connection-age-grace": ["-1s"],
    "--drain-delay": ["61m", "one"],
    "--drain-timeout": ["61m", "٣s"],
    "--log-level": ["loud"],
}
COMBINATIONS = [
    ["--stall-every", "5s"],
    ["--stall-for", "1s"],
    ["--stall-every", "1s", "--stall-for", "1s"],
    ["--memory-per-call", "1Mi"],
    ["--memory-hold", "1s"],
    ["--memory-max", "1Gi"],
    ["--memory-max", "1Mi", "--memory-per-call", "2Mi", "--memory-hold", "1s"],
    ["--max-connection-age-grace", "1s"],
    ["--port", "9090", "--metrics-port", "9090"],
    ["--unknown"],
    ["argument"],
    ["--port"],
]


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """Run it; the only line on stderr of what must be a usage error."""
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    assert exit_.value.code == 2
    assert out == ""
    assert re.fullmatch(r"Error: .+\n", err)
    return err


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, values in WRONG.items() for v in values])
def test_a_wrong_value_is_one_line_that_names_it(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["server", option, value])
    assert option in error(capsys)


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_variable_is_one_line_that_names_it(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variable = "SERVER_" + option[2:].upper().replace("-", "_")
    monkeypatch.setattr(sys, "argv", ["server"])
    monkeypatch.setenv(variable, WRONG[option][-1])
    assert variable in error(capsys)


@pytest.mark.parametrize("arguments", COMBINATIONS, ids=" ".join)
def test_options_that_do_not_fit_are_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["server", *arguments])
    assert arguments[0] in error(capsys)


def test_help_tells_each_options_default_and_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["server", "--help"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for option in WRONG:
        assert option in text
        assert "SERVER_" + option[2:].upper().replace("-", "_") in text


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_a_duration_is_the_sum_of_its_parts(h: int, m: int, s: int, us: int) -> None:
    seconds = (h * 60 + m) * 60 + s
    read = Duration().convert(f"{h}h{m}m{s}s{us}us", None, None)
    assert read == (seconds * 1_000_000 + us) * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("250ms", 250_000_000),
        ("1m30s", 90 * 10**9),
        ("1.5h", 5400 * 10**9),
        (".5s", 5 * 10**8),
    ],
)
def test_durations_are_written_as_in_go(text: str, expected: int) -> None:
    assert Duration().convert(text, None, None) == expected


@given(st.text("0123456789.hmsuµn+- ", max_size=8) | st.text(max_size=20))
def test_a_text_is_a_duration_in_bounds_or_refused(text: str) -> None:
    with suppress(BadParameter):
        assert 0 <= Duration().convert(text, None, None) <= 24 * 3600 * 10**9


@given(st.integers(0, 10**9))
def test_a_ratio_is_exact(billionths: int) -> None:
    ratio = Ratio().convert(f"{billionths / 10**9:.9f}", None, None)
    assert ratio == Fraction(billionths, 10**9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("225KiB", 225 * 1024),
        ("64Mi", 64 * 1024**2),
        ("1.5Gi", 3 * 512 * 1024**2),
        ("1Ti", 1024**4),
        ("2k", 2000),
        ("3MB", 3_000_000),
        ("1G", 10**9),
        ("0.3Ki", 308),
        ("7B", 7),
    ],
)
def test_sizes_are_written_as_in_kubernetes(text: str, expected: int) -> None:
    assert Size().convert(text, None, None) == expected


@given(st.text("0123456789.kKMGTi B+-", max_size=8) | st.text(max_size=20))
def test_a_text_is_a_size_in_bounds_or_refused(text: str) -> None:
    with suppress(BadParameter):
        assert 1 <= Size().convert(text, None, None) <= 1024**4
