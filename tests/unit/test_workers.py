"""Several processes that make one load."""

import os
import signal

import psutil

from loadgen.ledger import Counts
from tests.server.replica import Replica
from tests.unit.command import Load, loadgen, run


def test_workers_make_the_load_together() -> None:
    with Replica() as replica:
        content = run(f"127.0.0.1:{replica.port}", "-n", "1000", "-c", "30", "--workers", "3")
    assert content["totals"]["sent"] == 1000
    assert content["pacing"] == "Closed{30 at a time}"
    assert [(shard["index"], shard["count"]) for shard in content["shards"]] == [(0, 3), (1, 3), (2, 3)]
    assert content["evidence"]["connections"] == 3
    assert content["partial"] is None


def test_a_worker_that_dies_is_told_and_costs_the_others_nothing() -> None:
    with Replica() as replica, Load(
        f"127.0.0.1:{replica.port}", "--rps", "100", "-z", "4s", "--workers", "2"
    ) as load:  # fmt: skip
        assert load.say().startswith("loadgen: calling ")
        workers = [child for child in psutil.Process(load.process.pid).children() if is_worker(child)]
        assert len(workers) == 2
        os.kill(workers[1].pid, signal.SIGKILL)
        content = load.result(code=1)
    assert content["totals"]["sent"] == 200
    assert content["summary"]["shards"]["missing"] in ([0], [1])


def test_workers_share_stages_warm_up_and_seed() -> None:
    options = ("--stages", "300ms:200,300ms@200", "--warmup", "300ms", "--workers", "2")
    with Replica() as replica:
        staged = run(f"127.0.0.1:{replica.port}", *options)
        options = ("--rps", "200", "-n", "51", "--arrival", "poisson", "--warmup", "200ms", "--workers", "2")
        drawn = run(f"127.0.0.1:{replica.port}", *options)
    assert (staged["warmup"]["sent"], staged["totals"]["sent"]) == (30, 60)
    assert drawn["totals"]["sent"] == 51
    assert drawn["pacing"] == f"Poisson{{200/s, seed {drawn['plan']['seed']}}} after 0.2 s of warm-up"


def test_thresholds_are_judged_on_all_workers_together() -> None:
    options = (
        "-n",
        "40",
        "-c",
        "4",
        "--workers",
        "2",
        "--threshold",
        "throughput<1",
        "--threshold",
        "failed==0",
    )
    with Replica() as replica:
        whole = loadgen("run", f"127.0.0.1:{replica.port}", *options)
        part = loadgen("run", f"127.0.0.1:{replica.port}", *options, "--shard", "0/2")
    assert whole.code == 99
    (line,) = whole.complaints
    assert line.startswith("loadgen: error: thresholds crossed: throughput<1: ")
    assert whole.out.count("failed==0") == 1
    assert (part.code, part.complaints) == (0, [])
    assert "Not judged: this is a part of the load." in part.out


def is_worker(child: psutil.Process) -> bool:
    return "spawn_main" in " ".join(child.cmdline())


def test_the_death_is_one_line() -> None:
    with Replica() as replica, Load(
        f"127.0.0.1:{replica.port}", "--rps", "100", "-z", "3s", "--workers", "2"
    ) as load:  # fmt: skip
        assert load.say().startswith("loadgen: calling ")
        (worker, *_) = [child for child in psutil.Process(load.process.pid).children() if is_worker(child)]
        os.kill(worker.pid, signal.SIGKILL)
        (complaint,) = load.end().complaints
    assert "died (signal 9), so its calls are not in the report" in complaint


def test_a_stop_reaches_all_workers() -> None:
    with Replica() as replica, Load(
        f"127.0.0.1:{replica.port}", "--rps", "50", "-z", "60s", "--workers", "2"
    ) as load:  # fmt: skip
        assert load.say().startswith("loadgen: calling ")
        load.signal(signal.SIGTERM)
        content = load.result()
    assert content["partial"] == "stopped by SIGTERM"
    assert len(content["shards"]) == 2


def test_what_all_workers_fail_for_is_said_once() -> None:
    ended = loadgen("run", "127.0.0.1:1", "--ready-timeout", "200ms", "-c", "2", "--workers", "2")
    (line,) = ended.complaints
    assert line.startswith("loadgen: error: 127.0.0.1:1: waited 0.2 s for a backend: 0 connected")
    assert line.count("waited") == 1
    assert ended.code == 1


def test_workers_of_a_shard_are_shards_themselves() -> None:
    with Replica() as replica:
        content = run(f"127.0.0.1:{replica.port}", "-n", "101", "-c", "9", "--workers", "2", "--shard", "1/2")
    assert [(shard["index"], shard["count"]) for shard in content["shards"]] == [(2, 4), (3, 4)]
    assert content["totals"]["sent"] == 50


def test_counts_add_up() -> None:
    one = Counts(5, 10, 4, 3, 1, 2, 0, frozenset("ab"))
    other = Counts(7, None, 4, 4, 0, 3, 1, frozenset("bc"))
    assert one + other == Counts(7, None, 8, 7, 1, 5, 1, frozenset("abc"))
    assert (one + other).in_flight == 1
    assert (one + Counts(warming_up=True)).warming_up
    assert Counts() + one == one
