import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.kube import PRESETS, Release, call, lacks_keda


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = [tool for tool in ("kubectl", "helm") if shutil.which(tool) is None]
    if not os.environ.get("KUBECONFIG"):
        lacking.append("KUBECONFIG, the cluster to test on")
    if lacking and os.environ.get("E2E_REQUIRED"):
        raise pytest.UsageError(f"these tests must run here, but lack {', '.join(lacking)}")
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))
            if lacking:
                item.add_marker(pytest.mark.skip(reason=f"lacks {', '.join(lacking)}"))


@pytest.fixture(scope="session")
def namespace() -> Iterator[str]:
    """One that takes restricted pods only."""
    name = f"spread-{uuid4().hex[:6]}"
    call("kubectl", "create", "namespace", name)
    try:
        call("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name
    finally:
        call("kubectl", "delete", "namespace", name, "--wait=false")


def removed(release: Release) -> None:
    # its pods may take their time to drain: the next test has names of its own
    release.helm("uninstall", "--ignore-not-found")


@pytest.fixture
def release(namespace: str) -> Iterator[Release]:
    """One that is uninstalled afterwards, where it is there."""
    release = Release(f"t-{uuid4().hex[:6]}", namespace)
    yield release
    removed(release)


@pytest.fixture
def other(namespace: str) -> Iterator[Release]:
    """One more."""
    release = Release(f"o-{uuid4().hex[:6]}", namespace)
    yield release
    removed(release)


@pytest.fixture(scope="session")
def keda() -> None:
    """Needed by what makes a ScaledObject."""
    lacks = lacks_keda()
    if lacks and os.environ.get("E2E_REQUIRED"):
        pytest.fail(f"this test must run here, but {lacks}", pytrace=False)
    if lacks:
        pytest.skip(lacks)


@pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
def preset_file(request: pytest.FixtureRequest) -> Path:
    """Each of values/, where the cluster has what it needs."""
    if request.param.stem.startswith("keda"):
        request.getfixturevalue("keda")
    return request.param
