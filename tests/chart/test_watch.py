"""Discovery `watch` and observing: rights and a token where they are needed, and nowhere else."""

import pytest

from tests.chart.helm import PRESETS, Manifests, sets
from tests.chart.test_notes import notes

WATCH = "loadgen.config.discovery=watch"
ELSEWHERE = ["server.enabled=false", "loadgen.config.target=web.shop.svc:80"]


def mounted(manifests):
    """Return the kinds whose pods get a token."""
    specs = {kind: one["spec"] for kind in ("Pod", "Job", "Deployment") for one in manifests.kind(kind)}
    pods = {kind: spec if kind == "Pod" else spec["template"]["spec"] for kind, spec in specs.items()}
    return {kind for kind, pod in pods.items() if pod["automountServiceAccountToken"]}


def test_the_account_may_read_endpoints_and_nothing_else():
    manifests = Manifests(*sets(WATCH))
    role, binding = manifests.one("Role"), manifests.one("RoleBinding")
    assert role["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        },
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "trial"
    account = manifests.one("Job")["spec"]["template"]["spec"]["serviceAccountName"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "trial"}]
    assert account in manifests.names("ServiceAccount")
    assert mounted(manifests) == {"Job"}
    assert manifests.plan["discovery"] == "watch"


def test_another_discovery_in_its_place_has_its_own_options():
    settings = ("loadgen.config.discovery_fallback=poll", "loadgen.config.poll_interval=2s")
    plan = Manifests(*sets(WATCH, *settings)).plan
    assert (plan["discovery_fallback"], plan["poll_interval"]) == ("poll", "2s")


@pytest.mark.parametrize("discovery", ["null", "static", "dns", "poll"])
def test_any_other_discovery_has_no_rights_and_no_token(discovery):
    manifests = Manifests(*sets(f"loadgen.config.discovery={discovery}"))
    assert manifests.kind("Role") == manifests.kind("RoleBinding") == []
    assert mounted(manifests) == set()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_no_preset_needs_rights_but_the_one_that_observes(preset):
    manifests = Manifests("-f", str(preset))
    assert bool(manifests.kind("Role")) == (preset.stem == "keda-memory")
    assert ("observe" in manifests.plan) == (preset.stem == "keda-memory")


def test_no_load_no_rights():
    manifests = Manifests(*sets(WATCH, "loadgen.enabled=false"))
    assert manifests.kind("Role") == manifests.kind("RoleBinding") == []


def test_an_account_of_somebody_else():
    manifests = Manifests(
        *sets(WATCH, "loadgen.serviceAccount.create=false", "loadgen.serviceAccount.name=known")
    )
    assert manifests.one("RoleBinding")["subjects"][0]["name"] == "known"
    assert manifests.one("Job")["spec"]["template"]["spec"]["serviceAccountName"] == "known"
    assert "known" not in manifests.names("ServiceAccount")


def test_rights_that_somebody_else_gives():
    manifests = Manifests(*sets(WATCH, "loadgen.rbac.create=false", *ELSEWHERE))
    assert manifests.kind("Role") == manifests.kind("RoleBinding") == []
    assert mounted(manifests) == {"Job"}
    assert "needs a Role to read Services" in notes(*sets(WATCH, "loadgen.rbac.create=false"))


@pytest.mark.parametrize("target", ["web:80", "web.trial:80", "dns:///web.trial.svc.cluster.local:80"])
def test_a_target_in_the_release_s_namespace(target):
    assert Manifests(*sets(WATCH, "server.enabled=false", f"loadgen.config.target={target}")).one("Role")


def test_all_replicas_are_expected_headless_or_not():
    assert Manifests(*sets(WATCH, "headless=false")).plan["expect_backends"] == 3
    said = notes(*sets(WATCH))
    assert "expect all calls on one replica" not in said
    assert "account demo-grpc-spread-loadgen has its token mounted and may read Services" in said
    said = notes(*sets(WATCH, "autoscaling.mode=hpa"))
    assert "does not look for new replicas" not in said


def test_names_of_long_releases_differ():
    names = [Manifests(*sets(WATCH), release="r" * 52 + end).names("Role") for end in "yz"]
    assert not names[0] & names[1]
    assert all(len(name) <= 63 for one in names for name in one)


# Observing

OBSERVE = "loadgen.config.observe=true"


def rights(manifests):
    """Return what the Role allows, as verbs by resource and group."""
    return {
        ".".join(filter(None, (resource, group))): rule["verbs"]
        for rule in manifests.one("Role")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


OBSERVER = {
    "services": ["get"],
    "pods": ["list", "watch"],
    "replicasets.apps": ["get"],
    "deployments.apps": ["list", "watch"],
    "horizontalpodautoscalers.autoscaling": ["list", "watch"],
    "pods.metrics.k8s.io": ["list"],
}


def test_an_observer_may_look_at_replicas_and_nothing_else():
    manifests = Manifests(*sets(OBSERVE))
    assert rights(manifests) == OBSERVER
    assert mounted(manifests) == {"Job"}
    assert manifests.plan["observe"] is True
    both = rights(Manifests(*sets(OBSERVE, WATCH)))
    assert both == {**OBSERVER, "endpointslices.discovery.k8s.io": ["get", "list", "watch"]}


def test_what_owns_the_pods_of_another_service_may_be_a_stateful_set():
    manifests = Manifests(*sets(OBSERVE, "server.enabled=false", "loadgen.config.target=web:80"))
    assert rights(manifests) == {**OBSERVER, "statefulsets.apps": ["list", "watch"]}


@pytest.mark.parametrize("values", [["loadgen.config.observe=false"], [OBSERVE, "loadgen.enabled=false"]])
def test_without_observing_there_are_no_rights_and_no_token(values):
    manifests = Manifests(*sets(*values))
    assert manifests.kind("Role") == manifests.kind("RoleBinding") == []
    assert mounted(manifests) == set()


def test_rights_to_observe_that_somebody_else_gives():
    given = [OBSERVE, "loadgen.rbac.create=false"]
    manifests = Manifests(*sets(*given, *ELSEWHERE))
    assert manifests.kind("Role") == []
    assert mounted(manifests) == {"Job"}
    assert "needs a Role to read Services, pods, their metrics, workloads and autoscalers." in notes(
        *sets(*given)
    )
    assert "may read Services, pods" in notes(*sets(OBSERVE))
