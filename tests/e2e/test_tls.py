"""The chart over TLS, with certificates in Secrets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority, Files
from tests.e2e.kube import Release


@pytest.fixture
def secret(release: Release) -> Iterator[str]:
    name = f"{release.name}-tls"
    yield name
    release.kubectl("delete", "secret", name, "--ignore-not-found")


def make(release: Release, secret: str, ca: Authority, files: Files) -> None:
    release.kubectl(
        "create", "secret", "generic", secret, "--type=kubernetes.io/tls",
        f"--from-file=tls.crt={files.certificate}", f"--from-file=tls.key={files.key}",
        f"--from-file=ca.crt={ca.file}",
    )  # fmt: skip


def test_server_load_and_test_speak_mutual_tls(release: Release, secret: str, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    name = f"{release.name}-grpc-spread.{release.namespace}.svc"
    make(release, secret, ca, ca.issue(name, to="server"))
    release.install("--set", f"headless=true,tls.existingSecret={secret},tls.clientAuth=true")
    report = release.report()
    assert (report.succeeded, report.failed) == (True, 0), report.log
    assert report.calls == [1000, 1000, 1000]
    release.helm("test")


def test_a_certificate_for_another_name_ends_the_job(release: Release, secret: str, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    make(release, secret, ca, ca.issue("else.test"))
    release.install(
        "--set", f"headless=true,tls.existingSecret={secret},loadgen.config.ready_timeout=10s",
    )  # fmt: skip
    report = release.report()
    assert not report.succeeded
    (ended,) = [
        one["status"]["containerStatuses"][0]["state"]["terminated"]
        for one in release.get("pods")
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "loadgen"
    ]
    assert "the server's certificate is for another name than" in ended["message"]
    assert "else.test" in ended["message"]
