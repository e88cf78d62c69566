"""A server in a process of its own, for measurements."""

import json
import re
import subprocess
import sys
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

PATIENCE = 10.0  # seconds to wait for metrics


class Replica:
    """`python -m server` on free ports of loopback, until the context is left."""

    def __init__(self, *options: str) -> None:
        ports = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
        command = [sys.executable, "-m", "server", *ports, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line: dict[str, Any] = {}
        try:
            while line.get("event") != "serving":
                line = json.loads(self._process.stdout.readline())
        except BaseException:
            self._end()
            raise
        self.address = str(line["address"])
        self._metrics = f"http://127.0.0.1:{line['metrics_port']}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def metric(self, name: str) -> float:
        """Return the sum of this metric's values, whatever their labels."""
        with build_opener(ProxyHandler({})).open(self._metrics, timeout=PATIENCE) as response:
            text = response.read().decode("utf-8")
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"the server has no metric {name}"
        return sum(map(float, values))
