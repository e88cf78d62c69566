"""Several load generators that make one load."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path

from loadgen import logged, merging, resultjson, summary
from tests.server.replica import Replica
from tests.unit.command import Load, checked, loadgen, run

TOTAL = 1001
COUNT = 4


def test_the_merged_result_is_the_sum_of_the_shards(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Replica() as replica, ExitStack() as stack:
        loads = [
            stack.enter_context(
                Load(
                    f"127.0.0.1:{replica.port}", "--rps", "500", "-n", str(TOTAL),
                    "--shard", f"{index}/{COUNT}", "--start-together", f"localhost:{port}",
                )
            )
            for index in range(COUNT)
        ]  # fmt: skip
        contents = [load.result() for load in loads]
    sent = [content["totals"]["sent"] for content in contents]
    assert sent == [251, 250, 250, 250]
    assert {content["pacing"] for content in contents} == {"Constant{500/s}"}
    merged = merging.merge(map(resultjson.from_json, contents))
    whole = checked(json.dumps(resultjson.to_json(merged, summary.of(merged))))
    assert whole["totals"]["sent"] == TOTAL
    assert [shard["index"] for shard in whole["shards"]] == [0, 1, 2, 3]
    (counts,) = whole["timeline"]["backends"].values()
    assert sum(counts) == TOTAL
    assert whole["summary"]["shards"]["missing"] == []


def test_shards_have_their_parts_of_stages_and_warm_up() -> None:
    """Each by itself: what they make does not depend on when they start."""
    options = ("--stages", "400ms:200,400ms:200", "--warmup", "400ms", "--threshold", "rate>=0.5*target")
    with Replica() as replica:
        parts = [
            run(f"127.0.0.1:{replica.port}", *options, "--shard", f"{index}/{COUNT}")
            for index in range(COUNT)
        ]
        chance = [
            run(
                f"127.0.0.1:{replica.port}", "--rps", "400", "-n", "50", "--arrival", "poisson",
                "--seed", "3", "--warmup", "100ms", "--shard", f"{index}/{COUNT}",
            )
            for index in range(COUNT)
        ]  # fmt: skip
    assert [content["totals"]["due"] for content in parts] == [20, 20, 20, 20]
    assert [content["warmup"]["due"] for content in parts] == [10, 10, 10, 10]
    assert [content["summary"]["passed"] for content in parts] == [None] * COUNT
    merged = merging.merge(map(resultjson.from_json, parts))
    whole = checked(json.dumps(resultjson.to_json(merged, summary.of(merged))))
    assert whole["warmup"] == {"due": 40, "sent": 40, "ok": 40, "failed": 0, "dropped": 0}
    assert [one["limit"] for one in whole["summary"]["thresholds"]] == [100.0]
    assert [content["totals"]["due"] for content in chance] == [13, 13, 12, 12]
    merged = merging.merge(map(resultjson.from_json, chance))
    assert checked(json.dumps(resultjson.to_json(merged, summary.of(merged))))["totals"]["ok"] == 50


def test_a_container_leaves_a_summary_and_the_result(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    with Replica() as replica:
        ended = loadgen(
            "run", f"127.0.0.1:{replica.port}", "-n", "6", "-c", "3", "--shard", "1/2", "--log-result",
            "--termination-log", str(log),
        )  # fmt: skip
    assert ended.code == 0, ended.err
    assert json.loads(log.read_text())["sent"] == 3
    content = logged.find(ended.out.splitlines())
    assert isinstance(content, dict)
    assert content["shards"][0]["index"] == 1
    assert "Shard:       1 of 0 to 1: its part of the load" in ended.out
