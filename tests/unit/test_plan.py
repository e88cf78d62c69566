"""The plan: options that go together."""

import dataclasses
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import planfile
from loadgen.cli import cli
from loadgen.errors import PlanError
from loadgen.plan import Plan
from loadgen.stages import Stage
from loadgen.thresholds import Threshold

SECOND = 1_000_000_000
STAGES = (Stage(10 * SECOND, 5.0, step=False),)


def plan(**options: Any) -> Plan:
    return Plan(target="x:1", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rps": 5.0, "interval": 1}, "--rps .*--interval"),
        ({"rps": 5.0, "concurrency": 2}, "--max-in-flight, not --concurrency"),
        ({"max_in_flight": 5}, "--max-in-flight is for open load"),
        ({"stages": STAGES, "rps": 5.0}, "--stages says how fast and how long, --rps too"),
        ({"stages": STAGES, "duration": 5}, "--stages says how fast and how long, --duration too"),
        ({"stages": STAGES, "total": 5}, "--stages says how fast and how long, --total too"),
        ({"stages": STAGES, "interval": 5}, "--stages sets when calls start, --interval too"),
        ({"stages": STAGES, "concurrency": 5}, "--stages starts calls whatever is in flight"),
        ({"stages": STAGES, "warmup": 10 * SECOND}, "--stages, which take 10 s: nothing is left then"),
        ({"arrival": "poisson"}, "--arrival is for open load: give --rps or --stages"),
        ({"arrival": "constant"}, "--arrival is for open load"),
        ({"rps": 5.0, "seed": 1}, "--seed needs --arrival poisson"),
        ({"rps": 5.0, "arrival": "constant", "seed": 1}, "--seed needs --arrival poisson"),
        ({"threshold": (Threshold.parse("rate>=0.9*target"),)}, "rate>=0.9.target needs open load"),
        ({"poll_interval": 5}, "--poll-interval needs --discovery poll"),
        ({"poll_interval": 5, "discovery": "static"}, "--poll-interval needs --discovery poll"),
        ({"discovery_fallback": "poll", "discovery": "static"}, "needs --discovery watch"),
        ({"rotate_connections": 5, "discovery": "poll"}, "--rotate-connections needs --discovery dns: poll"),
        ({"rotate_connections": 5, "connections": 0}, "--connections per-call exclude each other"),
        ({"dns_min_time_between_resolutions": 5, "discovery": "poll"}, "it needs --discovery dns"),
        ({"cold": True, "expect_backends": 1}, "leave one out"),
        ({"expect_backends": 2}, "needs --lb-policy round_robin"),
        ({"expect_backends": 2, "lb_policy": "round_robin", "connections": 0}, "per-call"),
        ({"call": "Get"}, "write package.Service/Method"),
        ({"data": "{}"}, "--data needs --call"),
        ({"stream_cancel_after": 1}, "--stream-cancel-after needs --call"),
        ({"call": "a.B/C", "import_path": ("x",)}, "--import-path is for --proto"),
        ({"call": "a.B/C", "data": "{}", "data_file": "f"}, "leave one out"),
        ({"call": "a.B/C", "data": "{}", "data_order": "random"}, "--data-order needs --data-file"),
        ({"backend_from": "peer", "connections": 0}, "peer cannot be counted"),
        ({"cert": "a"}, "--cert and --key need each other"),
        ({"token_file": "a", "metadata": (("authorization", "b"),)}, "--token-file exclude each other"),
        ({"keepalive_timeout": 5}, "--keepalive-timeout needs --keepalive-time"),
        ({"retry_codes": "ABORTED"}, "--retry-codes needs --retry"),
        ({"health_check": True}, "--health-check needs --lb-policy round_robin"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        plan(**options)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"concurrency": 5, "interval": 1, "total": 3, "duration": 9},
        {"rps": 5.0, "max_in_flight": 5},
        {"stages": STAGES, "max_in_flight": 5, "warmup": SECOND, "arrival": "poisson", "seed": 0},
        {"rps": 5.0, "threshold": (Threshold.parse("rate>=0.9*target"),)},
        {"threshold": (Threshold.parse("rate>=9"), Threshold.parse("p99<1s"))},
        {"discovery": "poll", "poll_interval": 5},
        {"discovery": "watch", "discovery_fallback": "poll", "poll_interval": 5},
        {"rotate_connections": 5, "dns_min_time_between_resolutions": 5},
        {"expect_backends": 1},
        {"call": "a.B/C", "proto": ("a",), "import_path": ("x",), "protoset": ("b",), "data": "{}"},
        {"call": "a.B/C", "data_file": "f", "data_order": "random", "seed": 3},
        {"backend_from": "peer"},
        {"expect_backends": 1, "connections": 0},
        {"expect_backends": 3, "lb_policy": "round_robin", "health_check": True, "connections": 3},
        {"cold": True, "lb_policy": "round_robin"},
    ],
)
def test_options_that_go_together(options: dict[str, Any]) -> None:
    assert plan(**options)


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({}, "field:id"),
        ({"connections": 0}, "field:id"),
        ({"call": "Service/Get"}, "field:id"),
        ({"call": "a.B/C"}, "peer"),
        ({"call": "a.B/C", "connections": 0}, "none"),
        ({"call": "a.B/C", "backend_from": "metadata:x"}, "metadata:x"),
        ({"backend_from": "peer"}, "peer"),
    ],
)
def test_where_backends_are_read_from_by_default(options: dict[str, Any], source: str) -> None:
    assert plan(**options).to_json()["backend_from"] == source


