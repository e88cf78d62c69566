"""What is distributed."""

import email
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = directory.iterdir()
    return wheel


def test_it_ships_the_load_generator_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "loadgen",
        "service_proto",
    }
    assert {
        "loadgen/py.typed",
        "loadgen/result.schema.json",
        "service_proto/service_pb2.py",
        "service_proto/service_pb2.pyi",
    } <= set(names)
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "loadgen").rglob("*.py")}
    assert sources <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_it_has_the_command_the_licence_and_no_server(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    (info,) = {name.partition("/")[0] for name in files.namelist() if ".dist-info/" in name}
    metadata = email.message_from_bytes(files.read(f"{info}/METADATA"))
    assert b"loadgen = loadgen.cli:main" in files.read(f"{info}/entry_points.txt")
    assert f"{info}/licenses/LICENSE" in files.namelist()
    needed = [line.partition(">")[0] for line in metadata.get_all("Requires-Dist", [])]
    assert "grpcio" in needed
    assert not {"structlog", "prometheus-client", "dnslib", "grpcio-health-checking"} & set(needed)


def test_it_works_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import loadgen.cli, service_proto.service_pb2;"
        "print(loadgen.__file__); print(service_proto.__file__); loadgen.cli.cli(['schema'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, *schema = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/")
    assert second.startswith(f"{tmp_path}/")
    assert json.loads("".join(schema)) == json.loads((ROOT / "loadgen/result.schema.json").read_text())
