"""The service of the article, and its generated modules."""

import subprocess
import sys
from pathlib import Path

from service_proto import service_pb2

PROTO = Path(__file__).parents[2] / "proto"


def test_the_generated_modules_are_current(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-Iservice_proto={PROTO}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "service_proto/service.proto"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.name: path.read_text() for path in (tmp_path / "service_proto").iterdir()}
    assert set(made) == {"service_pb2.py", "service_pb2.pyi"}
    for name, text in made.items():
        assert (PROTO / "service_proto" / name).read_text() == text, "run: make proto"


def test_it_is_the_articles_service_on_the_wire() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["Service"]
    assert service.full_name == "Service"  # no package: /Service/Get
    assert [method.name for method in service.methods] == ["Get"]
    assert service_pb2.Req().SerializeToString() == b""
    assert service_pb2.Res(id="ab").SerializeToString() == b"\x0a\x02ab"
