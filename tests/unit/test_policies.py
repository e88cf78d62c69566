"""Policies that go by more than turns, on real channels to servers in this process."""

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from loadgen import policies
from loadgen.commands.run import run as command
from loadgen.errors import PlanError
from loadgen.options import options_of
from loadgen.plan import POLICIES, Plan
from loadgen.target import Uri
from service_proto.orca_pb2 import OrcaLoadReport
from service_proto.service_pb2 import Req, Res
from tests.server.replica import Replica
from tests.unit.command import run

USERS = 60
WEIGHTED = ("--lb-policy", "weighted_round_robin")
BY_USER = ("--lb-policy", "ring_hash", "--hash-header", "user")
QUICK = {"blackoutPeriod": "0s", "weightUpdatePeriod": "100ms"}


class Server:
    """Tells its name, and its utilization where it has one; keeps which users came."""

    def __init__(self, name: str, utilization: float | None) -> None:
        self.name = name
        self.users: Counter[str] = Counter()
        self._utilization = utilization
        self._lock = threading.Lock()
        self.health = health.HealthServicer()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        get = grpc.unary_unary_rpc_method_handler(self._get, Req.FromString, Res.SerializeToString)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("Service", {"Get": get}),)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _get(self, _request: Req, context: grpc.ServicerContext) -> Res:
        with self._lock:
            self.users[str(dict(context.invocation_metadata()).get("user"))] += 1
        if self._utilization is not None:
            report = OrcaLoadReport(rps_fractional=90, application_utilization=self._utilization)
            context.set_trailing_metadata((("endpoint-load-metrics-bin", report.SerializeToString()),))
        return Res(id=self.name)

    def stop(self) -> None:
        self._server.stop(None).wait()


Serve = Callable[..., list[Server]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Server] = []

    def start(*utilizations: float | None) -> list[Server]:
        made.extend(Server(f"s{number}", one) for number, one in enumerate(utilizations))
        return made

    yield start
    for server in made:
        server.stop()


def target(servers: list[Server]) -> str:
    return "ipv4:" + ",".join(server.address for server in servers)


def shares(content: dict[str, Any]) -> dict[str, float]:
    return {name: one["calls"] / content["totals"]["sent"] for name, one in content["backends"].items()}


class TestWeightedRoundRobin:
    LOAD = ("--rps", "300", "-z", "1s", "--warmup", "1s")
    NAMED = ("--backend-from", "metadata:replica-name")

    def test_shares_follow_what_servers_report(self, serve: Serve) -> None:
        servers = serve(0.3, 0.3, 0.9)
        content = run(target(servers), *self.LOAD, *WEIGHTED, "--lb-config", json.dumps(QUICK))
        assert shares(content) == pytest.approx({"s0": 3 / 7, "s1": 3 / 7, "s2": 1 / 7}, abs=0.03)
        assert content["plan"]["lb_config"] == QUICK
        cause, *_ = content["summary"]["verdict"]
        assert cause["rule"] == "by_weight"

    def test_they_are_equal_without_reports_or_in_the_blackout(self, serve: Serve) -> None:
        content = run(target(serve(0.3, None, 0.9)), *self.LOAD, *WEIGHTED)  # 10 s of blackout
        assert shares(content) == pytest.approx({"s0": 1 / 3, "s1": 1 / 3, "s2": 1 / 3}, abs=0.03)

    def test_a_slow_replica_is_named_and_spared_by_reports_out_of_band(self) -> None:
        config = json.dumps({**QUICK, "enableOobLoadReport": True, "oobReportingPeriod": "100ms"})
        with (
            Replica("--orca", "oob", "--delay", "2ms", "--name", "fast") as fast,
            Replica("--orca", "oob", "--delay", "60ms", "--name", "slow") as slow,
        ):
            uri = f"ipv4:127.0.0.1:{fast.port},127.0.0.1:{slow.port}"
            by_turns = run(uri, "-n", "80", "-c", "8", *self.NAMED, "--lb-policy", "round_robin")
            content = run(uri, *self.LOAD, *self.NAMED, *WEIGHTED, "--lb-config", config)
        (caution,) = [one for one in by_turns["summary"]["verdict"] if one["rule"] == "slow_backend"]
        assert caution["text"].startswith("Backend slow (127.0.0.1:")
        assert "It got 50.0% of the calls" in caution["text"]
        assert shares(content)["slow"] < 0.3


