"""Where to call."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import PlanError
from loadgen.target import DnsName, Target, Uri
from service_proto.service_pb2 import Req


@pytest.mark.parametrize(
    ("text", "uri", "name", "literal"),
    [
        ("server:9090", "dns:///server:9090", DnsName("", "server", 9090), ()),
        (" server:9090 ", "dns:///server:9090", DnsName("", "server", 9090), ()),
        ("dns:server:1", "dns:///server:1", DnsName("", "server", 1), ()),
        ("dns:///a.b.:65535", "dns:///a.b.:65535", DnsName("", "a.b.", 65535), ()),
        ("dns://127.0.0.1:53/a:9090", "dns://127.0.0.1:53/a:9090", DnsName("127.0.0.1:53", "a", 9090), ()),
        ("dns://[::1]:5/a:9", "dns://[::1]:5/a:9", DnsName("[::1]:5", "a", 9), ()),
        ("127.0.0.1:9090", "dns:///127.0.0.1:9090", None, ("127.0.0.1:9090",)),
        ("[::1]:9090", "dns:///[::1]:9090", None, ("[::1]:9090",)),
        ("ipv4:1.2.3.4:5,1.2.3.5:5", "ipv4:1.2.3.4:5,1.2.3.5:5", None, ("1.2.3.4:5", "1.2.3.5:5")),
        ("ipv6:[::1]:5", "ipv6:[::1]:5", None, ("[::1]:5",)),
        ("unix:/run/x.sock", "unix:/run/x.sock", None, ()),
        ("xds:///server", "xds:///server", None, ()),
    ],
)
def test_a_target(text: str, uri: str, name: DnsName | None, literal: tuple[str, ...]) -> None:
    assert Uri.parse(text) == Uri(uri, name, literal)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no port: write HOST:PORT"),
        ("server", "has no port: write server:PORT"),
        ("::1", "has no port: write ::1:PORT"),
        ("dns:///server", "has no port: write server:PORT"),
        ("server:", "'' is no port (1 to 65535)"),
        ("server:grpc", "'grpc' is no port"),
        ("server:0", "'0' is no port"),
        ("server:65536", "'65536' is no port"),
        ("server:-1", "'-1' is no port"),
        (":9090", "'' is no host name"),
        ("a b:9090", "'a b' is no host name"),
        ("a/b:9090", "'a/b' is no host name"),
        ("http://server:9090/", "is a web address: write server:9090"),
        ("https://server:9090", "is a web address: write server:9090"),
        ("tcp://server:9090", "has an unknown scheme: gRPC knows dns, ipv4"),
        ("ipv4:", "names nothing behind ipv4:"),
        ("unix:", "names nothing behind unix:"),
    ],
)
def test_what_is_no_target(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)) as caught:
        Uri.parse(text)
    assert caught.value.exit_code == 2


@given(st.text() | st.text("dns:/ipv46[].,0129 \n"))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        uri = Uri.parse(text)
    except PlanError:
        return
    assert uri.text
    if uri.name is not None:
        assert uri.name.host
        assert 0 < uri.name.port < 65536


def test_every_call_sends_the_same_objects() -> None:
    target = Target(Uri.parse("x:1"), metadata=(("a", "b"),))
    first, second = target.request(0), target.request(1)
    assert first[0] is second[0]
    assert first[1] is second[1]
    assert isinstance(first[0], bytes)
    assert Req.FromString(first[0]) == Req()
    assert target.method.path == "/Service/Get"
