"""The plan of the load, and when it is run again."""

import json
import shutil

import click
import pytest
from click.testing import CliRunner

from loadgen import launch, planfile
from loadgen.commands import run as command
from loadgen.commands.search import search
from loadgen.plan import Plan
from tests.chart.helm import CHART, PRESETS, RELEASE, Manifests, helm, sets


@pytest.mark.parametrize(
    ("values", "target", "expected"),
    [
        (["headless=true"], "demo-grpc-spread-headless:9090", 3),
        (["headless=true", "replicaCount=7"], "demo-grpc-spread-headless:9090", 7),
        (["headless=true", "loadgen.config.expect_backends=2"], "demo-grpc-spread-headless:9090", 2),
        (["headless=true", "lbPolicy=pick_first"], "demo-grpc-spread-headless:9090", None),
        (["headless=true", "autoscaling.mode=hpa"], "demo-grpc-spread-headless:9090", None),
        (["headless=true", "loadgen.config.cold=true"], "demo-grpc-spread-headless:9090", None),
        (["headless=true", "loadgen.config.connections=per-call"], "demo-grpc-spread-headless:9090", None),
        (["headless=true", "loadgen.config.target=else:1"], "else:1", None),
        (["headless=false"], "demo-grpc-spread:9090", None),
    ],
)
def test_whom_it_calls_and_how_many_it_waits_for(values, target, expected):
    plan = Manifests(*sets(*values)).plan
    assert plan["target"] == target
    assert plan.get("expect_backends") == expected


def test_the_default_plan():
    assert Manifests().plan == {
        "target": "demo-grpc-spread:9090",
        "total": 3000,
        "concurrency": 10,
        "lb_policy": "round_robin",
        "ready_timeout": "120s",
    }


def test_null_leaves_a_key_out():
    plan = Manifests(*sets("loadgen.config.total=null", "loadgen.config.duration=10s", "lbPolicy=null")).plan
    assert "total" not in plan
    assert "lb_policy" not in plan


def test_large_numbers_stay_numbers(tmp_path):
    """From a values file they are floats, which YAML would write as 2e+06, and that is text to PyYAML."""
    values = tmp_path / "values.yaml"
    values.write_text(
        "loadgen: {config: {total: 2000000, concurrency: null, rps: 1000000}}\nrunId: 1764000000"
    )
    plan = Manifests("-f", str(values)).plan
    assert plan["total"] == 2_000_000
    assert plan["rps"] == 1_000_000


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *(["-f", str(preset)] for preset in PRESETS),
        sets("headless=true"),
        sets("loadgen.parallelism=4"),
        sets(
            "loadgen.config.retry=2", "loadgen.config.keepalive_time=30s", "loadgen.config.compression=gzip"
        ),
        sets("loadgen.config.metadata={a:b,c:d}", "loadgen.config.connections=5", "loadgen.config.cold=true"),
        sets("loadgen.config.concurrency=null", "loadgen.config.rps=0.5", "loadgen.config.max_in_flight=7"),
        sets(
            *("loadgen.config.concurrency=null", "loadgen.config.total=null", "loadgen.config.warmup=20s"),
            *(r"loadgen.config.stages=30s:100\,1m30s@5.5\, 500ms:0", "loadgen.activeDeadlineSeconds=361"),
            "loadgen.config.threshold={p99.9<=50ms,each.p99<1s,error_rate<0.1%,rate>=0.99*target,dropped==0}",
        ),
        sets(
            *("loadgen.config.concurrency=null", "loadgen.config.rps=50", "loadgen.parallelism=4"),
            *("loadgen.config.arrival=poisson", "loadgen.config.warmup=5s"),
        ),
    ],
    ids=str,
)
def test_loadgen_takes_the_plan(arguments, tmp_path, monkeypatch):
    plans: list[Plan] = []

    def keep(plan: Plan, *_: object) -> None:
        plans.append(plan)
        raise click.Abort

    monkeypatch.setattr(launch, "Run", keep)
    manifests = Manifests(*arguments)
    file = tmp_path / "plan.yaml"
    file.write_text(manifests.one("ConfigMap")["data"]["plan.yaml"])
    (container,) = manifests.one("Job")["spec"]["template"]["spec"]["containers"]
    verb, *words = [
        word.replace("/etc/loadgen/plan.yaml", str(file)).replace("$(JOB_COMPLETION_INDEX)", "3")
        for word in container["args"]
    ]
    assert verb == "run"
    result = CliRunner().invoke(command.run, words)
    assert plans, result.output
    assert plans[0].target == manifests.plan["target"]


