"""The service of the article, and its generated modules."""

import struct
import subprocess
import sys
from pathlib import Path

from service_proto import orca_pb2, orca_service_pb2, service_pb2

PROTO = Path(__file__).parents[2] / "proto"
NAMES = ("service", "orca", "orca_service")


def test_the_generated_modules_are_current(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-Iservice_proto={PROTO}"),
            *(
                f"--python_out={tmp_path}",
                f"--pyi_out={tmp_path}",
                *(f"service_proto/{name}.proto" for name in NAMES),
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.name: path.read_text() for path in (tmp_path / "service_proto").iterdir()}
    assert set(made) == {f"{name}_pb2.{kind}" for name in NAMES for kind in ("py", "pyi")}
    for name, text in made.items():
        assert (PROTO / "service_proto" / name).read_text() == text, "run: make proto"


def test_it_is_the_articles_service_on_the_wire() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["Service"]
    assert service.full_name == "Service"  # no package: /Service/Get
    assert [method.name for method in service.methods] == ["Get"]
    assert service_pb2.Req().SerializeToString() == b""
    assert service_pb2.Res(id="ab").SerializeToString() == b"\x0a\x02ab"


def test_load_reports_are_those_of_xds_on_the_wire() -> None:
    report = orca_pb2.OrcaLoadReport(
        cpu_utilization=1, rps_fractional=2, eps=3, application_utilization=4
    ).SerializeToString()
    one, two, three, four = (struct.pack("<d", number) for number in (1, 2, 3, 4))
    assert report == b"\x09" + one + b"\x31" + two + b"\x39" + three + b"\x49" + four
    (service,) = orca_service_pb2.DESCRIPTOR.services_by_name.values()
    assert service.full_name == "xds.service.orca.v3.OpenRcaService"
    (method,) = service.methods
    assert (method.name, method.output_type.full_name) == (
        "StreamCoreMetrics",
        "xds.data.orca.v3.OrcaLoadReport",
    )
    assert method.input_type.fields_by_name["report_interval"].number == 1
