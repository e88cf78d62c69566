"""Services and methods, from files and from names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from loadgen import protofiles
from loadgen.descriptors import GET, Descriptors, near, split
from loadgen.errors import PlanError
from tests.unit.shop import PROTOS, SHOP, SOURCE, descriptor_set, shop


@pytest.mark.parametrize("call", [f"{SHOP}/Echo", f"{SHOP}.Echo", f"/{SHOP}/Echo", f" {SHOP}/Echo "])
def test_how_a_method_is_named(call: str) -> None:
    assert split(call) == (SHOP, "Echo")
    found = shop().find(call)
    assert (found.path, found.call, found.kind) == (f"/{SHOP}/Echo", f"{SHOP}/Echo", "unary")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("Echo", "--call Echo: write package.Service/Method"),
        ("", "write package.Service/Method"),
        ("/", "write package.Service/Method"),
        ("a/b/c", "write package.Service/Method"),
        ("shop.v1.Shop/", "write package.Service/Method"),
        ("shop.v1.Shop", "--call shop.v1.Shop is a service: add the name of a method"),
        ("/shop.v1.Shop", "is a service: add the name of a method"),
        ("Shop/Echo", "no service 'Shop': did you mean shop.v1.Shop? (there is shop.v1.Shop)"),
        ("shop.v1.Shops/Echo", "did you mean shop.v1.Shop?"),
        ("zzz/Echo", "shop.proto has no service 'zzz' (there is shop.v1.Shop)"),
        ("shop.v1.Shop/echo", "no method 'echo': did you mean Echo? (there are Add, Chat, Echo, List)"),
        ("shop.v1.Shop/Remove", "has no method 'Remove' (there are Add, Chat, Echo, List)"),
    ],
)
def test_what_names_no_method(call: str, says: str) -> None:
    with pytest.raises(PlanError, match=re.escape(says)):
        shop().find(call)


def test_many_names_are_not_listed() -> None:
    many = [f"service{number}" for number in range(50)]
    assert near("servic7", many) == ": did you mean service7?"
    assert near("x", many) == ""
    assert near("x", []) == " (there is none)"


def test_kinds() -> None:
    assert {method.name: method.kind for method in shop().methods(SHOP)} == {
        "Echo": "unary",
        "Add": "client streaming",
        "List": "server streaming",
        "Chat": "bidi streaming",
    }
    assert GET.unary


def test_a_file_that_clashes_with_our_own() -> None:
    """A user's service.proto may describe another Res: it must not meet ours."""
    file = FileDescriptorProto(name="service_proto/service.proto", syntax="proto3")
    file.message_type.add(name="Res").field.add(name="other", number=1, type=9, label=1)
    file.message_type.add(name="Req")
    file.service.add(name="Service").method.add(name="Get", input_type=".Req", output_type=".Res")
    found = Descriptors([file], "x").find("Service/Get")
    assert [field.name for field in found.reply.DESCRIPTOR.fields] == ["other"]
    assert [field.name for field in GET.reply.DESCRIPTOR.fields] == ["id"]


def test_an_import_that_is_missing_and_not_needed() -> None:
    file = FileDescriptorProto(name="a.proto", dependency=["options/http.proto"])
    file.message_type.add(name="M")
    file.service.add(name="S").method.add(name="Do", input_type=".M", output_type=".M")
    assert Descriptors([file], "x").find("S/Do").path == "/S/Do"


def test_an_import_that_is_missing_and_needed() -> None:
    files = [file for file in descriptor_set().file if file.name != "shop/v1/money.proto"]
    with pytest.raises(PlanError, match=r"these files are missing: shop/v1/money.proto") as caught:
        Descriptors(files, "x")
    assert "\n" not in caught.value.message


def test_files_of_protobuf_may_be_left_out_and_come_in_any_order() -> None:
    files = [file for file in reversed(descriptor_set().file) if not file.name.startswith("google/")]
    assert Descriptors(files, "x").find(f"{SHOP}/Echo")


