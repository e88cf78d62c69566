"""What is rendered for which values."""

import itertools
import json

import pytest

from loadgen.commands.run import run
from tests.chart.helm import CHART, PRESETS, ROOT, Manifests, helm, sets

MODES = ("none", "hpa", "keda")
LABELS = ("name", "instance", "version", "managed-by", "part-of", "component")


@pytest.mark.parametrize("preset", [None, *PRESETS], ids=lambda path: path.stem if path else "default")
def test_lint_is_content(preset):
    helm("lint", "--strict", str(CHART), *(["-f", str(preset)] if preset else []))


def test_the_default_is_as_it_was(snapshot):
    assert Manifests().text == snapshot


def test_headless_is_as_it_was(snapshot):
    assert Manifests("--set", "headless=true").text == snapshot


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_renders_what_it_says(preset, snapshot):
    manifests = Manifests("-f", str(preset))
    assert manifests.plan == snapshot
    assert bool(manifests.kind("Deployment")) == (preset.stem != "staging-capacity")


TOGGLES = [
    combination
    for combination in itertools.product(
        (True, False),
        ("round_robin", "pick_first", "weighted_round_robin"),
        MODES,
        (True, False),
        (True, False),
    )
    if combination[3] or combination[2] == "none"  # without servers there is nothing to scale
]


@pytest.mark.parametrize(("headless", "policy", "mode", "servers", "loadgen"), TOGGLES)
def test_each_combination_of_toggles(headless, policy, mode, servers, loadgen):
    flags = {
        "headless": str(headless).lower(),
        "lbPolicy": policy,
        "autoscaling.mode": mode,
        "server.enabled": str(servers).lower(),
        "loadgen.enabled": str(loadgen).lower(),
        "loadgen.config.target": "null" if servers else "else:1",
    }
    manifests = Manifests(*sets(*(f"{key}={text}" for key, text in flags.items())))
    assert len(manifests.kind("Deployment")) == servers
    assert len(manifests.kind("PodDisruptionBudget")) == servers
    assert len(manifests.kind("Service")) == servers * (1 + headless)
    assert len(manifests.kind("Job")) == len(manifests.kind("ConfigMap")) == loadgen
    assert len(manifests.kind("HorizontalPodAutoscaler")) == (mode == "hpa")
    assert len(manifests.kind("ScaledObject")) == (mode == "keda")
    assert len(manifests.kind("ServiceAccount")) == servers + loadgen
    if servers:
        # server-side apply would fight the autoscaler over it
        assert ("replicas" in manifests.one("Deployment")["spec"]) == (mode == "none")
    if loadgen:
        assert manifests.plan["lb_policy"] == policy


def test_every_object_has_the_standard_labels_and_the_namespace():
    manifests = Manifests("--set", "headless=true,autoscaling.mode=hpa")
    for one in manifests.all:
        labels = one["metadata"]["labels"]
        assert [label for label in LABELS if f"app.kubernetes.io/{label}" not in labels] == [], one["kind"]
        assert labels["helm.sh/chart"].startswith("grpc-spread-")
        assert one["metadata"]["namespace"] == "trial"


