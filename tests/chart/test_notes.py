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