class TestFiles:
    def test_none(self) -> None:
        assert protofiles.descriptors((), (), ()) is None

    @pytest.mark.parametrize(
        ("source", "paths"),
        [
            ("shop/v1/shop.proto", [str(PROTOS)]),
            (str(SOURCE), [str(PROTOS)]),
            ("shop.proto", [str(SOURCE.parent), str(PROTOS)]),
        ],
    )
    def test_a_proto_file(self, source: str, paths: list[str]) -> None:
        found = protofiles.descriptors([source], paths, ())
        assert found is not None
        assert list(found.services) == [SHOP]

    def test_its_own_folder_is_looked_in(self, tmp_path: Path) -> None:
        (tmp_path / "b.proto").write_text('syntax = "proto3"; message B {}')
        (tmp_path / "a.proto").write_text(
            'syntax = "proto3"; import "b.proto"; import "google/protobuf/empty.proto";'
            " service S { rpc Do(B) returns (google.protobuf.Empty); }"
        )
        found = protofiles.descriptors([str(tmp_path / "a.proto")], (), ())
        assert found is not None
        assert found.find("S/Do").reply.DESCRIPTOR.full_name == "google.protobuf.Empty"

    def test_relative_to_where_it_is_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.proto").write_text(
            'syntax = "proto3"; message M {} service S { rpc Do(M) returns (M); }'
        )
        monkeypatch.chdir(tmp_path)
        assert protofiles.descriptors(["a.proto"], (), ()) is not None

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (
                'syntax = "proto3";\nmessage M {\n  strin x = 1;\n}\n',
                '/a.proto:3:3: "strin" is not def',
            ),
            ("nonsense", "/a.proto:1:1: "),
            (
                'syntax = "proto3";\nimport "no/such.proto";\n',
                "/a.proto:2:1 imports no/such.proto, which was not found: name its folder with -I",
            ),
        ],
    )
    def test_one_that_does_not_compile(self, text: str, says: str, tmp_path: Path) -> None:
        (tmp_path / "a.proto").write_text(text)
        with pytest.raises(PlanError, match=re.escape(says)) as caught:
            protofiles.descriptors([str(tmp_path / "a.proto")], (), ())
        assert "\n" not in caught.value.message

    def test_one_that_is_not_there(self) -> None:
        with pytest.raises(PlanError, match=r"--proto: there is no file no/such.proto"):
            protofiles.descriptors(["no/such.proto"], (), ())

    def test_without_a_compiler(self, tmp_path: Path) -> None:
        (tmp_path / "a.proto").write_text('syntax = "proto3"; message M {}')
        script = (
            "import sys; sys.modules['grpc_tools'] = None\n"
            "import importlib.util; importlib.util.find_spec = lambda name: None\n"
            "from loadgen import protofiles\n"
            "protofiles.descriptors(['a.proto'], (), ())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "--proto needs protoc: install grpc-spread's extra proto" in done.stderr

    @pytest.mark.parametrize("content", [b"", b"\xff\xff", b'syntax = "proto3";', b"\x0a\x00"])
    def test_what_is_no_descriptor_set(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "set"
        path.write_bytes(content)
        with pytest.raises(PlanError, match=r"set is no descriptor set: make one with protoc"):
            protofiles.descriptors((), (), [str(path)])

    def test_a_descriptor_set_that_is_not_there(self) -> None:
        with pytest.raises(PlanError, match=r"--protoset: cannot read no/such: No such file or directory"):
            protofiles.descriptors((), (), ["no/such"])

    def test_a_descriptor_set_without_imports(self, tmp_path: Path) -> None:
        path = tmp_path / "set"
        (file,) = [one for one in descriptor_set().file if one.name.endswith("shop.proto")]
        path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
        with pytest.raises(PlanError, match=r"these files are missing: shop/v1/money.proto"):
            protofiles.descriptors((), (), [str(path)])