@pytest.mark.parametrize(
    "data", ['[{"name":"{{number}}"}]', '{"id":1,"of":{"x":null}}', '"{\\"id\\": 12345678901234567}"']
)
def test_data_reaches_the_call_as_json(data, tmp_path):
    config = f'loadgen.config={{"target":"shop:90","call":"shop.v1.Shop/Add","data":{data}}}'
    file = tmp_path / "plan.yaml"
    file.write_text(Manifests("--set-json", config).one("ConfigMap")["data"]["plan.yaml"])
    known = [param.name for param in command.run.params]
    given = planfile.read(file, known)
    assert given["call"] == "shop.v1.Shop/Add"
    expected = json.loads(data)
    assert given["data"] == expected
    ctx = command.run.make_context("run", ["--config", str(file)])
    assert json.loads(ctx.params["data"]) == (json.loads(expected) if isinstance(expected, str) else expected)


POISSON = ("loadgen.config.concurrency=null", "loadgen.config.rps=50", "loadgen.config.arrival=poisson")


def test_load_generators_that_draw_arrivals_have_one_seed():
    """Each in a pod of its own, they could not agree on one."""
    seed = Manifests(*sets(*POISSON, "loadgen.parallelism=4")).plan["seed"]
    assert Manifests(*sets(*POISSON, "loadgen.parallelism=4")).plan["seed"] == seed
    assert Manifests(*sets(*POISSON, "loadgen.parallelism=4", "runId=2")).plan["seed"] != seed
    assert Manifests(*sets(*POISSON, "loadgen.parallelism=4", "loadgen.config.seed=0")).plan["seed"] == 0
    assert "seed" not in Manifests(*sets(*POISSON)).plan  # one draws its own


@pytest.mark.parametrize(
    ("data", "random"),
    [('{"id":"{{ uuid }}"}', True), ('[{"n":"{{randint 1 5}}"}]', True), ('{"id":"{{number}}"}', False)],
)
def test_load_generators_that_draw_values_have_one_seed(data, random):
    config = f'loadgen.config={{"target":"shop:90","call":"a.B/C","concurrency":4,"data":{data}}}'
    plan = Manifests("--set-json", config, *sets("loadgen.parallelism=4")).plan
    assert ("seed" in plan) is random


RUNS_AGAIN = (
    "headless=true",
    "lbPolicy=pick_first",
    "loadgen.config.total=5",
    "runId=1",
    "runId=again",
    "server.delay=20ms",
    "server.image.tag=v2",
    "loadgen.image.tag=v2",
    "loadgen.resources.limits.memory=1Gi",
    "loadgen.parallelism=2",
    "tls.existingSecret=pair",
)
RUNS_ONCE = (
    "replicaCount=5",
    "autoscaling.mode=hpa",
    "commonLabels.team=a",
    "server.annotations.a=b",
    "server.service.annotations.a=b",
    "server.podDisruptionBudget.enabled=false",
    "loadgen.annotations.a=b",
)


