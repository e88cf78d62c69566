"""Plan files."""

from pathlib import Path

import pytest

from loadgen.errors import LoadgenError, PlanError
from loadgen.planfile import read

KNOWN = ["target", "total", "lb_policy", "metadata", "timeout"]


def content(tmp_path: Path, text: str | bytes) -> dict[str, object]:
    path = tmp_path / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, KNOWN)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("{}", {}),
        ("total: 3\nlb_policy: round_robin\n", {"total": 3, "lb_policy": "round_robin"}),
        ("total: null\ntimeout: 1s", {"timeout": "1s"}),
        ("metadata: ['a:b', 'c:d']", {"metadata": ["a:b", "c:d"]}),
    ],
)
def test_keys_and_values(tmp_path: Path, text: str, values: dict[str, object]) -> None:
    assert content(tmp_path, text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("totl: 3", "unknown key 'totl': did you mean total?"),
        ("lb-policy: x", "unknown key 'lb-policy': did you mean lb_policy?"),
        ("zzz: 3", "unknown key 'zzz'$"),
        ("1: 3", "unknown key 1$"),
        ("true: 3", "unknown key True$"),
        ("- total", "no list of keys and values"),
        ("total", "no list of keys and values"),
        ("a: [", "is not YAML"),
        ("!!python/object:os.system {}", "is not YAML"),
        ("a: b: c", "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"a: \x00", "is not YAML"),
    ],
)
def test_what_is_no_plan_file(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        content(tmp_path, text)
    assert "\n" not in caught.value.message
    assert "plan.yaml" in caught.value.message


def test_a_plan_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LoadgenError, match=r"cannot read the plan file .*: No such file"):
        read(tmp_path / "none.yaml", KNOWN)
    with pytest.raises(LoadgenError, match=r"cannot read the plan file .*: Is a directory"):
        read(tmp_path, KNOWN)
