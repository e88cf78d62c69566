"""Descriptors from files: `.proto` sources, compiled by protoc, and its descriptor sets."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from loadgen.descriptors import Descriptors
from loadgen.errors import PlanError


def descriptors(
    sources: Sequence[str], import_paths: Sequence[str], sets: Sequence[str]
) -> Descriptors | None:
    """Return what the files describe, None where there is no file; raises PlanError naming file and line."""
    if not sources and not sets:
        return None
    files = [file for path in sets for file in _read(Path(path)).file]
    if sources:
        files += _compile(sources, import_paths).file
    return Descriptors(files, ", ".join([*sources, *sets]))


def _read(path: Path) -> FileDescriptorSet:
    try:
        found = FileDescriptorSet.FromString(path.read_bytes())
    except OSError as error:
        raise PlanError(f"--protoset: cannot read {path}: {error.strerror}") from None
    except DecodeError:
        found = FileDescriptorSet()
    if not any(file.name for file in found.file):
        raise PlanError(
            f"--protoset: {path} is no descriptor set: make one with"
            " protoc --include_imports --descriptor_set_out=FILE"
        )
    return found


def _compiler() -> list[str]:
    """Return the command of protoc: that of grpcio-tools, or one on PATH."""
    if importlib.util.find_spec("grpc_tools") is not None:
        # it finds protobuf's own files only where it is told of them
        included = Path(str(importlib.util.find_spec("grpc_tools").origin)).parent / "_proto"  # type: ignore[union-attr]
        return [sys.executable, "-m", "grpc_tools.protoc", f"-I{included}"]
    found = shutil.which("protoc")
    if found is None:
        raise PlanError(
            "--proto needs protoc: install grpc-spread's extra proto (pip install 'grpc-spread[proto]'), or"
            " give --protoset, a descriptor set made elsewhere"
        )
    return [found]


def _compile(sources: Sequence[str], import_paths: Sequence[str]) -> FileDescriptorSet:
    command = _compiler()
    for source in sources:
        if not any(Path(folder, source).is_file() for folder in (".", *import_paths)):
            raise PlanError(f"--proto: there is no file {source}{' there' if import_paths else ''}")
    # protoc wants every source below an import path: its own folder comes last, to name nothing anew
    folders = [Path(folder) for folder in import_paths]
    for source in sources:
        path = Path(source)
        if path.is_file() and not any(path.absolute().is_relative_to(one.absolute()) for one in folders):
            folders.append(path.parent)
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory, "set")
        done = subprocess.run(
            [
                *command,
                *(f"-I{folder}" for folder in folders),
                "--include_imports",
                f"--descriptor_set_out={made}",
                *sources,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PlanError(f"--proto: {_complaint(done.stderr)}")
        return FileDescriptorSet.FromString(made.read_bytes())


def _complaint(text: str) -> str:
    """Return the first error of protoc, which names file, line and column."""
    lines = [line for line in text.splitlines() if line.strip() and ": warning:" not in line]
    absent = [line for line in lines if "File not found" in line]
    if absent:
        importer = next((line.partition(": ")[0] for line in lines if "was not found" in line), "")
        name = absent[0].partition(":")[0]
        by = f"{importer} imports {name}, which" if importer else name
        return f"{by} was not found: name its folder with -I"
    placed = [line for line in lines if re.search(r":\d+:\d+: ", line)]  # the rest is what its libraries log
    return next(iter([*placed, *lines]), "protoc failed without a word")
