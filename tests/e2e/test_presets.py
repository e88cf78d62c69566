"""Each of values/, as its comments say to use it."""

from pathlib import Path

from tests.e2e.kube import CHART, Release, preset

SHORT = ("--set", "loadgen.config.duration=10s")
CALLS = {
    "clusterip-baseline": 3000,
    "discovery": 200,
    "headless-round-robin": 3000,
    "hpa-memory": 1000,
    "keda-memory": 1000,
    "slow-replica": 1200,
    "staging-capacity": 1000,
}
"""How many each makes: of its own, or in 10 s at its rate."""


def test_the_cluster_takes_a_preset(release: Release, preset_file: Path):
    manifests = release.helm("template", CHART, "-f", str(preset_file))
    release.kubectl(
        "apply", "--server-side", "--dry-run=server", "--field-manager=test", "-f", "-", text=manifests
    )


def test_a_preset_runs_to_its_end(release: Release, other: Release, preset_file: Path):
    name = preset_file.stem
    settings = [*preset(name)]
    if CALLS[name] != 3000:
        settings += SHORT
    if name == "staging-capacity":
        other.install("--set", "loadgen.enabled=false,headless=true,fullnameOverride=orders")
        settings += ["--set", f"loadgen.config.target=dns:///orders-headless.{other.namespace}:9090"]
    if name == "keda-memory":
        # KEDA's webhook may not have seen a Deployment that comes with its ScaledObject
        release.install(*settings, "--set", "autoscaling.mode=none,replicaCount=1,loadgen.enabled=false")
        release.upgrade(*settings)
    else:
        release.install(*settings)
    report = release.report()
    print(f"{name}: {report.calls}, {report.rules}")
    assert report.succeeded, report.log
    assert report.result["partial"] is None
    totals = report.result["totals"]
    assert totals == {"due": CALLS[name], "sent": CALLS[name], "ok": CALLS[name], "failed": 0, "dropped": 0}
    assert sum(report.calls) == CALLS[name]
