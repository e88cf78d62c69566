"""What of a Service's slices can be called."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.endpoints import MalformedError, Port, Slice, Slices

GRPC = Port(9090, "grpc")


def one(name: str = "a", *endpoints: Any, family: str = "IPv4", ports: Any = ...) -> dict[str, Any]:
    given = [{"name": "grpc", "port": 9090, "protocol": "TCP"}] if ports is ... else ports
    return {"metadata": {"name": name}, "addressType": family, "ports": given, "endpoints": list(endpoints)}


def ready(address: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


@pytest.mark.parametrize(
    ("content", "port", "expected"),
    [
        (one("a", ready("10.0.0.1")), GRPC, {"10.0.0.1:9090"}),
        (one("a", {"addresses": ["10.0.0.1"]}), GRPC, {"10.0.0.1:9090"}),
        (one("a", {"addresses": ["10.0.0.1"], "conditions": None}), GRPC, {"10.0.0.1:9090"}),
        (one("a", ready("10.0.0.1", ready=False)), GRPC, set()),
        (one("a", ready("10.0.0.1", ready=True, terminating=True)), GRPC, set()),
        (one("a", ready("10.0.0.1", ready=False, serving=True, terminating=True)), GRPC, set()),
        (one("a", {"addresses": ["10.0.0.1", "10.0.0.9"]}), GRPC, {"10.0.0.1:9090"}),
        (one("a", ready("fd00:0::1"), family="IPv6"), GRPC, {"[fd00::1]:9090"}),
        (one("a", ready("web.example"), family="FQDN"), GRPC, set()),
        (one("a", ready("10.0.0.1"), ports=[{"name": "grpc", "port": 1}]), GRPC, {"10.0.0.1:1"}),
        (one("a", ready("10.0.0.1"), ports=[{"name": "web", "port": 9090}]), GRPC, set()),
        (one("a", ready("10.0.0.1"), ports=[{"port": 1}]), Port(80, ""), {"10.0.0.1:1"}),
        (one("a", ready("10.0.0.1"), ports=[{"name": "web", "port": 80}]), Port(80, None), {"10.0.0.1:80"}),
        (one("a", ready("10.0.0.1"), ports=[{"name": "web", "port": 81}]), Port(80, None), set()),
        (one("a", ready("10.0.0.1"), ports=[{"name": "grpc"}]), GRPC, {"10.0.0.1:9090"}),  # all ports
        (one("a", ready("10.0.0.1"), ports=[]), Port(80, None), {"10.0.0.1:80"}),
        (one("a", ready("10.0.0.1"), ports=None), GRPC, {"10.0.0.1:9090"}),
        (one("a", ready("10.0.0.1"), ports=[{"name": "grpc", "port": 1, "protocol": "UDP"}]), GRPC, set()),
        ({**one("a"), "endpoints": None}, GRPC, set()),
    ],
)
def test_addresses_of_a_slice(content: dict[str, Any], port: Port, expected: set[str]) -> None:
    assert Slice.read(content).addresses(port) == expected


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        [],
        {},
        {"metadata": {}},
        {"metadata": {"name": "a"}},
        one("a", 7),
        one("a", {}),
        one("a", {"addresses": []}),
        one("a", ready("nowhere")),
        one("a", ready("fd00::1")),
        one("a", ready("10.0.0.1"), ports=[{"name": "grpc", "port": "web"}]),
        one("a", ready("10.0.0.1"), ports=[7]),
        one("a", {"addresses": ["10.0.0.1"], "conditions": 7}),
    ],
)
def test_what_is_malformed(content: Any) -> None:
    slices = Slices()
    slices.apply("ADDED", one("a", ready("10.0.0.1")))
    for kind in ("ADDED", "MODIFIED"):
        with pytest.raises(MalformedError):
            slices.apply(kind, content)
    assert slices.addresses(GRPC) == ("10.0.0.1:9090",)


def test_unknown_and_nameless_events() -> None:
    slices = Slices()
    slices.apply("DELETED", one("never there"))
    for kind, content in (("BOOKMARK", one()), ("DELETED", {}), ("DELETED", None)):
        with pytest.raises(MalformedError):
            slices.apply(kind, content)


@pytest.mark.parametrize(
    ("ports", "number", "expected"),
    [
        ([{"name": "grpc", "port": 80}], 80, Port(80, "grpc")),
        ([{"port": 80}], 80, Port(80, "")),
        ([{"name": "grpc", "port": 80}], 81, Port(81, None)),
        (
            [{"name": "dns", "port": 80, "protocol": "UDP"}, {"name": "grpc", "port": 80}],
            80,
            Port(80, "grpc"),
        ),
        (None, 80, Port(80, None)),
    ],
)
def test_the_service_s_port(ports: Any, number: int, expected: Port) -> None:
    assert Port.of({"spec": {"ports": ports}}, number) == expected


@pytest.mark.parametrize("service", [{}, {"spec": None}, {"spec": {"ports": 7}}, {"spec": {"ports": [7]}}])
def test_a_malformed_service(service: Any) -> None:
    with pytest.raises(MalformedError):
        Port.of(service, 80)


KEYS = st.sampled_from(["metadata", "name", "addressType", "ports", "endpoints", "addresses", "conditions"])
WORDS = st.sampled_from(["IPv4", "IPv6", "10.0.0.1", "TCP", "ready", ""])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=7),
)


@given(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), ANYTHING)
def test_whatever_comes_is_taken_or_malformed(kind: str, content: Any) -> None:
    slices = Slices()
    try:
        slices.apply(kind, content)
    except MalformedError:
        assert not len(slices)
    slices.addresses(GRPC)


ENDPOINT = st.fixed_dictionaries(
    {"number": st.integers(1, 6)},
    optional={
        "ready": st.sampled_from([True, False, None]),
        "serving": st.booleans(),
        "terminating": st.booleans(),
    },
)
SLICE = st.builds(
    lambda name, family, endpoints: one(
        f"{family}-{name}",
        *(
            ready(f"10.0.0.{e['number']}" if family == "IPv4" else f"fd00::{e['number']}", **_conditions(e))
            for e in endpoints
        ),
        family=family,
    ),
    st.sampled_from("abc"),
    st.sampled_from(["IPv4", "IPv6"]),
    st.lists(ENDPOINT, max_size=4),
)
BROKEN = st.sampled_from([None, {}, {"metadata": {"name": "IPv4-a"}}, one("IPv4-a", {"addresses": []})])
EVENTS = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), SLICE) | st.tuples(st.just("broken"), BROKEN), max_size=30
)


def _conditions(endpoint: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in endpoint.items() if key != "number"}


@given(EVENTS)
def test_any_events_end_in_what_a_list_gives(events: list[tuple[str, Any]]) -> None:
    there: dict[str, Any] = {}  # as the API has it
    slices = Slices()
    for what, content in events:
        if what == "broken":
            with pytest.raises(MalformedError):
                slices.apply("MODIFIED", content)
            continue
        name = content["metadata"]["name"]
        if what == "put":
            slices.apply("MODIFIED" if name in there else "ADDED", content)
            there[name] = content
        else:
            slices.apply("DELETED", there.pop(name, content))
    listed = Slices()
    listed.replace(map(Slice.read, there.values()))
    found = slices.addresses(GRPC)
    assert found == listed.addresses(GRPC)
    # and that is what its definition says
    usable = {
        (whole["addressType"], endpoint["addresses"][0])
        for whole in there.values()
        for endpoint in whole["endpoints"]
        if endpoint["conditions"].get("ready", True) in {True, None}
        and not endpoint["conditions"].get("terminating")
    }
    four = sorted(f"{address}:9090" for family, address in usable if family == "IPv4")
    six = sorted(f"[{address}]:9090" for family, address in usable if family == "IPv6")
    assert list(found) == (four or six)
