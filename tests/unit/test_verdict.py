"""The verdict, rule by rule."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import slowness
from loadgen.causes import CAUSES
from loadgen.cautions import CAUTIONS
from loadgen.events import Event
from loadgen.observed import Observed, Pod
from loadgen.plan import POLICIES
from loadgen.result import Part, Result, Totals
from loadgen.verdict import judge
from tests.unit.results import MS, SECOND, STARTED, THREE, TWO, evidence, histogram, replica, result

ONE = ["10.0.0.9:9090"]
OBSERVED = Observed(
    "server.default", None, None, SECOND, pods={"pod-1": Pod("10.0.0.9", None, None, STARTED)}
)
UNKNOWN = {"addresses": None, "addresses_seen": None, "addresses_now": None}
EVEN = {"a": 100, "b": 100, "c": 100}
UNEVEN = {"a": 100, "b": 100, "c": 200}

WEIGHED = evidence(policy="weighted_round_robin")
KEYED = evidence(policy="ring_hash", addresses=None, addresses_now=THREE)
SLOW = {"c": histogram(*[40 * MS] * 100)}
STALLED = histogram(*[2 * MS] * 2000, *[SECOND] * 8)  # 4 callers, 2 stalls of 1 s in 10 s

CASES: dict[str, tuple[str, Result, tuple[str, ...]]] = {
    # causes: the rule, a result it explains, and what it must say
    "no call made": ("nothing_succeeded", result({}), ("No call was made",)),
    "refused": (
        "nothing_succeeded",
        result({}, failed=7),
        ("7 of 7 ended UNAVAILABLE", "check address, port"),
    ),
    "no such method": (
        "nothing_succeeded",
        result({}, failed=7, error="UNIMPLEMENTED"),
        ("no such method: check what server:9090 serves",),
    ),
    "too slow": ("nothing_succeeded", result({}, failed=1, error="DEADLINE_EXCEEDED"), ("--timeout",)),
    "no credentials": ("nothing_succeeded", result({}, failed=1, error="UNAUTHENTICATED"), ("--metadata",)),
    "refuses credentials": ("nothing_succeeded", result({}, failed=1, error="PERMISSION_DENIED"), ()),
    "another error": ("nothing_succeeded", result({}, failed=1, error="DATA_LOSS"), ("message above",)),
    "nobody named": ("unknown_backends", result({}, unattributed_ok=9), ("--backend-from",)),
    "scaled up, dns": (
        "new_addresses_unused",
        result({"a": 5, "b": 5}, evidence=evidence(addresses=TWO, addresses_now=THREE)),
        ("resolves to 3 addresses, and 1 of them got no call", "never polls", "Use --discovery poll"),
    ),
    "scaled down and up, static": (
        "new_addresses_unused",
        result({"a": 5, "b": 5}, evidence=evidence(discovery="static", addresses=TWO, addresses_now=ONE)),
        ("looks a name up once", "2 that it did know are gone", "Use --discovery poll"),
    ),
    "scaled up late, poll": (
        "new_addresses_unused",
        result({"a": 5, "b": 5}, evidence=evidence(discovery="poll", addresses=TWO, addresses_now=THREE)),
        ("after the last look-up",),
    ),
    "scaled up, a discovery of another version": (
        "new_addresses_unused",
        result({"a": 5, "b": 5}, evidence=evidence(discovery="xds", addresses=TWO, addresses_now=THREE)),
        ("Discovery xds",),
    ),
    "scaled up at the very end, watch": (
        "new_addresses_unused",
        result({"a": 5, "b": 5}, evidence=evidence(discovery="watch", addresses=TWO, addresses_now=THREE)),
        ("The Service now has 3 addresses", "as the run ended"),
    ),
    "ClusterIP": (
        "connection_balanced",
        result({"a": 300}, evidence=evidence(addresses=ONE, connections=1)),
        ("All 300 calls went over one connection", "headless", "--lb-policy round_robin"),
    ),
    "headless, pick_first": (
        "pick_first",
        result({"a": 300}, evidence=evidence(policy="pick_first", connections=1)),
        ("resolves to 3 addresses", "Use --lb-policy round_robin"),
    ),
    "ClusterIP, a connection per call": (
        "by_connection",
        result(UNEVEN, plan={"connections": "per-call"}, evidence=evidence(addresses=ONE, connections=400)),
        ("A new connection for every call to one address reached 3 backends", "handshake"),
    ),
    "ClusterIP, a few connections": (
        "by_connection",
        result({"a": 10, "b": 5}, plan={"connections": 3}, evidence=evidence(addresses=ONE, connections=3)),
        ("3 connections to one address reached 2 backends", "chance"),
    ),
    "ClusterIP, a few connections, counted by address": (
        "one_address",
        result({ONE[0]: 15}, plan={"backend_from": "peer"}, evidence=evidence(addresses=ONE, connections=3)),
        ("over 3 connections", "what is behind that one is not seen", "--backend-from metadata:KEY"),
    ),
    "counted by address, too late": (
        "unknown_backends",
        result({}, unattributed_ok=15, plan={"backend_from": "peer"}),
        ("counted none of the calls",),
    ),
    "scaled, followed": (
        "replicas_changed",
        result(
            UNEVEN,
            events=(
                Event(-1, "backend.added", {"address": "x"}),
                Event(SECOND, "backend.added", {"address": "y"}),
                Event(2 * SECOND, "backend.removed", {"address": "x"}),
            ),
            evidence=evidence(discovery="poll"),
        ),
        ("1 joined, 1 left", "discovery poll"),
    ),
    "a connection lost": (
        "replicas_changed",
        result(UNEVEN, events=(Event(5, "connection.lost", {"address": "10.0.0.1:9090"}),)),
        ("lost its connection to 10.0.0.1:9090",),
    ),
    "cold": ("cold_channel", result(UNEVEN, evidence=evidence(cold=True)), ("had not connected", "--cold")),
    "one replica refuses": (
        "backends_unreached",
        result(
            {"a": 100, "b": 100},
            events=(Event(-5, "connection.failed", {"address": THREE[2], "reason": "refused"}),),
        ),
        ("1 of the addresses", f"{THREE[2]} could not be connected (refused)"),
    ),
    "one replica silent": (
        "backends_unreached",
        result({"a": 100, "b": 100}),
        ("1 of the addresses", "does not say why"),
    ),
    "weighed": (
        "by_weight",
        result(UNEVEN, evidence=WEIGHED, plan={"warmup": "4s"}, duration=30 * SECOND),
        (
            "gave 3 backends 25.0% to 50.0% of the calls",
            "by the load that they reported",
            "In the first 6 s they",
        ),
    ),
    "weighed from the start": (
        "by_weight",
        result(UNEVEN, evidence=WEIGHED, plan={"lb_config": {"blackoutPeriod": "0s"}}),
        ("who can do more gets more.",),
    ),
    "weighed, and over before it could be": (
        "even",
        result(EVEN, evidence=WEIGHED, duration=9 * SECOND),
        ("by weighted_round_robin, as reports of load weigh after 10 s only (blackoutPeriod)",),
    ),
    "weighed, without reports": (
        "even",
        result(
            EVEN, evidence=WEIGHED, duration=60 * SECOND, plan={"lb_config": {"enableOobLoadReport": True}}
        ),
        ("were alike, or no reports (ORCA, out of band) came.",),
    ),
    "by one key": (
        "by_key",
        result({"a": 9}, evidence=KEYED, plan={"hash_header": "user"}),
        (
            "the same value of user to the same backend: 1 backend got calls",
            "no value that was sent belongs to the other 2.",
        ),
    ),
    "by many keys": ("by_key", result(UNEVEN, evidence=KEYED), ("3 backends got calls. How evenly",)),
    "by keys, cold": ("by_key", result(UNEVEN, evidence=evidence(policy="ring_hash", cold=True)), ()),
    "by keys, one replica refuses": (
        "backends_unreached",
        result({"a": 9}, evidence=KEYED, events=(Event(5, "connection.failed", {"address": THREE[2]}),)),
        (f"{THREE[2]} could not be connected",),
    ),
    "a slow replica, by turns": (
        "slow_backend",
        result(EVEN, latencies=SLOW),
        (
            "Backend c is slow: its median, 40 ms, is 20.0 times that of the 2 fast ones (2 ms), its p99 40",
            "beside 2 ms. It got 33.3% of the calls. round_robin gives it its turn",
            "In its place weighted_round_robin sends it fewer, if servers report load",
        ),
    ),
    "a slow replica, spared": (
        "slow_backend",
        result({"a": 150, "b": 150, "c": 40}, latencies={"c": histogram(*[40 * MS] * 40)}, evidence=WEIGHED),
        ("It got 11.8% of the calls. That is less than an equal share",),
    ),
    "a slow replica, not spared": (
        "slow_backend",
        result(EVEN, latencies=SLOW, evidence=WEIGHED, duration=SECOND),
        ("did not spare it: reports of load weigh after 10 s only",),
    ),
    "a slow replica, not spared though uneven": (
        "slow_backend",
        result(UNEVEN, latencies={"c": histogram(*[40 * MS] * 200)}, evidence=WEIGHED),
        ("did not spare it: the reports do not tell it from the others.",),
    ),
    "a slow replica, by key": (
        "slow_backend",
        result(EVEN, latencies=SLOW, evidence=KEYED),
        ("ring_hash goes by the key, not by load",),
    ),
    "a slow replica, the first": (
        "slow_backend",
        result(
            {"a": 90, "b": 90},
            latencies={"b": histogram(*[9 * MS] * 90)},
            evidence=evidence(policy="pick_first"),
        ),
        ("4.5 times that of the other (2 ms)", "pick_first stays with the backend"),
    ),
    "two slow replicas": (
        "slow_backend",
        result(
            dict.fromkeys("abcd", 50),
            latencies={"c": histogram(*[40 * MS] * 50), "d": histogram(*[50 * MS] * 50)},
        ),
        ("Backend d is slow: its median, 50 ms, is 25.0", "1 more is slow too."),
    ),
    "a replica that stalls": (
        "slow_backend",
        result(
            dict.fromkeys("abc", 600),
            latencies={"b": histogram(*[2 * MS] * 540, *[SECOND] * 60)},
        ),
        ("5 in 100 of its calls take 1000 ms or more, 99 in 100 of the 2 fast ones at most 2 ms",),
    ),
    "even": ("even", result(EVEN), ("3 backends got 100 calls each by round_robin",)),
    "almost even": ("even", result({"a": 99, "b": 100, "c": 101}), ("99 to 101 calls",)),
    "uneven": (
        "unexplained",
        result(UNEVEN),
        ("busiest of 3 backends got 1.50 times the mean", "does not say why"),
    ),
    "one, nothing known": (
        "unexplained",
        result({"a": 5}, evidence=evidence(**UNKNOWN, policy="pick_first", connections=2)),
        ("does not say whether there are others",),
    ),
    "one of one": (
        "unexplained",
        result({"a": 5}, evidence=evidence(addresses=ONE, connections=2)),
        ("the client knew of no other",),
    ),
    "cold, and the first to connect took all": (
        "cold_channel",
        result({"a": 9}, evidence=evidence(cold=True)),
        ("whichever backend connected first",),
    ),
    "ClusterIP with other replicas": (
        "connection_balanced",
        result({"a": 9}, evidence=evidence(addresses=ONE, connections=1), replicas=[replica(9), replica(0)]),
        ("the other replicas got nothing",),
    ),
    # cautions
    "stopped": (
        "stopped_early",
        result(EVEN, partial="stopped by SIGINT"),
        ("stopped by SIGINT after 300 calls",),
    ),
    "one failed": (
        "some_failed",
        result(EVEN, failed=1, evidence=evidence(connections_lost=1)),
        ("1 call of 301 failed, and 1 connection was lost", "UNAVAILABLE (Connection refused)"),
    ),
    "failed without a word": (
        "some_failed",
        result(EVEN, failed=4, message="", evidence=evidence(connections_lost=None)),
        ("4 calls of 304 failed; most often", "(no message)"),
    ),
    "dropped": ("some_dropped", result(EVEN, dropped=30), ("30 calls of 330", "percentiles leave them out")),
    "late": (
        "client_late",
        result(EVEN, plan={"rps": 100.0}, lag=histogram(*[1000] * 90, *[50 * MS] * 10)),
        ("load generator itself was late", "50 ms"),
    ),
    "late with most calls": (
        "client_late",
        result(
            EVEN,
            plan={"stages": "10s@50"},
            lag=histogram(*[20 * MS] * 300),
            service=histogram(*[SECOND] * 300),
        ),
        ("load generator itself was late", "20 ms or more", "took up to 1000 ms once started"),
    ),
    "fell back": (
        "discovery_fell_back",
        result(
            EVEN,
            plan={"discovery": "watch", "discovery_fallback": "poll"},
            events=(Event(-5, "discovery.fallback", {"to": "poll", "reason": "the account may not"}),),
        ),
        ("by --discovery poll, not watch, as --discovery-fallback says: the account may not.",),
    ),
    "dropped by a server that is too slow": (
        "some_dropped",
        result(
            EVEN,
            dropped=30,
            plan={"rps": 100.0, "max_in_flight": 40},
            service=histogram(*[SECOND // 2] * 300),
        ),
        ("answers took 0.5 s on average, so 100 calls/s keep some 50 in flight", "server is too slow"),
    ),
    "dropped in a stall": (
        "some_dropped",
        result(
            EVEN,
            dropped=30,
            plan={"rps": 100.0, "max_in_flight": 90},
            service=histogram(*[MS] * 280, *[SECOND] * 20),
        ),
        ("answers took up to 1 s, and calls piled up meanwhile", "percentiles leave them out"),
    ),
    "dropped by a client that is late": (
        "some_dropped",
        result(EVEN, dropped=30, plan={"rps": 100.0}, lag=histogram(*[SECOND] * 300)),
        ("load generator itself was late, so they came in bursts", "says nothing of the server"),
    ),
    "stopped in its warm-up": (
        "nothing_succeeded",
        result({}, warmup=Totals(5, 5, 5, 0, 0)),
        ("No call was made after the warm-up.",),
    ),
    "closed load on a server that stalls": (
        "closed_hides_stalls",
        result(EVEN, latency=STALLED),
        ("20% of the run in 8 calls of up to 1.00 s", "--rps"),
    ),
    "retried": (
        "retries_hide",
        result(EVEN, evidence=evidence(retries=7)),
        ("made attempts again, 7 at least", "failures that the counts do not show"),
    ),
    "idle replicas behind a ClusterIP": (
        "idle_replicas",
        result(
            {"a": 90}, replicas=[replica(90), replica(0), replica(0, ready_at=STARTED + SECOND), replica(0)]
        ),
        ("3 of 4 replicas got no call", "4.0 times the mean", "The mean hides it"),
    ),
    "observed without a metrics API": (
        "memory_unknown",
        dataclasses.replace(result(EVEN), observed=OBSERVED),
        ("memory is not known, which has no reading of these pods yet", "nothing to go by"),
    ),
    "a shard missing": (
        "shards_missing",
        result(EVEN, shards=[Part(0, 3, STARTED, 10 * SECOND), Part(2, 3, STARTED, 10 * SECOND)]),
        ("1 of 3 shards is missing (1)", "those of the others"),
    ),
    "shards one after another": (
        "shards_apart",
        result(EVEN, shards=[Part(0, 2, STARTED, 10 * SECOND), Part(1, 2, STARTED + 300 * MS, 10 * SECOND)]),
        ("started 0.30 s apart",),
    ),
}


@pytest.mark.parametrize(("rule", "result", "says"), CASES.values(), ids=CASES)
def test_a_rule(rule: str, result: Result, says: tuple[str, ...]) -> None:
    found = {finding.rule: finding.text for finding in judge(result)}
    assert rule in found
    for words in says:
        assert words in found[rule]


def test_the_table_has_every_rule() -> None:
    assert {rule for rule, _, _ in CASES.values()} == {rule.__name__ for rule in (*CAUSES, *CAUTIONS)}


def test_a_balanced_run_has_nothing_else_to_say() -> None:
    (finding,) = judge(result(EVEN))
    assert finding.rule == "even"
    assert finding.text == "Even: 3 backends got 100 calls each by round_robin."


SILENT: dict[str, tuple[str, Result]] = {
    "addresses unknown": ("connection_balanced", result({"a": 9}, evidence=evidence(**UNKNOWN))),
    "connections unknown": (
        "connection_balanced",
        result({"a": 9}, evidence=evidence(addresses=ONE, connections=None)),
    ),
    "one address only": (
        "pick_first",
        result({"a": 9}, evidence=evidence(policy="pick_first", addresses=ONE)),
    ),
    "not looked up again": ("new_addresses_unused", result(EVEN, evidence=evidence(addresses_now=None))),
    "nothing new": ("new_addresses_unused", result(EVEN, evidence=evidence(addresses_now=TWO))),
    "before the run": ("replicas_changed", result(UNEVEN, events=(Event(-1, "backend.added"),))),
    "connection lost, one backend": (
        "replicas_changed",
        result({"a": 9}, events=(Event(5, "connection.lost", {"address": "x"}),)),
    ),
    "cold but even": ("cold_channel", result(EVEN, evidence=evidence(cold=True))),
    "one endpoint": (
        "connection_balanced",
        result({"a": 9}, evidence=evidence(discovery="watch", addresses=ONE, connections=1)),
    ),
    "one backend alone": ("even", result({"a": 9}, evidence=evidence(addresses=ONE, connections=2))),
    "all failed": ("some_failed", result({}, failed=3)),
    "late, closed": ("client_late", result(EVEN, lag=histogram(*[50 * MS] * 300))),
    "a little late": ("client_late", result(EVEN, plan={"rps": 5.0}, lag=histogram(*[19 * MS] * 300))),
    "late after a stall": (
        "client_late",
        result(
            EVEN,
            plan={"rps": 800.0},
            lag=histogram(*[MS] * 290, *[120 * MS] * 10),
            service=histogram(*[40 * MS] * 280, *[1100 * MS] * 20),
        ),
    ),
    "stages on a server that stalls": (
        "closed_hides_stalls",
        result(EVEN, plan={"stages": "10s@50"}, latency=STALLED),
    ),
    "open load on a server that stalls": (
        "closed_hides_stalls",
        result(EVEN, plan={"rps": 5.0}, latency=STALLED),
    ),
    "uneven before reports weigh": ("by_weight", result(UNEVEN, evidence=WEIGHED, duration=9 * SECOND)),
    "three times as slow, but by little": (
        "slow_backend",
        result(EVEN, latencies={"c": histogram(*[6 * MS] * 100)}),
    ),
    "not twice as slow": (
        "slow_backend",
        result(
            EVEN,
            latencies={
                "a": histogram(*[40 * MS] * 100),
                "b": histogram(*[40 * MS] * 100),
                "c": histogram(*[79 * MS] * 100),
            },
        ),
    ),
    "slow in half of its calls, as others are in some": (
        "slow_backend",
        result(EVEN, latencies={"c": histogram(*[2 * MS] * 40, *[90 * MS] * 60)}),
    ),
    "slow, of few calls": (
        "slow_backend",
        result({"a": 100, "b": 100, "c": 29}, latencies={"c": histogram(*[90 * MS] * 29)}),
    ),
    "a few calls of one backend are slow": (
        "slow_backend",
        result({"a": 600, "b": 600}, latencies={"b": histogram(*[2 * MS] * 580, *[SECOND] * 20)}),
    ),
    "no retries": ("retries_hide", result(EVEN, evidence=evidence(retries=0))),
    "retries not known": ("retries_hide", result(EVEN, evidence=evidence(retries=None))),
    "slow but steady": ("closed_hides_stalls", result(EVEN, latency=histogram(*[SECOND] * 300))),
    "few calls": ("closed_hides_stalls", result(EVEN, latency=histogram(*[MS] * 90, *[SECOND] * 2))),
    "a short hiccup": (
        "closed_hides_stalls",
        result(EVEN, latency=histogram(*[2 * MS] * 2000, *[100 * MS] * 8)),
    ),
    "a headless service of one replica": (
        "connection_balanced",
        result(
            {"a": 9}, evidence=evidence(addresses=["10.0.0.1:9090"], connections=1), replicas=[replica(9)]
        ),
    ),
    "cold, and a replica that cannot be reached": (
        "cold_channel",
        result({"a": 9, "b": 9}, evidence=evidence(cold=True), events=(Event(5, "connection.failed"),)),
    ),
    "a replica that came after the run": (
        "idle_replicas",
        result({"a": 90}, replicas=[replica(90), replica(0, ready_at=STARTED + 60 * SECOND)]),
    ),
    "a replica that was never ready": (
        "idle_replicas",
        result({"a": 90}, replicas=[replica(90), replica(0, ready_at=None)]),
    ),
    "replicas of somebody else": ("idle_replicas", result({"a": 90}, replicas=[replica(0), replica(0)])),
    "one shard's own result": ("shards_missing", result(EVEN, shards=[Part(1, 4, STARTED, 10 * SECOND)])),
    "shards together": (
        "shards_apart",
        result(EVEN, shards=[Part(0, 2, STARTED, 10 * SECOND), Part(1, 2, STARTED + 250 * MS, 10 * SECOND)]),
    ),
    "joined while another shard was about to start": (
        "replicas_changed",
        result(
            UNEVEN,
            shards=[Part(0, 2, STARTED, 10 * SECOND), Part(1, 2, STARTED + 9, 10 * SECOND)],
            events=(Event(5, "backend.added", {"address": "x"}),),
        ),
    ),
    "seen by the p99": (
        "closed_hides_stalls",
        result(EVEN, latency=histogram(*[2 * MS] * 200, *[SECOND] * 20)),
    ),
}


@pytest.mark.parametrize(("rule", "result"), SILENT.values(), ids=SILENT)
def test_a_rule_says_nothing_without_evidence(rule: str, result: Result) -> None:
    assert rule not in {finding.rule for finding in judge(result)}


@pytest.mark.parametrize("backends", [2, 3])
def test_no_backend_is_slow_by_chance(backends: int) -> None:
    random = np.random.default_rng(backends)
    names = "abc"[:backends]
    found = 0
    for _ in range(1000):
        # a tail so heavy that ratio and difference say nothing
        drawn = np.minimum(random.lognormal(16, 3, (backends, 30)), 1e12).astype(np.int64)
        latencies = {name: histogram(*drawn[number].tolist()) for number, name in enumerate(names)}
        found += bool(slowness.find(result(dict.fromkeys(names, 30), latencies=latencies)))
    assert found <= 4  # the seed is fixed; 1 is expected at the most


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["static", "dns", "poll"]),
    st.sampled_from([*POLICIES, "another"]),
    *[st.none() | st.lists(st.sampled_from(THREE), min_size=1, unique=True)] * 3,
    st.none() | st.integers(0, 4),
    st.booleans(),
)
def test_every_result_has_one_cause(
    calls: dict[str, int],
    failed: int,
    dropped: int,
    discovery: str,
    policy: str,
    addresses: list[str] | None,
    seen: list[str] | None,
    now: list[str] | None,
    connections: int | None,
    cold: bool,
) -> None:
    known = evidence(
        discovery=discovery,
        policy=policy,
        addresses=addresses,
        addresses_seen=seen,
        addresses_now=now,
        connections=connections,
        cold=cold,
    )
    one = result(calls, failed=failed, dropped=dropped, evidence=known)
    before = dataclasses.replace(one)
    first, *rest = judge(one)
    assert first.rule in {rule.__name__ for rule in CAUSES}
    assert {finding.rule for finding in rest} <= {rule.__name__ for rule in CAUTIONS}
    assert all(finding.text.endswith(".") and "\n" not in finding.text for finding in (first, *rest))
    assert one == before
