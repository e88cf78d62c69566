"""Options that have to do with each other: calls of any method under every kind of load and security."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.certificates import Authority
from tests.server.replica import Replica
from tests.unit.command import Load, loadgen, run
from tests.unit.shop import PROTOS, SHOP, Shop, Sparse
from tests.unit.test_cli import check_refused

CHECK = "grpc.health.v1.Health/Check"
NUMBERED = ("--call", f"{SHOP}/Echo", "-d", '{"small": "{{number}}", "person": "{{uuid}}"}')


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop("v1", "v1alpha") as shop:
        yield shop


def numbers(shop: Shop) -> list[int]:
    return sorted(one.small for (one,) in shop.messages("Echo"))  # type: ignore[attr-defined]


class TestWorkers:
    def test_calls_are_numbered_over_all_of_them(self, shop: Shop) -> None:
        content = run(shop.target, *NUMBERED, "-n", "20", "-c", "4", "--workers", "2")
        assert numbers(shop) == list(range(20))
        assert len({one.person for (one,) in shop.messages("Echo")}) == 20  # type: ignore[attr-defined]
        assert content["backends"][shop.target]["ok"] == 20

    def test_files_and_stdin(self, shop: Shop, tmp_path: Path) -> None:
        lines = tmp_path / "lines"
        lines.write_text("\n".join(json.dumps({"small": number}) for number in range(10)))
        proto = ("--call", f"{SHOP}/Echo", "--proto", "shop/v1/shop.proto", "-I", str(PROTOS))
        several = ("-n", "10", "-c", "2", "--workers", "2")
        run(shop.target, *proto, "--data-file", str(lines), *several)
        assert numbers(shop) == list(range(10))
        shop.got.clear()
        with Load(shop.target, *proto, "-d", "@-", *several, stdin='{"small": 7}') as load:
            content = load.result()
        assert numbers(shop) == [7] * 10
        assert content["plan"]["data"].startswith("sha256:")

    def test_data_that_does_not_fit_is_said_once(self, shop: Shop) -> None:
        bad = ("--call", f"{SHOP}/Echo", "-d", '{"price": 1}')
        check_refused(loadgen("run", shop.target, *bad, "-c", "2", "--workers", "2"), 2, "'price'")
        assert shop.got == []


def test_the_seed_repeats_arrivals_and_values(shop: Shop) -> None:
    options = (*NUMBERED, "--rps", "200", "-n", "20", "--arrival", "poisson")
    seed = run(shop.target, *options)["plan"]["seed"]
    run(shop.target, *options, "--seed", str(seed), "--workers", "2")
    people: list[Any] = [one.person for (one,) in shop.messages("Echo")]  # type: ignore[attr-defined]
    assert set(people[:20]) == set(people[20:])
    assert len(set(people)) == 20


class TestWarmUp:
    @pytest.mark.parametrize("load", [("-c", "8"), ("--rps", "400")], ids=" ".join)
    def test_its_calls_have_numbers_of_their_own(self, load: tuple[str, ...], shop: Shop) -> None:
        content = run(shop.target, *NUMBERED, *load, "-n", "100", "--warmup", "300ms", "--workers", "2")
        assert len(set(numbers(shop))) == 100 + content["warmup"]["sent"]

    @pytest.mark.parametrize("load", [("-c", "16"), ("--rps", "500")], ids=" ".join)
    def test_calls_by_address_are_without_it(self, load: tuple[str, ...]) -> None:
        with Replica("--delay", "20ms") as one, Replica("--delay", "20ms") as other:
            target = f"ipv4:127.0.0.1:{one.port},127.0.0.1:{other.port}"
            content = run(
                target,
                *("--call", CHECK, "--lb-policy", "round_robin", "--retry", "2"),
                *("-n", "200", "--warmup", "300ms", *load),
            )
        assert content["warmup"]["sent"] > 50
        assert content["unattributed"]["calls"] == 0
        counts = [backend["ok"] for backend in content["backends"].values()]
        assert sum(counts) == 200
        assert abs(counts[0] - counts[1]) <= 4
        assert content["evidence"]["retries"] == 0


class TestSecurity:
    def test_reflection_over_tls(self, tmp_path: Path) -> None:
        ca = Authority(tmp_path)
        with Replica(*ca.issue("localhost").server) as replica:
            target = f"localhost:{replica.port}"
            for options in (["--cacert", str(ca.file)], ["--insecure-skip-verify"]):
                content = run(target, "--call", CHECK, "-n", "10", *options)
                assert content["totals"]["ok"] == 10
                assert content["evidence"]["connections"] == 1
                listed = loadgen("list", target, *options)
                assert CHECK in listed.out, listed.err

    def test_what_is_wrong_with_it(self, tmp_path: Path) -> None:
        ca, soon = Authority(tmp_path), ("--ready-timeout", "500ms")
        with Replica(*ca.issue("localhost").server) as replica:
            target = f"localhost:{replica.port}"
            for command in (("run", target, "--call", CHECK), ("list", target)):
                check_refused(loadgen(*command, *soon), 1, "the server wants TLS; give --tls")
                check_refused(loadgen(*command, *soon, "--tls"), 1, "from an unknown CA; give that CA's")

    def test_a_token_goes_along_and_is_shown_nowhere(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        with Shop("v1", servicer=Guarded()) as shop:
            for token, code in (("open-sesame", 0), ("swordfish", 1)):
                file.write_text(token)
                options = (shop.target, "--token-file", str(file))
                ended = loadgen("list", *options)
                called = loadgen("run", *options, "--call", f"{SHOP}/Echo", "-n", "1")
                assert (ended.code, called.code) == (code, code)
                assert token not in ended.err + called.err + called.out
            assert shop.metadata[0]["authorization"] == "Bearer open-sesame"


class Guarded(Sparse):
    """Answers only those who know the word, and repeats what others say."""

    def ServerReflectionInfo(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802
        said = dict(context.invocation_metadata()).get("authorization")
        if said != "Bearer open-sesame":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"who are you with {said}?")
        return super().ServerReflectionInfo(requests, context)


class TestCallsByAddress:
    def test_no_backend_has_a_latency_to_judge(self, shop: Shop, tmp_path: Path) -> None:
        each = ("--threshold", "each.p99<10s")
        ended = loadgen("run", shop.target, "--call", f"{SHOP}/Echo", *each)
        check_refused(ended, 2, "--threshold each.p99<10s needs to know who answered each call")
        files = [str(tmp_path / name) for name in ("one.json", "other.json")]
        for file in files:
            ended = loadgen(
                *("run", shop.target, "--call", f"{SHOP}/Echo", "-n", "9"),
                *("-o", file, "--threshold", "p99<10s"),
                *("--termination-log", str(tmp_path / "last")),
            )
            assert ended.code == 0, ended.err
        assert json.loads((tmp_path / "last").read_text())["backends"] == {shop.target: 9}
        judged = loadgen("report", files[0], *each)
        assert (judged.code, judged.out.count("which tells no backend's latency")) == (99, 1)
        assert "backends" in loadgen("report", *files).out
