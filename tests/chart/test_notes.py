"""What an install prints."""

import pytest

from tests.chart.helm import CHART, PRESETS, RELEASE, Manifests, helm, sets


def notes(*arguments: str) -> str:
    # a client-side dry run is the only way to see them without a cluster
    text = helm("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", "trial", *arguments)
    return text.partition("\nNOTES:\n")[2]


def test_they_are_as_they_were(snapshot):
    assert notes() == snapshot(name="default")
    assert notes("--set", "headless=true") == snapshot(name="headless")
    assert notes("--set", "autoscaling.mode=keda") == snapshot(name="keda")
    assert notes("--set", "loadgen.enabled=false") == snapshot(name="servers alone")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_they_name_the_job_of_a_preset(preset):
    run = Manifests("-f", str(preset)).run
    assert f"kubectl logs --namespace trial --follow --tail=-1 job/{run}\n" in notes("-f", str(preset))


def test_they_say_what_to_keep_before_an_upgrade():
    assert "Keep the report before you upgrade" in notes()


def test_they_warn_of_one_replica_for_all():
    assert "--set headless=true" in notes()
    assert "--set lbPolicy=round_robin" in notes(*sets("headless=true", "lbPolicy=pick_first"))


def test_they_say_what_an_autoscaler_does_first():
    assert "one replica for a moment" in notes("--set", "autoscaling.mode=hpa")


def test_they_say_that_weights_need_reports():
    weighted = sets("headless=true", "lbPolicy=weighted_round_robin")
    assert "--set server.orca=per-call" in notes(*weighted)
    assert "server.orca" not in notes(*weighted, "--set", "server.orca=both")
    out_of_band = [*weighted, "--set-json", 'loadgen.config.lb_config={"enableOobLoadReport": true}']
    assert "--set server.orca=oob" in notes(*out_of_band, "--set", "server.orca=per-call")
    assert "server.orca" not in notes(*out_of_band, "--set", "server.orca=oob")


def test_they_name_the_slow_replica_and_the_key():
    slow = sets("server.slowReplica.enabled=true")
    assert "3 replicas, one of them slow (100ms a call)," in notes(*slow)
    assert "by hpa, and a slow one beside them" in notes(*slow, "--set", "autoscaling.mode=hpa")
    key = sets("lbPolicy=ring_hash", "loadgen.config.hash_header=user", "loadgen.config.metadata={user:ann}")
    assert "calls with the same user to the same replica" in notes(*key)
