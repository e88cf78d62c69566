"""A server for a measurement."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def server(*options: str) -> Iterator[str]:
    """Start a server with these options on a free port and give its address."""
    command = [sys.executable, "-m", "server", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line: dict[str, Any] = {}
        while line.get("event") != "serving":
            line = json.loads(process.stdout.readline())
        yield str(line["address"])
    finally:
        process.kill()
        process.communicate()
