"""`loadgen run --call`: a service of somebody else, in a process of its own."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.server.replica import Replica
from tests.unit.command import Ended, Load, loadgen, rules, run
from tests.unit.shop import PROTOS, SHOP, SOURCE, Shop, Sparse, descriptor_set
from tests.unit.test_cli import check_refused


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop("v1", "v1alpha") as shop:
        yield shop


def call(shop: Shop, method: str, *options: str, code: int = 0) -> dict[str, Any]:
    return run(shop.target, "--call", f"{SHOP}/{method}", *options, code=code)


WHOLE_ITEM = {
    "name": "pen",
    "small": -5,
    "natural": 4294967295,
    "big": "-9223372036854775808",
    "huge": 18446744073709551615,
    "single": 1.5,
    "ratio": "Infinity",
    "sold": True,
    "picture": "aGVsbG8=",
    "colour": "COLOUR_RED",
    "colours": ["COLOUR_GREEN", 1],
    "numbers": [1, "2"],
    "prices": {"eur": {"currency": "EUR", "units": "3"}},
    "labels": {"-1": "minus one"},
    "shades": {"true": "COLOUR_GREEN"},
    "part": {"name": "cap", "parts": [{"name": "clip"}]},
    "company": {"units": 7},
    "note": "",
    "madeAt": "2026-01-31T12:00:00Z",
    "life": "1.5s",
    "extra": {"a": [1, None, {"b": "c"}]},
    "any_value": None,
    "wrapped": "w",
    "anything": {"@type": "type.googleapis.com/shop.v1.Money", "units": "9"},
}


class TestWhereTheMethodIsFrom:
    @pytest.mark.parametrize("versions", [("v1",), ("v1alpha",), ("v1", "v1alpha")], ids=" ".join)
    def test_reflection(self, versions: tuple[str, ...]) -> None:
        with Shop(*versions) as shop:
            content = call(shop, "Echo", "-n", "7", "-d", '{"name": "pen"}')
        assert content["totals"]["ok"] == 7
        assert [one.name for (one,) in shop.messages("Echo")] == ["pen"] * 7
        assert content["plan"]["call"] == "shop.v1.Shop/Echo"

    def test_reflection_that_sends_one_file_at_a_time_and_none_of_protobufs(self) -> None:
        with Shop("v1alpha", servicer=Sparse()) as shop:
            assert call(shop, "Echo", "-n", "3", "-d", json.dumps(WHOLE_ITEM))["totals"]["ok"] == 3

    def test_reflection_that_lacks_a_file(self) -> None:
        with Shop("v1", servicer=Sparse({"shop/v1/money.proto"})) as shop:
            ended = loadgen("run", shop.target, "--call", f"{SHOP}/Echo")
        check_refused(ended, 2, "these files are missing: shop/v1/money.proto")

    def test_no_reflection(self) -> None:
        with Shop() as shop:
            ended = loadgen("run", shop.target, "--call", f"{SHOP}/Echo")
            check_refused(ended, 2, "has no server reflection: describe the service with --proto or")
            assert shop.got == []

    def test_a_proto_file(self) -> None:
        with Shop() as shop:
            content = call(shop, "Echo", "-n", "2", "--proto", "shop/v1/shop.proto", "-I", str(PROTOS))
        assert content["totals"]["ok"] == 2

    def test_a_descriptor_set_and_a_dotted_name(self, tmp_path: Path) -> None:
        path = tmp_path / "shop.protoset"
        path.write_bytes(descriptor_set().SerializeToString())
        with Shop() as shop:
            content = run(shop.target, "--call", f"{SHOP}.Echo", "--protoset", str(path), "-n", "2")
        assert content["totals"]["ok"] == 2

    def test_a_service_that_is_not_there(self, shop: Shop) -> None:
        ended = loadgen("run", shop.target, "--call", "Shop/Echo")
        check_refused(ended, 2, "no service 'Shop': did you mean shop.v1.Shop? (there is shop.v1.Shop)")

    def test_a_server_that_is_not_there(self) -> None:
        ended = loadgen("run", "127.0.0.1:1", "--call", f"{SHOP}/Echo", "--ready-timeout", "300ms")
        check_refused(ended, 1, "waited 0.3 s for a backend to describe the service")
        assert "Connection refused" in ended.err

    def test_a_server_that_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            ended = loadgen("run", target, "--call", f"{SHOP}/Echo", "--ready-timeout", "300ms")
        check_refused(ended, 1, "waited 0.3 s for a backend to describe the service")

    def test_stopped_while_the_server_is_asked(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(60)
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            with Load(target, "--call", f"{SHOP}/Echo", "--ready-timeout", "10m") as load:
                connection, _ = silent.accept()
                with connection:
                    load.signal(signal.SIGINT)
                    ended = load.end()
        assert ended == Ended(1, "", "loadgen: error: stopped before the first call\n")

    def test_metadata_goes_along_to_reflection(self) -> None:
        with Shop("v1", servicer=Guarded()) as shop:
            ended = loadgen("run", shop.target, "--call", f"{SHOP}/Echo", "-m", "token:wrong")
            check_refused(ended, 1, "server reflection failed: UNAUTHENTICATED (who are you)")
            assert call(shop, "Echo", "-n", "1", "-m", "token:secret")["totals"]["ok"] == 1


class Guarded(Sparse):
    """Answers only those who know the secret."""

    def ServerReflectionInfo(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802
        if ("token", "secret") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")
        return super().ServerReflectionInfo(requests, context)


class TestPayloads:
    def test_everything_that_json_can_say(self, shop: Shop) -> None:
        call(shop, "Echo", "-n", "1", "-d", json.dumps(WHOLE_ITEM))
        ((item,),) = shop.messages("Echo")
        assert (item.big, item.huge, item.natural) == (-(2**63), 2**64 - 1, 2**32 - 1)
        assert (item.picture, item.colour, list(item.colours)) == (b"hello", 1, [2, 1])
        assert (item.prices["eur"].units, dict(item.labels), dict(item.shades)) == (
            3,
            {-1: "minus one"},
            {True: 2},
        )
        assert (item.part.parts[0].name, item.WhichOneof("owner")) == ("clip", "company")
        assert (item.made_at.seconds, item.life.nanos, item.wrapped.value) == (1769860800, 500_000_000, "w")
        assert item.extra["a"][2]["b"] == "c"
        assert item.any_value.HasField("null_value")
        assert item.HasField("note")
        assert item.anything.type_url.endswith("shop.v1.Money")

    def test_from_a_file_and_from_stdin(self, shop: Shop, tmp_path: Path) -> None:
        path = tmp_path / "item.json"
        path.write_text('{"name": "pen"}')
        call(shop, "Echo", "-n", "1", "-d", f"@{path}")
        with Load(
            shop.target, "--call", f"{SHOP}/Echo", "-n", "1", "-d", "@-", stdin='{"name": "ink"}'
        ) as load:
            load.result()
        assert [one.name for (one,) in shop.messages("Echo")] == ["pen", "ink"]

    def test_lines_of_a_file_in_turn(self, shop: Shop, tmp_path: Path) -> None:
        path = tmp_path / "items.jsonl"
        path.write_text('{"name": "a"}\n\n{"name": "b"}\n{"name": "c"}\n')
        call(shop, "Echo", "-n", "7", "--data-file", str(path))
        assert [one.name for (one,) in shop.messages("Echo")] == list("abcabca")

    def test_lines_of_a_file_at_random(self, shop: Shop, tmp_path: Path) -> None:
        path = tmp_path / "items.jsonl"
        path.write_text("\n".join(json.dumps({"small": number}) for number in range(10)))
        random = ("-n", "60", "--data-file", str(path), "--data-order", "random")
        seed = call(shop, "Echo", *random)["plan"]["seed"]
        call(shop, "Echo", *random, "--seed", str(seed))
        call(shop, "Echo", *random)
        drawn = [one.small for (one,) in shop.messages("Echo")]
        first, second, third = drawn[:60], drawn[60:120], drawn[120:]
        assert first == second != third
        assert len(set(first)) > 5
        assert first != sorted(first)

    def test_templates_in_data_and_metadata(self, shop: Shop) -> None:
        data = (
            '{"small": "{{number}}", "note": "n{{number}}", "person": "{{uuid}}", "big": "{{randint 3 4}}"}'
        )
        call(
            shop,
            "Echo",
            "-n",
            "20",
            "-c",
            "4",
            "-d",
            data,
            "-m",
            "request-id:r-{{number}}",
            "-m",
            "a:{{{{b}}",
        )
        items = [one for (one,) in shop.messages("Echo")]
        assert sorted(item.small for item in items) == list(range(20))
        assert all(item.note == f"n{item.small}" for item in items)
        assert len({item.person for item in items}) == 20
        assert {item.big for item in items} == {3, 4}
        assert {item.small: m["request-id"] for item, m in zip(items, shop.metadata, strict=True)} == {
            number: f"r-{number}" for number in range(20)
        }
        assert {m["a"] for m in shop.metadata} == {"{{b}}"}

    def test_numbers_differ_over_shards(self, shop: Shop) -> None:
        for index in range(3):
            call(
                shop, "Echo", "-n", "20", "-c", "3", "-d", '{"small": "{{number}}"}', "--shard", f"{index}/3"
            )
        assert sorted(one.small for (one,) in shop.messages("Echo")) == list(range(20))

    def test_the_result_does_not_tell_it(self, shop: Shop) -> None:
        content = call(shop, "Echo", "-n", "1", "-d", '{"name": "secret"}')
        assert content["plan"]["data"].startswith("sha256:")
        assert "secret" not in json.dumps(content)

    def test_a_plan_file_has_it_as_yaml(self, shop: Shop, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text(
            f"target: {shop.target}\ncall: {SHOP}/Add\ntotal: 2\n"
            "data:\n- name: a\n  prices: {eur: {units: 3}}\n- {}\n"
        )
        assert run("--config", str(path))["messages"] == {"out": 4, "in": 2}
        assert shop.messages("Add")[0][0].prices["eur"].units == 3


class TestStreams:
    def test_of_the_client(self, shop: Shop) -> None:
        content = call(shop, "Add", "-n", "10", "-c", "3", "-d", '[{"name": "a"}, {"name": "b"}]')
        assert (content["totals"]["ok"], content["messages"]) == (10, {"out": 20, "in": 10})
        assert [[one.name for one in messages] for messages in shop.messages("Add")] == [["a", "b"]] * 10

    def test_of_the_client_longer_than_its_data(self, shop: Shop) -> None:
        data = '[{"small": "{{message}}", "big": "{{number}}"}, {"small": -1}]'
        content = call(shop, "Add", "-n", "2", "-d", data, "--stream-messages", "5")
        assert content["messages"]["out"] == 10
        assert [[(m.small, m.big) for m in messages] for messages in shop.messages("Add")] == [
            [(0, 0), (-1, 0), (2, 0), (-1, 0), (4, 0)],
            [(0, 1), (-1, 0), (2, 1), (-1, 0), (4, 1)],
        ]

    def test_of_the_client_with_nothing(self, shop: Shop) -> None:
        assert call(shop, "Add", "-n", "2", "-d", "[]")["messages"] == {"out": 0, "in": 2}

    def test_of_the_server(self, shop: Shop) -> None:
        content = call(shop, "List", "-n", "4", "-d", '{"count": 25}')
        assert (content["totals"]["ok"], content["messages"]) == (4, {"out": 4, "in": 100})

    def test_both_ways(self, shop: Shop) -> None:
        content = call(
            *(shop, "Chat", "-n", "3", "-d", '[{"name": "a"}]'),
            *("--stream-messages", "4", "--stream-interval", "20ms"),
        )
        assert (content["totals"]["ok"], content["messages"]) == (3, {"out": 12, "in": 12})
        assert content["service_time"]["min_ns"] >= 3 * 20_000_000

    def test_one_that_never_ends_is_cancelled_as_asked(self, shop: Shop) -> None:
        content = call(shop, "List", "-n", "3", "-d", '{"count": -1}', "--stream-cancel-after", "100ms")
        assert (content["totals"]["ok"], content["outcomes"][0]["code"]) == (3, "OK")
        assert content["backends"][shop.target]["ok"] == 3

    def test_one_that_never_ends_has_a_deadline(self, shop: Shop) -> None:
        content = call(shop, "List", "-n", "2", "-d", '{"count": -1}', "-t", "100ms", code=1)
        assert [one["code"] for one in content["outcomes"]] == ["DEADLINE_EXCEEDED"]
        assert content["backends"][shop.target]["failed"] == 2

    @pytest.mark.parametrize(
        ("method", "data"), [("Add", '[{"name": "fail"}]'), ("Chat", '[{"name": "a"}, {"name": "fail"}]')]
    )
    def test_one_that_the_server_ends_keeps_the_servers_status(
        self, method: str, data: str, shop: Shop
    ) -> None:
        options = ("-d", data, "--stream-messages", "200", "-n", "60", "-c", "4")
        content = call(shop, method, *options, code=1)
        assert [(one["code"], one["calls"]) for one in content["outcomes"]] == [("PERMISSION_DENIED", 60)]

    @pytest.mark.parametrize("method", ["Add", "Chat", "List", "Echo"])
    def test_a_second_signal_cancels_what_never_ends(self, method: str, shop: Shop) -> None:
        data = '{"count": -1}' if method == "List" else '{"name": "hang"}'
        with Load(shop.target, "--call", f"{SHOP}/{method}", "-c", "3", "-d", data, "-t", "10m") as load:
            shop.await_calls(3)
            load.signal(signal.SIGINT)
            assert load.say().startswith("loadgen: calling ")
            assert "once more cancels them" in load.say()
            load.signal(signal.SIGINT)
            content = load.result(code=1)
        assert content["outcomes"] == [
            {"code": "CANCELLED", "message": "cancelled by the load generator", "calls": 3}
        ]


class TestBackends:
    def test_counted_by_address(self) -> None:
        with Shop() as one, Shop() as two:
            content = run(
                f"ipv4:{one.target},{two.target}",
                *("--call", f"{SHOP}/Echo", "--proto", str(SOURCE), "-I", str(PROTOS)),
                *("-n", "300", "-c", "10", "--lb-policy", "round_robin"),
            )
        assert {name: one["calls"] for name, one in content["backends"].items()} == {
            one.target: len(one.got),
            two.target: len(two.got),
        }
        assert {backend["latency"] for backend in content["backends"].values()} == {None}
        assert content["unattributed"]["calls"] == 0
        assert content["plan"]["backend_from"] == "peer"
        assert "even" in rules(content)

    def test_failed_calls_are_counted_too(self, shop: Shop) -> None:
        content = call(shop, "Echo", "-n", "20", "-d", '{"name": "fail"}', code=1)
        assert content["backends"][shop.target]["failed"] == 20

    def test_several_connections_to_one_address(self, shop: Shop) -> None:
        content = call(shop, "Echo", "-n", "40", "-c", "4", "--connections", "4")
        assert content["backends"][shop.target]["calls"] == 40
        assert "one_address" in rules(content)

    def test_a_connection_for_every_call_cannot_be_counted(self, shop: Shop) -> None:
        content = call(shop, "Echo", "-n", "10", "--connections", "per-call")
        assert (content["backends"], content["plan"]["backend_from"]) == ({}, "none")

    @pytest.mark.parametrize("source", ["metadata:server-name", "field:server_name"])
    def test_named_by_the_service_itself(self, source: str, shop: Shop) -> None:
        content = call(shop, "Add", "-n", "10", "--backend-from", source)
        assert content["backends"]["aisle 1"]["ok"] == 10
        assert content["backends"]["aisle 1"]["latency"]["count"] == 10

    def test_without_call_it_is_the_articles_field(self, replica: Replica) -> None:
        content = run(f"127.0.0.1:{replica.port}", "-n", "5")
        assert content["plan"]["backend_from"] == "field:id"
        assert "call" not in content["plan"]
        content = run(f"127.0.0.1:{replica.port}", "-n", "5", "--call", "Service/Get")
        assert list(content["backends"]) == [replica.serving["id"]]

    def test_by_address_on_our_own_server(self, replica: Replica) -> None:
        target = f"127.0.0.1:{replica.port}"
        content = run(target, "--rps", "300", "-n", "150", "--backend-from", "peer")
        assert content["backends"][target]["ok"] == 150
        assert sum(content["timeline"]["backends"][target]) == 150


class TestServicesThatServersHave:
    def test_health(self, replica: Replica) -> None:
        target = f"127.0.0.1:{replica.port}"
        content = run(target, "--call", "grpc.health.v1.Health/Check", "-n", "20")
        assert content["backends"][target]["ok"] == 20
        content = run(
            target,
            "--call",
            "grpc.health.v1.Health/Watch",
            "-n",
            "4",
            "-c",
            "4",
            "--stream-cancel-after",
            "200ms",
        )
        assert (content["totals"]["ok"], content["messages"]["in"]) == (4, 4)

    def test_reflection(self, replica: Replica) -> None:
        content = run(
            f"127.0.0.1:{replica.port}",
            *("--call", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "-n", "5"),
            *("-d", '[{"list_services": "*"}, {"file_containing_symbol": "Service"}]'),
        )
        assert (content["totals"]["ok"], content["messages"]) == (5, {"out": 10, "in": 10})


def test_the_report_names_the_method(shop: Shop) -> None:
    ended = loadgen("run", shop.target, "--call", f"{SHOP}/List", "-n", "2", "-d", '{"count": 3}')
    assert "  Call:        shop.v1.Shop/List\n" in ended.out
    assert "  Messages:    2 out, 6 in\n" in ended.out
    assert "Distribution per backend (by address)\n" in ended.out
    (row,) = [line for line in ended.out.splitlines() if line.startswith(f"  {shop.target}  ")]
    assert row.split()[1:6] == ["2", "100.0%", "0", "-", "-"]


class TestList:
    def test_by_reflection(self, shop: Shop) -> None:
        ended = loadgen("list", shop.target)
        assert ended.code == 0, ended.err
        assert [line.split(maxsplit=1)[0] for line in ended.out.splitlines()] == [
            f"{SHOP}/{name}" for name in ("Echo", "Add", "List", "Chat")
        ]
        assert [kind in ended.out for kind in ("unary", "client streaming", "server streaming", "bidi")]
        assert "shop.v1.Query -> shop.v1.Item" in ended.out

    def test_by_file_without_a_server(self) -> None:
        ended = loadgen("list", "--proto", "shop/v1/shop.proto", "-I", str(PROTOS))
        assert len(ended.out.splitlines()) == 4

    def test_one_method_with_a_request_to_fill_in(self, shop: Shop) -> None:
        ended = loadgen("list", shop.target, f"{SHOP}/Echo")
        request = json.loads(ended.out.partition("\n")[2])
        assert (request["colour"], request["part"], request["person"]) == (
            "COLOUR_UNSPECIFIED",
            {"name": ""},
            "",
        )
        del request["anything"]
        assert call(shop, "Echo", "-n", "1", "-d", json.dumps(request))["totals"]["ok"] == 1

    def test_nothing_to_ask(self) -> None:
        check_refused(loadgen("list"), 2, "name a server (HOST:PORT) to ask, or a file")
