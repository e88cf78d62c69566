"""A replica in a process of its own, and what the tests ask it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.request import ProxyHandler, build_opener

import grpc
from prometheus_client.parser import text_string_to_metric_families

from service_proto.service_pb2 import Req, Res

PATIENCE = 30.0
"""Seconds after which a test gives up: far longer than anything here takes."""
ANY_PORT = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")


def launch(*options: str, before: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
    """Start `python -m server`, with no other SERVER_* variables than these."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SERVER_")}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "server", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | variables,
        cwd=Path(__file__).parents[2],
    )


def fail(*options: str, **variables: str) -> tuple[int, str]:
    """Start a replica that must not come up: its exit code, and its only line on stderr."""
    with launch(*options, **variables) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return process.returncode, err.rstrip("\n")


class Replica:
    """A running replica. Leaving its context ends and reaps it."""

    def __init__(self, *options: str, before: tuple[str, ...] = (), **variables: str) -> None:
        self.process = launch(*ANY_PORT, *options, before=before, **variables)
        try:
            self.serving = self.line()
        except BaseException:
            self._reap()
            raise
        self.port: int = self.serving["port"]
        self.channel = self.connect()
        self.get = self.channel.unary_unary(
            "/Service/Get",
            request_serializer=Req.SerializeToString,
            response_deserializer=Res.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self._reap()

    def _reap(self) -> None:
        self.process.kill()
        with self.process:
            pass

    def connect(self) -> grpc.Channel:
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)

    def line(self) -> dict[str, Any]:
        """Wait for the next line that it logs."""
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return dict(json.loads(line))

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for its end: the exit code, and the lines not yet read. Stderr must be empty."""
        assert self.process.stdout
        assert self.process.stderr
        lines = [json.loads(line) for line in self.process.stdout]
        assert self.process.stderr.read() == ""
        return self.process.wait(PATIENCE), lines

    def answers(self, count: int) -> list[grpc.Future]:
        """Make this many Gets at once; returns them all ended."""
        calls = [self.get.future(Req(), timeout=PATIENCE) for _ in range(count)]
        for call in calls:
            call.exception()
        return calls

    def metric(self, name: str, /, **labels: str) -> float:
        """Scrape the value of a metric, the sum of those that have these labels."""
        url = f"http://127.0.0.1:{self.serving['metrics_port']}/metrics"
        with build_opener(ProxyHandler({})).open(url, timeout=PATIENCE) as response:
            text = response.read().decode()
        values = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert values, f"there is no {name} with {labels} in\n{text}"
        return sum(values)

    def await_in_flight(self, count: int) -> None:
        """Wait until so many Gets are in flight."""
        deadline = time.monotonic() + PATIENCE
        while self.metric("server_calls_in_flight") != count:
            assert time.monotonic() < deadline


class Connection:
    """A bare HTTP/2 connection, which sees what gRPC's own channel keeps to itself."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.stream = self.socket.makefile("rb")
        # the preface and an empty SETTINGS frame (RFC 9113, 3.4)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()

    def frame(self, kind: int) -> bytes:
        """Wait for a frame of this type: its payload."""
        while head := self.stream.read(9):
            payload = self.stream.read(int.from_bytes(head[:3]))
            if head[3] == kind:
                return payload
        raise AssertionError(f"closed without a frame of type {kind}")


DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
"""Types of HTTP/2 frames (RFC 9113, 6)."""

Starter: TypeAlias = Callable[..., Replica]
"""The fixture `start`: takes what Replica takes, and ends it after the test."""
