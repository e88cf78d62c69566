"""TLS and tokens: who gets which file of which Secret, and what is made of it."""

import click
import pytest
from click.testing import CliRunner

from loadgen import launch
from loadgen.commands import run as command
from loadgen.plan import Plan
from tests.chart.helm import Manifests, sets

OWN = ["tls.existingSecret=pair"]
MUTUAL = [*OWN, "tls.clientAuth=true"]
ELSE = ["server.enabled=false", "loadgen.config.target=else:443", "loadgen.tls.existingSecret=ca-of-else"]
TOKEN = ["loadgen.token.existingSecret=login", "loadgen.token.key=bearer"]


def pod(manifests, kind):
    found = manifests.one(kind)["spec"]
    return found if kind == "Pod" else found["template"]["spec"]


def files(spec):
    """Return the paths in a pod's container, each with the Secret and the key that it comes from."""
    (container,) = spec["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", ())}
    found = {}
    for volume in spec.get("volumes", ()):
        if "secret" in volume:
            secret = volume["secret"]
            for item in secret.get("items", [{"key": "*", "path": "*"}]):
                path = f"{places[volume['name']]}/{item['path']}"
                found[path] = f"{secret['secretName']}/{item['key']}"
    return found


def plan_of(manifests, tmp_path, monkeypatch, kind="Job"):
    """Return what the load generator makes of the container's arguments."""
    plans: list[Plan] = []

    def keep(plan: Plan, *_: object) -> None:
        plans.append(plan)
        raise click.Abort

    monkeypatch.setattr(launch, "Run", keep)
    file = tmp_path / "plan.yaml"
    file.write_text(manifests.one("ConfigMap")["data"]["plan.yaml"])
    (container,) = pod(manifests, kind)["containers"]
    _, *words = [word.replace("/etc/loadgen/plan.yaml", str(file)) for word in container["args"]]
    result = CliRunner().invoke(command.run, words)
    assert plans, result.output
    return plans[0]


def secured(plan):
    keys = ("tls", "cacert", "cert", "key", "server_name", "insecure_skip_verify", "token_file")
    return {key: value for key in keys if (value := getattr(plan, key))}


CA = {"cacert": "/etc/tls/ca/ca.crt"}
PAIR = {"cert": "/etc/tls/client/tls.crt", "key": "/etc/tls/client/tls.key"}
NAME = {"server_name": "demo-grpc-spread.trial.svc"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        (OWN, CA | NAME),
        ([*OWN, "headless=true"], CA | NAME),
        ([*OWN, "tls.serverName=replica.test"], CA | {"server_name": "replica.test"}),
        ([*OWN, "loadgen.config.server_name=other.test"], CA | {"server_name": "other.test"}),
        ([*OWN, "loadgen.config.insecure_skip_verify=true"], NAME | {"insecure_skip_verify": True}),
        (MUTUAL, CA | PAIR | NAME),
        ([*OWN, *TOKEN], CA | NAME | {"token_file": "/etc/token/bearer"}),
        (ELSE, CA),
        ([*ELSE, "loadgen.tls.clientAuth=true"], CA | PAIR),
        ([*ELSE, *TOKEN], CA | {"token_file": "/etc/token/bearer"}),
        ([*ELSE[:2], "loadgen.config.tls=true"], {"tls": True}),
        ([*OWN, *ELSE[1:]], CA),
    ],
    ids=str,
)
def test_what_the_load_generator_is_told(values, expected, tmp_path, monkeypatch):
    manifests = Manifests(*sets(*values))
    assert secured(plan_of(manifests, tmp_path, monkeypatch)) == expected
    there = files(pod(manifests, "Job"))
    wanted = {path for path in expected.values() if str(path).startswith("/etc/")}
    assert set(there) == wanted


def test_each_pod_gets_no_more_of_a_secret_than_it_needs():
    manifests = Manifests(*sets(*MUTUAL, "tls.clientSecret=client"))
    assert files(pod(manifests, "Deployment")) == {"/etc/tls/server/*": "pair/*"}
    assert files(pod(manifests, "Job")) == {
        "/etc/tls/ca/ca.crt": "pair/ca.crt",
        "/etc/tls/client/tls.crt": "client/tls.crt",
        "/etc/tls/client/tls.key": "client/tls.key",
    }
    manifests = Manifests(*sets(*OWN, *TOKEN))
    assert files(pod(manifests, "Job"))["/etc/token/bearer"] == "login/bearer"


@pytest.mark.parametrize("values", [OWN, MUTUAL, [*OWN, "loadgen.config.insecure_skip_verify=true"]], ids=str)
def test_helm_test_calls_the_release_as_its_load_generator_does(values, tmp_path, monkeypatch):
    manifests = Manifests(*sets(*values, *TOKEN))
    load = secured(plan_of(manifests, tmp_path, monkeypatch))
    del load["token_file"]  # the release's own server asks for none
    assert secured(plan_of(manifests, tmp_path, monkeypatch, "Pod")) == load
    assert "/etc/token/bearer" not in files(pod(manifests, "Pod"))


def test_helm_test_of_a_plaintext_server_whose_load_goes_elsewhere(tmp_path, monkeypatch):
    manifests = Manifests(*sets(*ELSE[1:], *TOKEN))
    assert secured(plan_of(manifests, tmp_path, monkeypatch, "Pod")) == {}
    assert files(pod(manifests, "Pod")) == {}


@pytest.mark.parametrize(("values", "port"), [([], 9090), (OWN, 9101), ([*OWN, "server.healthPort=77"], 77)])
def test_the_probes_ask_where_no_tls_is_needed(values, port):
    manifests = Manifests(*sets(*values))
    (server,) = pod(manifests, "Deployment")["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["grpc"]["port"] == port
    variables = {one["name"]: one.get("value") for one in server["env"]}
    assert variables.get("SERVER_HEALTH_PORT") == (str(port) if values else None)
    assert variables.get("SERVER_TLS_CERT") == ("/etc/tls/server/tls.crt" if values else None)
    assert "SERVER_TLS_CLIENT_CA" not in variables


def test_the_server_asks_for_client_certificates_of_its_own_ca():
    (server,) = pod(Manifests(*sets(*MUTUAL)), "Deployment")["containers"]
    variables = {one["name"]: one.get("value") for one in server["env"]}
    assert variables["SERVER_TLS_CLIENT_CA"] == "/etc/tls/server/ca.crt"


@pytest.mark.parametrize(("values", "protocol"), [([], "kubernetes.io/h2c"), (OWN, "https")])
def test_the_services_say_what_is_spoken(values, protocol):
    for service in Manifests(*sets("headless=true", *values)).kind("Service"):
        assert service["spec"]["ports"][0]["appProtocol"] == protocol


def test_other_secrets_are_another_run():
    plain = Manifests().run
    runs = [Manifests(*sets(*values)).run for values in (OWN, MUTUAL, [*OWN, *TOKEN])]
    assert len({plain, *runs}) == 4