def test_data_is_told_apart_and_not_shown() -> None:
    one, other = (plan(call="a.B/C", data=data).to_json()["data"] for data in ('{"a": 1}', '{"a": 2}'))
    assert one != other
    assert one.startswith("sha256:")
    assert plan(call="a.B/C", data="@f").to_json()["data"] == "@f"


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, (200, None)),
        ({"total": 7}, (7, None)),
        ({"duration": 7}, (None, 7)),
        ({"total": 7, "duration": 8}, (7, 8)),
    ],
)
def test_a_run_always_has_an_end(options: dict[str, Any], limits: tuple[int | None, int | None]) -> None:
    assert plan(**options).limits == limits


durations = st.integers(1, 3_600_000).map(lambda milli: milli * 1_000_000)
closed = st.fixed_dictionaries(
    {
        "concurrency": st.none() | st.integers(1, 100),
        "total": st.none() | st.integers(1),
        "duration": st.none() | durations,
        "interval": st.none() | durations,
        "warmup": st.none() | durations,
    }
)
arrivals = st.one_of(
    st.just({}),
    st.just({"arrival": "constant"}),
    st.fixed_dictionaries({"arrival": st.just("poisson"), "seed": st.none() | st.integers(0, 2**53 - 1)}),
)
rates = st.floats(0.001, 1_000_000)
opened = st.one_of(
    st.fixed_dictionaries({"rps": rates, "duration": durations, "warmup": st.none() | durations}),
    st.fixed_dictionaries(
        {
            "stages": st.lists(st.builds(Stage, durations, rates, st.booleans()), min_size=1, max_size=4).map(
                tuple
            ),
            "max_in_flight": st.none() | st.integers(1, 1000),
        }
    ),
)
loads = closed | st.tuples(opened, arrivals).map(lambda both: {**both[0], **both[1]})
kept = st.lists(
    st.sampled_from(["p99<50ms", "each.p99.9<=1s", "error_rate<0.1%", "dropped==0"]).map(Threshold.parse),
    max_size=3,
).map(tuple)
plans = st.builds(
    lambda load, **rest: Plan(**load, **rest),
    loads,
    target=st.just("server:9090"),
    threshold=kept,
    lb_policy=st.just("round_robin"),
    connections=st.integers(0, 1000),
    discovery=st.just("poll"),
    poll_interval=st.none() | durations,
    ready_timeout=durations,
    cold=st.booleans(),
    health_check=st.booleans(),
    timeout=durations | st.just(0),
    backend_from=st.sampled_from(["field:id", "metadata:replica-id"]),
)


@settings(max_examples=30)
@given(plans)
def test_a_result_tells_the_plan_as_a_plan_file_would(plan: Plan) -> None:
    """What the result says was asked for can be asked for again."""
    content = yaml.safe_load(yaml.safe_dump(plan.to_json()))
    command = cli.commands["run"]
    target = content.pop("target")
    context = click.Context(command, default_map=content)
    command.parse_args(context, [target])
    names = [field.name for field in dataclasses.fields(Plan)]
    assert Plan(**{name: context.params[name] for name in names}) == plan


def test_values_of_metadata_are_kept_out_of_the_result() -> None:
    content = plan(metadata=(("authorization", "secret"), ("k", "v"))).to_json()
    assert content["metadata"] == ["authorization:...", "k:..."]
    assert "secret" not in str(content)


def test_every_option_of_the_plan_is_a_flag_and_a_key_of_the_plan_file(tmp_path: Path) -> None:
    command = cli.commands["run"]
    flags = {param.name for param in command.params}
    assert {field.name for field in dataclasses.fields(Plan)} | {
        "config",
        "log_result",
        "output",
        "quiet",
        "shard",
        "start_together",
        "termination_log",
        "workers",
    } == flags
    path = tmp_path / "plan.yaml"
    path.write_text("".join(f"{name}: 1\n" for name in flags))
    assert set(planfile.read(path, sorted(filter(None, flags)))) == flags