class TestRingHash:
    def owners(self, servers: list[Server]) -> dict[str, str]:
        """Return which server got each user's calls, since this was last asked: one and no other."""
        found = defaultdict(set)
        for server in servers:
            for user in server.users:
                found[user].add(server.name)
            server.users.clear()
        assert {len(names) for names in found.values()} == {1}
        return {user: name for user, (name,) in found.items()}

    def load(self, servers: list[Server]) -> dict[str, Any]:
        user = f"user:{{{{randint 1 {USERS}}}}}"
        return run(target(servers), *BY_USER, "-m", user, "-n", "900", "-c", "8", "--seed", "5")

    def test_calls_of_one_user_go_to_one_server(self, serve: Serve) -> None:
        servers = serve(None, None, None)
        content = run(target(servers), *BY_USER, "-m", "user:ann", "-n", "60", "-c", "4")
        assert len(content["backends"]) == 1
        (cause,) = content["summary"]["verdict"]
        assert cause["rule"] == "by_key"

    def test_users_spread_and_a_server_that_goes_moves_its_own_alone(self, serve: Serve) -> None:
        servers = serve(None, None, None)
        content = self.load(servers)
        assert content["totals"]["failed"] == 0
        before = self.owners(servers)
        assert len(before) == USERS
        assert min(Counter(before.values()).values()) >= USERS / 12  # of a third, on average
        assert set(before.values()) == {"s0", "s1", "s2"}
        servers[1].stop()
        assert self.load(servers)["totals"]["failed"] == 0
        after = self.owners(servers)
        assert {user for user in before if before[user] != after[user]} == {
            user for user in before if before[user] == "s1"
        }


@pytest.mark.parametrize("name", [one.name for one in policies.POLICIES.values() if one.health])
def test_a_policy_heeds_health_if_it_says_so(name: str, serve: Serve) -> None:
    servers = serve(0.5, 0.5, 0.5)
    servers[2].health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    options = ("--lb-policy", name, "--health-check", "-n", "300", "-c", "4", "-m", "user:{{number}}")
    key = ("--hash-header", "user") if name == "ring_hash" else ()
    content = run(target(servers), *options, *key)
    assert set(content["backends"]) == {"s0", "s1"}
    assert content["totals"]["failed"] == 0


# Configuration

GOOD: list[tuple[str, str | None, dict[str, Any]]] = [
    ("round_robin", None, {"round_robin": {}}),
    ("pick_first", '{"shuffleAddressList": true}', {"pick_first": {"shuffleAddressList": True}}),
    (
        "weighted_round_robin",
        (
            '{"enableOobLoadReport": true, "oobReportingPeriod": "1m", "blackoutPeriod": "0.5s",'
            ' "weightExpirationPeriod": "3m", "weightUpdatePeriod": "250ms", "errorUtilizationPenalty": 2,'
            ' "metricNamesForComputingUtilization": ["named_metrics.queue"]}'
        ),
        {
            "weighted_round_robin": {
                "enableOobLoadReport": True,
                "oobReportingPeriod": "60s",
                "blackoutPeriod": "0.5s",
                "weightExpirationPeriod": "180s",
                "weightUpdatePeriod": "0.25s",
                "errorUtilizationPenalty": 2,
                "metricNamesForComputingUtilization": ["named_metrics.queue"],
            }
        },
    ),
    (
        "ring_hash",
        '{"minRingSize": 10}',
        {"ring_hash_experimental": {"minRingSize": 10, "requestHashHeader": "user"}},
    ),
]


def plan(policy: str, config: str | None, **more: Any) -> Plan:
    key = {"hash_header": "user", "metadata": (("user", "a"),)} if policy == "ring_hash" else {}
    return Plan(**{"target": "x:1", "lb_policy": policy, "lb_config": config, **key, **more})