def test_another_load_or_other_servers_are_another_run():
    names = [Manifests(*sets(pair)).run for pair in ("headless=false", *RUNS_AGAIN)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("pair", RUNS_ONCE)
def test_what_concerns_neither_is_no_run(pair):
    first, second = Manifests(), Manifests(*sets(pair))
    assert first.run == second.run
    # a Job cannot be changed: an upgrade with the same name needs the same spec
    assert first.one("Job")["spec"] == second.one("Job")["spec"]


def test_a_new_version_of_the_chart_alone_is_no_run(tmp_path):
    copy = tmp_path / "grpc-spread"
    shutil.copytree(CHART, copy)
    chart = copy / "Chart.yaml"
    chart.write_text(chart.read_text().replace("\nversion: ", "\nversion: 9"))
    text = helm("template", RELEASE, str(copy), "--namespace", "trial")
    assert "helm.sh/chart: grpc-spread-9" in text
    assert f"name: {Manifests().run}\n" in text


def test_a_run_id_is_text_or_a_number():
    assert Manifests("--set", "runId=1764000000").run == Manifests("--set-string", "runId=1764000000").run


def test_a_run_id_from_a_file_is_the_same_number(tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text("runId: 1764000000")
    assert Manifests("-f", str(values)).run == Manifests("--set", "runId=1764000000").run


def test_the_job_never_tries_again():
    spec = Manifests().one("Job")["spec"]
    assert spec["backoffLimitPerIndex"] == 0
    assert "podFailurePolicy" not in spec
    assert "ttlSecondsAfterFinished" not in spec
    assert "activeDeadlineSeconds" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["completionMode"] == "Indexed"


def test_a_deadline_that_leaves_time_to_report():
    values = sets("loadgen.config.duration=1m30s", "loadgen.activeDeadlineSeconds=330")
    assert Manifests(*values).one("Job")["spec"]["activeDeadlineSeconds"] == 330


def test_a_deadline_of_stages_and_of_a_warm_up():
    stages = sets("loadgen.config.concurrency=null", "loadgen.config.total=null")
    values = [*stages, *sets("loadgen.config.stages=1m:5", "loadgen.activeDeadlineSeconds=300")]
    assert Manifests(*values).one("Job")["spec"]["activeDeadlineSeconds"] == 300
    values = sets("loadgen.config.duration=1m", "loadgen.config.warmup=10s")
    values += sets("loadgen.activeDeadlineSeconds=310")
    assert Manifests(*values).one("Job")["spec"]["activeDeadlineSeconds"] == 310


def test_one_load_generator_waits_for_no_other():
    manifests = Manifests()
    spec = manifests.one("Job")["spec"]
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert "subdomain" not in spec["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert [word for word in container["args"] if "shard" in word or "together" in word] == []
    assert manifests.names("Service") == {"demo-grpc-spread"}


def test_several_find_shard_0_by_a_name_that_is_there():
    manifests = Manifests("--set", "loadgen.parallelism=4", release="r" * 53)
    job, name = manifests.one("Job"), manifests.run
    spec = job["spec"]
    assert (spec["completions"], spec["parallelism"]) == (4, 4)
    (service,) = [one for one in manifests.kind("Service") if one["metadata"]["name"] == name]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    # a Job's pods are called after it and their index, and are found as HOSTNAME.SUBDOMAIN
    assert spec["template"]["spec"]["subdomain"] == name
    (container,) = spec["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert "--shard=$(JOB_COMPLETION_INDEX)/4" in container["args"]
    assert f"--start-together={name}-0.{name}:{port['containerPort']}" in container["args"]
    assert service["spec"]["ports"][0]["port"] == port["containerPort"]
    assert len(f"{name}-999") <= 63


def test_a_search_takes_the_plan_without_its_load(tmp_path, monkeypatch):
    manifests = Manifests(
        *sets("loadgen.mode=search", "headless=true", "loadgen.search.step=3s"),
        "--set-json", 'loadgen.config.threshold=["p99<50ms"]',
    )  # fmt: skip
    (container,) = manifests.one("Job")["spec"]["template"]["spec"]["containers"]
    file = tmp_path / "plan.yaml"
    file.write_text(manifests.one("ConfigMap")["data"]["plan.yaml"])
    verb, *words = [word.replace("/etc/loadgen/plan.yaml", str(file)) for word in container["args"]]
    ctx = search.make_context(verb, words)
    assert (verb, ctx.params["from"], ctx.params["step"]) == ("search", 10.0, 3_000_000_000)
    assert [str(one) for one in ctx.params["threshold"]] == ["p99<50ms"]
    assert ctx.params["expect_backends"] == 3