def test_the_selectors_match_the_servers_alone():
    manifests = Manifests("--set", "headless=true", "--set", "server.podLabels.team=a")
    server = manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    load = manifests.one("Job")["spec"]["template"]["metadata"]["labels"]
    selectors = [one["spec"]["selector"] for one in manifests.kind("Service")]
    selectors.append(manifests.one("Deployment")["spec"]["selector"]["matchLabels"])
    selectors.append(manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= server.items()
        assert not selector.items() <= load.items()
    assert server["team"] == "a"


def test_pod_labels_do_not_break_the_selector():
    manifests = Manifests("--set", "server.podLabels.app\\.kubernetes\\.io/component=else")
    labels = manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "server"


def test_names_fit_a_release_of_53_characters():
    release = "r" * 52 + "z"
    manifests = Manifests("--set", "headless=true,autoscaling.mode=keda", release=release)
    for one in manifests.all:
        assert len(one["metadata"]["name"]) <= 63, one["kind"]
        assert all(len(label) <= 63 for label in one["metadata"]["labels"].values())
    assert len(manifests.run) <= 58
    assert len(manifests.one("ScaledObject")["metadata"]["name"]) <= 54
    other = Manifests("--set", "headless=true,autoscaling.mode=keda", release="r" * 52 + "y")
    for kind in ("Service", "Job", "ConfigMap", "Deployment", "ScaledObject", "ServiceAccount"):
        assert not manifests.names(kind) & other.names(kind), kind


def test_a_full_name_of_63_characters_leaves_no_two_objects_of_a_kind_alike():
    manifests = Manifests("--set", f"headless=true,fullnameOverride={'f' * 63}")
    for kind in ("Service", "ServiceAccount"):
        names = [one["metadata"]["name"] for one in manifests.kind(kind)]
        assert len(set(names)) == 2
        assert max(map(len, names)) <= 63


def test_restricted_pods():
    manifests = Manifests()
    specs = [manifests.one(kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]
    specs.append(manifests.one("Pod")["spec"])
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_autoscalers_aim_at_memory():
    hpa = Manifests("--set", "autoscaling.mode=hpa").one("HorizontalPodAutoscaler")
    assert hpa["spec"]["metrics"][0]["resource"]["target"] == {
        "type": "Utilization",
        "averageUtilization": 80,
    }
    assert hpa["metadata"]["annotations"]["validations.keda.sh/hpa-ownership"] == "false"
    quantity = sets(
        "autoscaling.memory.targetUtilization=null", "autoscaling.memory.targetAverageValue=200Mi"
    )
    hpa = Manifests("--set", "autoscaling.mode=hpa", *quantity).one("HorizontalPodAutoscaler")
    assert hpa["spec"]["metrics"][0]["resource"]["target"] == {
        "type": "AverageValue",
        "averageValue": "200Mi",
    }
    trigger = Manifests("--set", "autoscaling.mode=keda").one("ScaledObject")["spec"]["triggers"][0]
    assert trigger == {"type": "memory", "metricType": "Utilization", "metadata": {"value": "80"}}
    trigger = Manifests("--set", "autoscaling.mode=keda", *quantity).one("ScaledObject")["spec"]["triggers"][
        0
    ]
    assert trigger == {"type": "memory", "metricType": "AverageValue", "metadata": {"value": "200Mi"}}


def test_the_autoscalers_have_different_names():
    """Else an upgrade from one to the other would find the new one's name taken."""
    hpa = Manifests("--set", "autoscaling.mode=hpa").one("HorizontalPodAutoscaler")
    keda = Manifests("--set", "autoscaling.mode=keda").one("ScaledObject")
    assert f"keda-hpa-{keda['metadata']['name']}" != hpa["metadata"]["name"]


def test_extra_objects_are_templates():
    text = "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: '{{ .Release.Name }}-text'"
    manifests = Manifests(
        "--set",
        "loadgen.enabled=false",
        "--set-json",
        f"extraObjects=[{_json(text)},"
        '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"{{ .Release.Name }}-map"}}]',
    )
    assert manifests.names("ConfigMap") == {"demo-text", "demo-map"}


def _json(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


def test_options_of_the_server_reach_it():
    manifests = Manifests(
        *sets(
            "server.delay=20ms",
            "server.slots=4",
            "server.errorRatio=0.25",
            "server.stall.every=10s",
            "server.stall.for=1s",
            "server.maxConnectionAge=5m",
            "server.maxConnectionAgeGrace=10s",
            "server.port=8080",
            "server.logLevel=debug",
        )
    )
    container = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env.pop("SERVER_NAME") is env.pop("POD_IP") is None
    assert env == {
        "SERVER_ADDRESS": "$(POD_IP):8080",
        "SERVER_HOST": "0.0.0.0",
        "SERVER_PORT": "8080",
        "SERVER_METRICS_PORT": "9100",
        "SERVER_LOG_LEVEL": "debug",
        "SERVER_DRAIN_DELAY": "2s",
        "SERVER_DRAIN_TIMEOUT": "30s",
        "SERVER_DELAY": "20ms",
        "SERVER_SLOTS": "4",
        "SERVER_ERROR_RATIO": "0.25",
        "SERVER_STALL_EVERY": "10s",
        "SERVER_STALL_FOR": "1s",
        "SERVER_MAX_CONNECTION_AGE": "5m",
        "SERVER_MAX_CONNECTION_AGE_GRACE": "10s",
    }
    assert manifests.plan["target"] == "demo-grpc-spread:8080"
    probes = [container[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness", "liveness")]
    assert probes == [{"port": 8080}] * 3


def environment(*arguments):
    container = Manifests(*arguments).one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value") for one in container["env"]}


SLOW = sets("headless=true", "server.slowReplica.enabled=true", "server.delay=5ms", "server.slots=4")


def test_one_replica_is_slow_behind_the_same_services():
    manifests = Manifests(*SLOW)
    by_name = {one["metadata"]["name"]: one["spec"] for one in manifests.kind("Deployment")}
    assert set(by_name) == {"demo-grpc-spread", "demo-grpc-spread-slow"}
    main, slow = by_name["demo-grpc-spread"], by_name["demo-grpc-spread-slow"]
    assert (main["replicas"], slow["replicas"]) == (2, 1)
    assert manifests.plan["expect_backends"] == 3
    labels = [one["template"]["metadata"]["labels"] for one in (main, slow)]
    selectors = [one["selector"]["matchLabels"] for one in (main, slow)]
    for mine, other in ((0, 1), (1, 0)):
        assert selectors[mine].items() <= labels[mine].items()
        assert not selectors[mine].items() <= labels[other].items()
    shared = [one["spec"]["selector"] for one in manifests.kind("Service")]
    shared.append(manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
    for selector in shared:
        assert all(selector.items() <= one.items() for one in labels)
    pods = [one["template"]["spec"] for one in (main, slow)]
    variables = [{e["name"]: e.get("value") for e in pod["containers"][0].pop("env")} for pod in pods]
    assert [one.pop("SERVER_DELAY") for one in variables] == ["5ms", "100ms"]
    assert variables[0] == variables[1]
    assert pods[0] == pods[1]


def test_a_slow_replica_is_another_run_and_its_delay_too():
    runs = {Manifests(*more).run for more in (SLOW[:2], SLOW, [*SLOW, *sets("server.slowReplica.delay=1s")])}
    assert len(runs) == 3


@pytest.mark.parametrize("mode", ["hpa", "keda"])
def test_an_autoscaler_leaves_the_slow_replica_alone(mode):
    manifests = Manifests(*SLOW, "--set", f"autoscaling.mode={mode}")
    (scaled,) = [one for one in manifests.kind("Deployment") if "replicas" not in one["spec"]]
    target = (manifests.kind("HorizontalPodAutoscaler") + manifests.kind("ScaledObject"))[0]
    assert target["spec"]["scaleTargetRef"]["name"] == scaled["metadata"]["name"] == "demo-grpc-spread"


@pytest.mark.parametrize("config", ["{blackoutPeriod: 0s}", '\'{"blackoutPeriod": "0s"}\''])
def test_a_policys_configuration_reaches_the_load_generator(config, tmp_path):
    (tmp_path / "values.yaml").write_text(f"loadgen: {{config: {{lb_config: {config}}}}}")
    reports = sets("lbPolicy=weighted_round_robin", "server.orca=per-call")
    manifests = Manifests(*reports, "-f", str(tmp_path / "values.yaml"))
    (tmp_path / "plan.yaml").write_text(manifests.one("ConfigMap")["data"]["plan.yaml"])
    context = run.make_context("run", ["--config", str(tmp_path / "plan.yaml")])
    assert json.loads(context.params["lb_config"]) == {"blackoutPeriod": "0s"}
    assert environment(*reports)["SERVER_ORCA"] == "per-call"


HELD = sets("server.memory.perCall=225Ki", "server.memory.hold=30s")


def test_calls_hold_memory_where_asked():
    assert not [name for name in environment() if "MEMORY" in name]
    env = environment(*HELD, "--set", "server.memory.max=400Mi")
    assert env["SERVER_MEMORY_PER_CALL"] == "225Ki"
    assert env["SERVER_MEMORY_HOLD"] == "30s"
    assert env["SERVER_MEMORY_MAX"] == "400Mi"
    env = environment(*HELD, *sets("server.memory.max=2Gi", "server.resources.limits.memory=null"))
    assert env["SERVER_MEMORY_MAX"] == "2Gi"


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        ("1Gi", 858_993_459),
        ("1.5Gi", 1_288_490_188),
        ("512Mi", 429_496_729),
        ("1048576Ki", 858_993_459),
        ("1G", 800_000_000),
        ("500M", 400_000_000),
        ("900000k", 720_000_000),
        ("1000000000000m", 800_000_000),
        ("1000000000", 800_000_000),
        ("1Ti", 879_609_302_220),
    ],
)
def test_four_fifths_of_the_memory_limit_are_for_calls(limit, most, tmp_path):
    assert environment(*HELD, "--set", f"server.resources.limits.memory={limit}")["SERVER_MEMORY_MAX"] == str(
        most
    )
    # from a file, a number is a float
    values = tmp_path / "values.yaml"
    values.write_text(f"server: {{resources: {{limits: {{memory: {limit}}}}}}}")
    assert environment(*HELD, "-f", str(values))["SERVER_MEMORY_MAX"] == str(most)


@pytest.mark.parametrize("mode", ["hpa", "keda"])
def test_a_memory_trial_settles(mode):
    """With four replicas: with three it would be too much, and one alone must outlive it."""
    manifests = Manifests("-f", str(ROOT / f"values/{mode}-memory.yaml"))
    resources = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]
    env = environment("-f", str(ROOT / f"values/{mode}-memory.yaml"))
    assert (env["SERVER_MEMORY_PER_CALL"], env["SERVER_MEMORY_HOLD"]) == ("225Ki", "30s")
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("256Mi", "1Gi")
    held, request = manifests.plan["rps"] * 225 * 30 / 1024, 256  # in Mi
    assert held < int(env["SERVER_MEMORY_MAX"]) / 1024**2
    for idle in (25, 50):  # as measured in pods, and as a process
        assert (idle + held / 3) / request > 0.80 * 1.1  # beyond the tolerance of a tenth
        assert (idle + held / 4) / request < 0.80 * 1.1
    assert manifests.plan["discovery"] == "poll"
    assert "headless" in manifests.plan["target"]
    target = {
        "hpa": lambda: manifests.one("HorizontalPodAutoscaler")["spec"]["metrics"][0]["resource"]["target"],
        "keda": lambda: manifests.one("ScaledObject")["spec"]["triggers"][0]["metadata"],
    }[mode]()
    assert target in ({"type": "Utilization", "averageUtilization": 80}, {"value": "80"})