@pytest.mark.parametrize(("policy", "config", "expected"), GOOD)
def test_a_configuration_as_grpc_gets_it(policy: str, config: str | None, expected: dict[str, Any]) -> None:
    made = dict(options_of(plan(policy, config), Uri.parse("x:1")).arguments())
    assert json.loads(made["grpc.service_config"])["loadBalancingConfig"] == [expected]


@pytest.mark.parametrize(("policy", "config", "expected"), GOOD)
async def test_grpc_takes_it(policy: str, config: str | None, expected: Any, serve: Serve) -> None:
    uri = Uri.parse(target(serve(None)))
    async with options_of(plan(policy, config), uri).channel(uri.text) as channel:
        await channel.unary_unary("/Service/Get")(b"", metadata=(("user", "a"),))


@pytest.mark.parametrize(
    ("policy", "config", "says"),
    [
        ("round_robin", "{'a': 1}", "--lb-config is not JSON"),
        ("round_robin", "[]", "--lb-config is a JSON object"),
        (
            "round_robin",
            '{"shuffleAddressList": true}',
            "round_robin has no 'shuffleAddressList': it takes no",
        ),
        ("weighted_round_robin", '{"blackout": "1s"}', "no 'blackout': did you mean blackoutPeriod?"),
        ("weighted_round_robin", '{"zzz": 1}', "has no 'zzz': it has enableOobLoadReport, oob"),
        ("weighted_round_robin", '{"weighted_round_robin": {}}', "give what is inside"),
        ("weighted_round_robin", '{"blackoutPeriod": 10}', "blackoutPeriod is a duration"),
        ("weighted_round_robin", '{"blackoutPeriod": "-1s"}', 'duration up to 24h in quotes, such as "10s"'),
        ("weighted_round_robin", '{"blackoutPeriod": "soon"}', 'not "soon"'),
        ("weighted_round_robin", '{"blackoutPeriod": "1s or so"}', 'not "1s or so"'),
        ("weighted_round_robin", '{"enableOobLoadReport": "yes"}', "is true or false"),
        ("weighted_round_robin", '{"oobReportingPeriod": "1s"}', 'needs "enableOobLoadReport": true'),
        ("weighted_round_robin", '{"errorUtilizationPenalty": -1}', "is a number from 0"),
        ("weighted_round_robin", '{"metricNamesForComputingUtilization": "a"}', "is a list of names"),
        ("ring_hash", '{"minRingSize": 0}', "from 1 to 8388608"),
        ("ring_hash", '{"minRingSize": 5000}', "minRingSize, 5000, is more than maxRingSize, 4096"),
        ("ring_hash", '{"requestHashHeader": "a"}', "what --hash-header gives"),
    ],
)
def test_what_grpc_would_ignore_or_fail_on_is_refused(policy: str, config: str, says: str) -> None:
    with pytest.raises(PlanError) as raised:
        plan(policy, config)
    assert says in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lb-policy", "ring_hash"], "needs --hash-header"),
        (["--hash-header", "user"], "--hash-header needs --lb-policy ring_hash"),
        ([*BY_USER], "--hash-header user is in no --metadata"),
        ([*BY_USER[:3], "user-bin"], "is a key of binary values"),
        (
            [*BY_USER, "-m", "user:a", "--expect-backends", "2"],
            "ring_hash connects when calls come",
        ),
        ([*WEIGHTED, "--connections", "per-call"], "forgets the loads reported"),
        (
            ["--lb-policy", "least_request"],
            "'pick_first', 'round_robin', 'weighted_round_robin', 'ring_hash'",
        ),
    ],
)
def test_options_that_do_not_go_together(options: list[str], says: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        command.main(["x:1", *options], standalone_mode=False)
    assert says in raised.value.format_message()


def test_the_result_has_the_key_without_its_values() -> None:
    content = plan("ring_hash", '{"minRingSize": 9}').to_json()
    assert (content["hash_header"], content["metadata"]) == ("user", ["user:..."])
    assert content["lb_config"] == {"minRingSize": 9}


def test_a_policy_of_another_version_is_no_error() -> None:
    assert policies.of("least_request").equal
    assert set(POLICIES) == set(policies.POLICIES)
