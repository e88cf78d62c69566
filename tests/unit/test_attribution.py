"""Who answered a call."""

import re

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_channelz.v1.channelz_pb2 import Channel, GetChannelResponse

from loadgen.attribution import FromField, FromMetadata, parse
from loadgen.errors import PlanError
from service_proto.service_pb2 import Res


def test_a_field_of_the_reply() -> None:
    source = parse("field:id", Res)
    assert not source.needs_metadata
    assert source.name(Res(id="a").SerializeToString(), ()) == "a"
    assert source.name(b"", ()) == ""
    assert source.name(None, (("id", "x"),)) == ""


def test_a_field_of_a_field() -> None:
    reply = GetChannelResponse(channel=Channel())
    reply.channel.ref.channel_id = 42
    assert parse("field:channel.ref.channel_id", GetChannelResponse).name(
        reply.SerializeToString(), ()
    ) == "42"  # fmt: skip


def test_a_number_is_a_name_too() -> None:
    assert parse("field:seconds", Timestamp).name(Timestamp(seconds=7).SerializeToString(), ()) == "7"


def test_a_key_of_the_metadata() -> None:
    source = parse("metadata:Replica-Id", Res)
    assert source.needs_metadata
    assert source.name(None, (("other", "x"), ("replica-id", "a"))) == "a"
    assert source.name(b"", (("replica-id", "initial"), ("replica-id", "trailing"))) == "trailing"
    assert source.name(b"", (("replica-id", b"caf\xc3\xa9"),)) == "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    assert source.name(b"", (("replica-id", b"\xff"),)) == "\N{REPLACEMENT CHARACTER}"
    assert source.name(b"", ()) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("field:name", "Res has no field 'name'; its fields: id"),
        ("field:id.x", "'id' is not a single value"),
        ("field:", "write field:NAME or metadata:KEY"),
        ("metadata:", "write field:NAME or metadata:KEY"),
        ("id", "write field:NAME or metadata:KEY"),
        ("header:x", "write field:NAME or metadata:KEY"),
        ("", "write field:NAME or metadata:KEY"),
    ],
)
def test_what_names_no_backend(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)):
        parse(text, Res)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("field", "is not a single value"),  # repeated
        ("options", "is not a single value"),  # a message
        ("options.nothing", "has no field 'nothing'"),
        ("options.map_entry.x", "is not a single value"),
    ],
)
def test_a_field_that_is_no_single_value(path: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        FromField(path, DescriptorProto)
    assert FromField("options.java_package", FileDescriptorProto)


def test_a_reply_that_is_no_such_message() -> None:
    with pytest.raises(Exception, match=r"."):
        parse("field:id", Res).name(b"\xff\xff", ())


def test_keys_are_lower_case_on_the_wire() -> None:
    assert FromMetadata("X-POD").name(None, (("x-pod", "p"),)) == "p"
