"""`loadgen run --call` against a server of another implementation: grpc-go, built here."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.command import PATIENCE, loadgen, run
from tests.unit.shop import SHOP, descriptor_set

SOURCE = Path(__file__).parents[1] / "go"
HEALTH, REFLECTION = "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here (go is not on PATH)")
    made = tmp_path_factory.mktemp("go") / "shop"
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-o", str(made), "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode and any(word in done.stderr for word in ("dial tcp", "proxy", "requires go >=")):
        pytest.skip(f"Go cannot get its modules here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def targets(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Start two servers and give their addresses."""
    path = tmp_path_factory.mktemp("set") / "shop.protoset"
    path.write_bytes(descriptor_set().SerializeToString())
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            process = stack.enter_context(
                subprocess.Popen(
                    [str(program), "-set", str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.wait, PATIENCE)
            assert process.stdin
            stack.callback(process.stdin.close)
            assert process.stdout
            found.append(process.stdout.readline().strip())
        yield found


@pytest.mark.timeout(700)
class TestGo:
    def test_health(self, targets: list[str]) -> None:
        content = run(targets[0], "--call", f"{HEALTH}/Check", "-n", "50", "-c", "5")
        assert content["backends"][targets[0]]["ok"] == 50

    def test_watch(self, targets: list[str]) -> None:
        content = run(targets[0], "--call", f"{HEALTH}/Watch", "-n", "3", "--stream-cancel-after", "100ms")
        assert (content["totals"]["ok"], content["messages"]) == (3, {"out": 3, "in": 3})

    def test_reflection(self, targets: list[str]) -> None:
        content = run(targets[0], "--call", REFLECTION, "-n", "5", "-d", '[{"list_services": "*"}]')
        assert (content["totals"]["ok"], content["messages"]) == (5, {"out": 5, "in": 5})

    @pytest.mark.parametrize(
        ("method", "data", "sent", "received"),
        [
            ("Echo", '{"name": "{{uuid}}", "prices": {"eur": {"units": "3"}}}', 1, 1),
            ("Add", '[{}, {"big": "{{number}}"}, {}]', 3, 1),
            ("List", '{"count": 4}', 1, 4),
            ("Chat", '[{}, {"colour": "COLOUR_RED"}]', 2, 2),
        ],
    )
    def test_each_kind(self, method: str, data: str, sent: int, received: int, targets: list[str]) -> None:
        content = run(
            f"ipv4:{','.join(targets)}",
            *("--call", f"{SHOP}/{method}", "-d", data, "-n", "40", "-c", "4", "--lb-policy", "round_robin"),
        )
        assert content["messages"] == {"out": 40 * sent, "in": 40 * received}
        assert {name: one["ok"] for name, one in content["backends"].items()} == dict.fromkeys(targets, 20)

    def test_list(self, targets: list[str]) -> None:
        listed = loadgen("list", targets[0]).out
        assert f"{SHOP}/Chat" in listed
        assert REFLECTION in listed
