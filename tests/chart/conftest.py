import shutil

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("helm") is None:
        for item in items:
            if "tests/chart/" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="helm is not on PATH"))
