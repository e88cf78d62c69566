"""Services and their methods, from descriptors that are kept apart from this program's own."""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from loadgen.errors import PlanError
from service_proto import service_pb2

FEW = 12  # names that fit into one line
_STANDARD = "google/protobuf/"


@dataclass(frozen=True, slots=True)
class Method:
    """A method that can be called."""

    service: str
    """With its package."""
    name: str
    request: type[Message]
    reply: type[Message]
    pool: DescriptorPool
    """Where all types are found that a message may hold."""
    sends_many: bool = False
    """The client sends a stream of messages."""
    answers_many: bool = False
    """The server does."""

    @property
    def takes(self) -> Descriptor:
        """Return the descriptor of its requests."""
        return cast("Descriptor", self.request.DESCRIPTOR)

    @property
    def call(self) -> str:
        """Return it as `--call` has it."""
        return f"{self.service}/{self.name}"

    @property
    def path(self) -> str:
        """Return it as `:path` has it."""
        return f"/{self.service}/{self.name}"

    @property
    def unary(self) -> bool:
        """One message each way."""
        return not self.sends_many and not self.answers_many

    @property
    def kind(self) -> str:
        """Return it in words."""
        if self.sends_many:
            return "bidi streaming" if self.answers_many else "client streaming"
        return "server streaming" if self.answers_many else "unary"


GET = Method("Service", "Get", service_pb2.Req, service_pb2.Res, descriptor_pool.Default())
"""The article's own: what is called where nothing else is asked for."""


def split(call: str) -> tuple[str, str]:
    """Return service and method of `package.Service/Method`, also with a dot; raises PlanError."""
    text = call.strip().removeprefix("/")
    service, _, method = text.rpartition("/" if "/" in text else ".")
    if not service or not method or "/" in service:
        raise PlanError(f"--call {call}: write package.Service/Method")
    return service, method


def near(wanted: str, known: Iterable[str]) -> str:
    """Return a hint that names what may have been meant, and what there is where that is little."""
    names = sorted(known)
    last = [name for name in names if name.rpartition(".")[2].lower() == wanted.rpartition(".")[2].lower()]
    close = last or difflib.get_close_matches(wanted, names, n=1)
    hint = f": did you mean {close[0]}?" if close else ""
    if not names:
        return f"{hint} (there is none)"
    if len(names) > FEW:
        return hint
    return f"{hint} (there {'is' if len(names) == 1 else 'are'} {', '.join(names)})"


class Descriptors:
    """What a set of .proto files describes, in a pool of its own: names may clash with this program's."""

    def __init__(self, files: Iterable[FileDescriptorProto], source: str) -> None:
        """`source` says where they are from. Raises PlanError where they do not go together."""
        self._files = {file.name: file for file in files}
        self._source = source
        self.pool = DescriptorPool()
        self._added: set[str] = set()
        self._absent: list[str] = []
        for name in self._files:
            self._add(name)

    def _add(self, name: str) -> None:
        if name in self._added:
            return
        self._added.add(name)  # now, so that files that import each other end
        file = self._files.get(name) or _standard(name)
        if file is None:
            # often imported for options only, and then not needed: reflection leaves such files out
            self._absent.append(name)
            file = FileDescriptorProto(name=name)
        for needed in file.dependency:
            self._add(needed)
        try:
            self.pool.AddSerializedFile(file.SerializeToString())
        except (TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            lacking = f", and these files are missing: {', '.join(self._absent)}" if self._absent else ""
            raise PlanError(f"{self._source}: {name} cannot be used ({why}){lacking}") from None

    @cached_property
    def services(self) -> Mapping[str, ServiceDescriptor]:
        """Every service by its full name."""
        found = {}
        for file in self._files.values():
            for service in file.service:
                name = f"{file.package}.{service.name}" if file.package else service.name
                found[name] = self.pool.FindServiceByName(name)
        return dict(sorted(found.items()))

    def methods(self, service: str) -> Iterator[Method]:
        """Give a service's methods in the order of its file."""
        for found in self.services[service].methods:
            yield self._method(found)

    def find(self, call: str) -> Method:
        """Return the method that `--call` names; raises PlanError saying what there is."""
        service, method = split(call)
        check_service(call, service, self.services, self._source)
        methods = self.services[service].methods_by_name
        if method not in methods:
            raise PlanError(f"--call {call}: {service} has no method {method!r}{near(method, methods)}")
        return self._method(methods[method])

    def _method(self, found: MethodDescriptor) -> Method:
        return Method(
            found.containing_service.full_name,
            found.name,
            message_factory.GetMessageClass(found.input_type),
            message_factory.GetMessageClass(found.output_type),
            self.pool,
            sends_many=found.client_streaming,
            answers_many=found.server_streaming,
        )


def check_service(call: str, service: str, known: Iterable[str], source: str) -> None:
    """Raise PlanError where there is no such service."""
    known = list(known)
    if call.strip().strip("/") in known:
        raise PlanError(f"--call {call} is a service: add the name of a method, which loadgen list shows")
    if service not in known:
        raise PlanError(f"--call {call}: {source} has no service {service!r}{near(service, known)}")


def _standard(name: str) -> FileDescriptorProto | None:
    """Return one of the files that come with protobuf, which senders of descriptors may leave out."""
    stem = name.removeprefix(_STANDARD).removesuffix(".proto")
    if not name.startswith(_STANDARD) or not stem.isidentifier():
        return None
    try:
        module = importlib.import_module(f"google.protobuf.{stem}_pb2")
    except ImportError:
        return None
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
