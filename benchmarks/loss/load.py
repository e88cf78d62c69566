"""A load on a cluster on loopback, and what its result must add up to."""

import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from lab.cluster import LocalCluster
from lab.load import LocalLoad
from lab.replicas import SECOND, Replica

REPLICAS = 3
LONGEST = "15m"  # of a load, which is stopped before

Json = Mapping[str, Any]


@asynccontextmanager
async def load(cluster: LocalCluster, **plan: Any) -> AsyncIterator[LocalLoad]:
    """Have a load that has begun, on the headless service; `plan` is more of its plan file."""
    every = {
        "duration": LONGEST,
        "lb_policy": "round_robin",
        "discovery": "watch",
        "expect_backends": REPLICAS,
        **plan,
    }
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "result.json")
        target = cluster.target(headless=True)
        made = await LocalLoad.start(cluster.guard, target, every, output, cluster.api.kubeconfig())
        await made.began()
        yield made


async def stopped(made: LocalLoad) -> Json:
    """Stop a load and return its result; raises LabError where there is none."""
    made.stop()
    return await made.result()


def metric(replica: Replica, name: str) -> float:
    """Return what the replica itself says, whatever the labels."""
    url = f"http://{replica.address}:{replica.metrics_port}/metrics"
    with build_opener(ProxyHandler({})).open(url, timeout=10) as response:
        text = response.read().decode("utf-8")
    values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    assert values, f"the server has no metric {name}"
    return sum(map(float, values))


def adds_up(result: Json) -> bool:
    """Return whether every call that was due is accounted for, in each of the ways that calls are counted."""
    totals, backends = result["totals"], [*result["backends"].values(), result["unattributed"]]
    due: bool = totals["due"] == totals["sent"] + totals["dropped"]
    sent: bool = totals["sent"] == totals["ok"] + totals["failed"] == sum(one["calls"] for one in backends)
    return due and sent and sum(result["timeline"]["sent"]) == totals["sent"]


def lost(result: Json) -> int:
    """Return the calls that failed, or were never sent."""
    totals = result["totals"]
    return int(totals["failed"] + totals["dropped"])


def slowest(result: Json) -> float:
    """Return the longest that a call took, failed ones too, in seconds."""
    return max(float(result[name]["max_ns"]) for name in ("latency", "failed_latency")) / SECOND
