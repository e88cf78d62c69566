"""The command line: what users get wrong, where options come from, and the other commands."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import jsonschema
import pytest

from loadgen import resultjson, summary
from loadgen.cli import main
from loadgen.report import text
from loadgen.result import Part, Result
from loadgen.resultfile import ResultFile
from loadgen.resultjson import schema
from tests.server.replica import Replica
from tests.unit.command import Ended, checked, environment, loadgen, run
from tests.unit.results import MS, SECOND, STARTED, result
from tests.unit.service import Service
from tests.unit.shop import PROTOS, SOURCE

TARGET = "127.0.0.1:1"  # never called
SHOP = ["--proto", str(SOURCE), "-I", str(PROTOS)]
ECHO = [*SHOP, "--call", "shop.v1.Shop/Echo"]

Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line within this process: what is refused before any load needs no other."""

    def command(*arguments: str, **variables: str) -> Ended:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["loadgen", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        assert isinstance(caught.value.code, int)
        return Ended(caught.value.code, out, err)

    return command


def check_refused(ended: Ended, code: int, says: str) -> None:
    """Check for an error of one line that says so."""
    (line,) = ended.complaints
    assert line.startswith("loadgen: error: ")
    assert says in line
    assert "Traceback" not in ended.err
    assert ended.code == code


WRONG: dict[str, tuple[list[str], str]] = {
    "policy": (["--lb-policy", "round_robbin"], "'round_robbin' is not one of 'pick_first', 'round_robin'"),
    "policy by its other name": (["--lb-strategy", "xds"], "'xds' is not one of"),
    "discovery": (["--discovery", "magic"], "'magic' is not one of"),
    "open and closed": (["--rps", "5", "--interval", "1s"], "--interval too: leave one out"),
    "open and concurrent": (["--rps", "5", "-c", "2"], "use --max-in-flight, not --concurrency"),
    "closed and in flight": (["--max-in-flight", "2"], "is for open load"),
    "no call": (["-n", "0"], "'-n' / '--total': 0 is not in the range"),
    "negative total": (["-n", "-5"], "-5 is not in the range"),
    "total a word": (["-n", "many"], "'many' is not a valid integer"),
    "total nan": (["-n", "nan"], "'nan' is not a valid integer"),
    "total with a point": (["-n", "1.5"], "'1.5' is not a valid integer"),
    "nobody": (["-c", "0"], "0 is not in the range"),
    "no time": (["-z", "0s"], "'0s' is too short"),
    "negative time": (["-z", "-1s"], "'-1s' is negative"),
    "time without unit": (["-z", "5"], "'5' is no duration: write it like 500ms"),
    "time nan": (["-z", "nan"], "'nan' is no duration"),
    "negative deadline": (["-t", "-1s"], "'-1s' is negative"),
    "interval": (["--interval", "soon"], "'soon' is no duration"),
    "stages and a rate": (
        ["--stages", "9s:5", "--rps", "5"],
        "--stages says how fast and how long, --rps too",
    ),
    "stages and a time": (["--stages", "9s:5", "-z", "5s"], "how long, --duration too: leave one out"),
    "stages and a total": (["--stages", "9s:5", "-n", "5"], "how long, --total too: leave one out"),
    "stages and callers": (["--stages", "9s:5", "-c", "5"], "--stages starts calls whatever is in flight"),
    "no stage": (["--stages", "9s"], "'9s' is no stage: write DURATION:RATE to ramp, DURATION@RATE to step"),
    "a stage of no time": (["--stages", "0s:5"], "'0s:5' takes no time"),
    "a stage back in time": (["--stages", "9s:5,-1s:9"], "'-1s:9' goes back in time"),
    "a stage without unit": (["--stages", "9:5"], "'9' in '9:5' is no duration"),
    "stages without a call": (["--stages", "9s:0"], "makes no call"),
    "stages that are all warm-up": (
        ["--stages", "9s:5,1s:0", "--warmup", "10s"],
        "--stages, which take 10 s: nothing is left then",
    ),
    "nothing after the warm-up": (["--stages", "9s:5,9s@0", "--warmup", "9s"], "make no call after --warmup"),
    "no warm-up": (["--warmup", "0s"], "'0s' is too short"),
    "arrival": (["--rps", "5", "--arrival", "bursty"], "'bursty' is not one of 'constant', 'poisson'"),
    "arrivals of closed load": (["--arrival", "poisson"], "--arrival is for open load"),
    "a seed for nothing": (
        ["--rps", "5", "--seed", "1"],
        "--seed needs --arrival poisson, --data-order random or",
    ),
    "a negative seed": (["--rps", "5", "--arrival", "poisson", "--seed", "-1"], "-1 is not in the range"),
    "shards of no common seed": (
        ["--rps", "5", "--arrival", "poisson", "--shard", "0/2"],
        "with several shards needs --seed",
    ),
    "no metric": (["--threshold", "p9999<1s"], "'p9999' is no metric: did you mean p99.9 or p99"),
    "no comparison": (["--threshold", "p99=1s"], "'=' in 'p99=1s' is no comparison"),
    "no limit": (["--threshold", "p99<"], "is no threshold: write METRIC"),
    "a limit without unit": (["--threshold", "p99<50"], "not a time with its unit, such as 50ms"),
    "the second threshold": (["--threshold", "p99<1s", "--threshold", "x<1"], "'x' is no metric"),
    "the rate of closed load": (
        ["--threshold", "rate>=0.9*target"],
        "--threshold rate>=0.9*target needs open load (--rps, --stages)",
    ),
    "rate 0": (["--rps", "0"], "'0' is no rate: write calls per second"),
    "negative rate": (["--rps", "-3"], "'-3' is no rate"),
    "rate nan": (["--rps", "nan"], "'nan' is no rate"),
    "rate inf": (["--rps", "inf"], "'inf' is no rate"),
    "rate a word": (["--rps", "fast"], "'fast' is no rate"),
    "no connections": (["--connections", "0"], "'0' is neither a number from 1 to 1000 nor per-call"),
    "shard of none": (["--shard", "4/4"], "shards count from 0, so the last of 4 is 3"),
    "shard a number": (["--shard", "2"], "'2' is no shard: write INDEX/COUNT"),
    "no shards": (["--shard", "0/0"], "there can be 1 to 1000 shards"),
    "too few calls for the shards": (["-n", "3", "-c", "9", "--shard", "0/4"], "--total 3 is less than"),
    "too few callers for the shards": (
        ["--shard", "0/4"],
        "--concurrency 1 is less than there are shards (4)",
    ),
    "too low a rate for the shards": (
        ["--rps", "1", "-z", "2s", "--shard", "3/4"],
        "the load has fewer calls than shards (4)",
    ),
    "nowhere to meet": (["--start-together", "here"], "'here' is no address: write HOST:PORT"),
    "no port to meet": (["--start-together", "here:0"], "'here:0' is no address: write HOST:PORT"),
    "metadata without colon": (["-m", "token"], "'token' has no colon: write key:value"),
    "reserved metadata": (["-m", "grpc-timeout:1S"], "reserved"),
    "backend from nowhere": (["--backend-from", "id"], "write field:NAME or metadata:KEY"),
    "backend from no field": (["--backend-from", "field:pod"], "Res has no field 'pod'; its fields: id"),
    "a method of no service": (["--call", "Get"], "--call Get: write package.Service/Method"),
    "data for nothing": (["-d", "{}"], "--data needs --call"),
    "lines for nothing": (["--data-file", "f"], "--data-file needs --call"),
    "a file for nothing": (["--proto", "f"], "--proto needs --call"),
    "a set for nothing": (["--protoset", "f"], "--protoset needs --call"),
    "a path for nothing": (["-I", "f"], "--import-path is for --proto"),
    "data twice": (["--call", "a.B/C", "-d", "{}", "--data-file", "f"], "leave one out"),
    "an order of nothing": (["--call", "a.B/C", "--data-order", "turn"], "--data-order needs --data-file"),
    "an unknown order": (["--call", "a.B/C", "--data-order", "up"], "'up' is not one of 'turn', 'random'"),
    "a file that is not there": (["--call", "a.B/C", "--proto", "no.proto"], "there is no file no.proto"),
    "a set that is not there": (["--call", "a.B/C", "--protoset", "no"], "cannot read no: No such file"),
    "what is no set": (["--call", "a.B/C", "--protoset", __file__], "is no descriptor set"),
    "a stream for nothing": (["--stream-interval", "1s"], "--stream-interval needs --call"),
    "a stream of none": (["--call", "a.B/C", "--stream-messages", "0"], "0 is not in the range"),
    "a service that no file has": ([*SHOP, "--call", "shop.v1.Shp/Add"], "did you mean shop.v1.Shop?"),
    "a method that no file has": ([*SHOP, "--call", "shop.v1.Shop/Ad"], "did you mean Add? (there are Add,"),
    "data that does not fit": ([*ECHO, "-d", '{"nam": 1}'], "--data does not fit: shop.v1.Item has no field"),
    "data that is no JSON": ([*ECHO, "-d", "{"], "--data is not JSON: line 1 column 2"),
    "data that is not there": ([*ECHO, "-d", "@no"], "--data: cannot read no: No such file or directory"),
    "lines that are not there": ([*ECHO, "--data-file", "no"], "--data-file: cannot read no: No such file"),
    "an array for one message": ([*ECHO, "-d", "[]"], "--data is an array, but shop.v1.Shop/Echo takes one"),
    "an unknown template": ([*ECHO, "-d", '"{{x}}"'], "{{x}} is no template: there are {{number}}, {{mess"),
    "an unknown template in metadata": (["-m", "a:{{x}}"], "--metadata a: {{x}} is no template"),
    "a pause within one message": ([*ECHO, "--stream-interval", "1s"], "(unary) takes one message"),
    "messages of no stream": ([*ECHO, "--stream-messages", "2"], "--stream-messages is for streams of the"),
    "messages of the server's stream": (
        [*SHOP, "--call", "shop.v1.Shop/List", "--stream-messages", "2"],
        "shop.v1.Shop/List (server streaming) takes one message",
    ),
    "a cancelled unary call": ([*ECHO, "--stream-cancel-after", "1s"], "is unary; use --timeout"),
    "a field of another's reply": ([*ECHO, "--backend-from", "field:id"], "shop.v1.Item has no field 'id'"),
    "an address per call": (
        ["--backend-from", "peer", "--connections", "per-call"],
        "--backend-from peer cannot be counted with --connections per-call",
    ),
    "poll interval alone": (["--poll-interval", "1s"], "needs --discovery poll"),
    "nothing to poll": (["--discovery", "poll"], "needs a target with a host name"),
    "nothing to look up": (["--discovery", "static"], "needs a target with a host name"),
    "cold but waiting": (["--cold", "--expect-backends", "1"], "leave one out"),
    "many by pick_first": (["--expect-backends", "3"], "needs --lb-policy round_robin"),
    "certificate without key": (["--cert", "a.pem"], "--cert and --key need each other"),
    "key without certificate": (["--key", "a.pem"], "--cert and --key need each other"),
    "verified and not": (["--cacert", "a", "--insecure-skip-verify"], "leave one out"),
    "two tokens": (["--token-file", "a", "--token-env", "B"], "both give the token: leave one out"),
    "two authorizations": (
        ["--token-env", "B", "-m", "Authorization:Basic x"],
        "--metadata authorization and --token-env exclude each other",
    ),
    "keepalive timeout alone": (["--keepalive-timeout", "1s"], "needs --keepalive-time"),
    "keepalive never": (["--keepalive-time", "0s"], "'0s' is too short"),
    "compression": (["--compression", "zip"], "'zip' is not one of 'gzip', 'deflate'"),
    "no retries": (["--retry", "0"], "0 is not in the range"),
    "more retries than gRPC makes": (["--retry", "5"], "5 is not in the range"),
    "retry codes alone": (["--retry-codes", "ABORTED"], "--retry-codes needs --retry"),
    "retry of what succeeded": (["--retry", "1", "--retry-codes", "OK"], "'OK' is no status code of an"),
    "retry of no code": (["--retry", "1", "--retry-codes", "ABORTED,"], "'' is no status code of an error"),
    "no such option": (["--concurency", "3"], "Did you mean '--concurrency'?"),
    "two targets": (["other:1"], "unexpected extra argument"),
    "an option without value": (["-n"], "'-n' requires an argument"),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_wrong_options(options: list[str], says: str, command: Command) -> None:
    ended = command("run", TARGET, *options)
    check_refused(ended, 2, says)
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "Missing argument 'TARGET'"),
        (["run", ""], "has no port: write HOST:PORT"),
        (["run", "server"], "has no port: write server:PORT"),
        (["run", "http://server:80"], "is a web address: write server:80"),
        (["run", "gopher://server:80"], "unknown scheme"),
        (["run", "server:http"], "'http' is no port"),
        (["report"], "Missing argument 'RESULT...'"),
        (["rum"], "No such command 'rum'"),
        (["--nothing"], "No such option '--nothing'"),
    ],
    ids=" ".join,
)
def test_wrong_arguments(arguments: list[str], says: str, command: Command) -> None:
    check_refused(command(*arguments), 2, says)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LOADGEN_RUN_RPS", "fast", "'fast' is no rate"),
        ("LOADGEN_RUN_LB_POLICY", "best", "'best' is not one of"),
        ("LOADGEN_RUN_TIMEOUT", "never", "'never' is no duration"),
        ("LOADGEN_RUN_METADATA", "token", "has no colon"),
    ],
)
def test_a_wrong_variable(name: str, value: str, says: str, command: Command) -> None:
    check_refused(command("run", TARGET, **{name: value}), 2, says)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        ("totl: 3", 2, "unknown key 'totl': did you mean total?"),
        ("lb-policy: round_robin", 2, "unknown key 'lb-policy': did you mean lb_policy?"),
        ("lb_policy: best", 2, "'best' is not one of"),
        ("total: 0", 2, "0 is not in the range"),
        ("total: [1, 2]", 2, "total must be one value"),
        ("total: 1.5", 2, "'1.5' is not a valid integer"),
        ("total: true", 2, "'True' is not a valid integer"),
        ("total: 2026-01-01", 2, "'2026-01-01' is not a valid integer"),
        ("total: {a: 1}", 2, "is not a valid integer"),
        ("duration: 5", 2, "'5' is no duration"),
        ("rps: .nan", 2, "'nan' is no rate"),
        ("rps: 5\ninterval: 1s", 2, "leave one out"),
        ("stages: 5", 2, "'5' is no stage"),
        ("stages: [5s:5]", 2, "stages must be one value"),
        ("threshold: p99<5ms", 2, "threshold must be a list"),
        ("threshold: [p99<5]", 2, "not a time with its unit"),
        ("warmup: 5", 2, "'5' is no duration"),
        ("metadata: 'a:b'", 2, "metadata must be a list"),
        ("metadata: {a: b}", 2, "metadata must be a list"),
        ("metadata: [token]", 2, "has no colon"),
        ("metadata: [{a: b}]", 2, "is no metadata key"),
        ("cold: maybe", 2, "'maybe' is not a valid boolean"),
        ("- total", 2, "no list of keys and values"),
        ("a: [", 2, "is not YAML"),
        (None, 1, "cannot read the plan file"),
    ],
)
def test_a_wrong_plan_file(
    content: str | None, code: int, says: str, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_text(content)
    check_refused(command("run", TARGET, "--config", str(path)), code, says)


def test_a_real_process_says_the_same() -> None:
    ended = loadgen("run", TARGET, "--lb-policy", "best")
    check_refused(ended, 2, "'best' is not one of 'pick_first', 'round_robin'")
    assert (ended.out, ended.err.count("\n")) == ("", 1)


class TestRunsThatFail:
    def test_a_refused_connection(self) -> None:
        ended = loadgen("run", TARGET, "--ready-timeout", "200ms")
        check_refused(ended, 1, "waited 0.2 s for a backend: 0 connected; ")
        assert "Connection refused" in ended.err
        assert ended.out == ""

    def test_a_refused_connection_that_is_not_waited_for(self) -> None:
        ended = loadgen("run", TARGET, "--cold", "-n", "3")
        check_refused(ended, 1, "every call failed: 3 of 3 with UNAVAILABLE")
        assert "The backends could not be reached" in " ".join(ended.out.split())

    @pytest.mark.parametrize("discovery", ["dns", "static", "poll"])
    def test_a_name_that_does_not_resolve(self, discovery: str) -> None:
        ended = loadgen(
            *("run", "no..name:9090", "--discovery", discovery),
            *("--ready-timeout", "200ms"),
            GRPC_DNS_RESOLVER="native",
        )
        check_refused(ended, 1, "no..name")

    def test_a_method_that_the_server_has_not(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            ended = loadgen("run", f"127.0.0.1:{port}", "-n", "3")
        finally:
            server.stop(None).wait()
        check_refused(ended, 1, "every call failed: 3 of 3 with UNIMPLEMENTED")
        assert "The server has no such method" in ended.out

    @pytest.mark.parametrize("path", ["no/such/directory/r.json", ".", "plan.yaml/r.json"])
    def test_a_place_that_takes_no_result_is_found_before_any_call(self, path: str, tmp_path: Path) -> None:
        (tmp_path / "plan.yaml").touch()
        with Service() as service:
            ended = loadgen("run", service.target, "-n", "3", "-o", str(tmp_path / path))
            check_refused(ended, 1, "cannot write")
            assert service.metadata == []
        assert ended.out == ""
        assert [one.name for one in tmp_path.iterdir()] == ["plan.yaml"]


class TestOptions:
    def test_flag_beats_environment_beats_file(self, replica: Replica, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text("total: 30\nconcurrency: 3\ntimeout: 30s\nlb_policy: round_robin\n")
        plan = run(
            *(f"127.0.0.1:{replica.port}", "--config", str(path), "-n", "10"),
            LOADGEN_RUN_TOTAL="20",
            LOADGEN_RUN_CONCURRENCY="2",
        )["plan"]
        assert (plan["total"], plan["concurrency"], plan["timeout"]) == (10, 2, "30s")
        assert plan["lb_policy"] == "round_robin"

    def test_all_from_a_plan_file(self, replica: Replica, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text(
            f"target: 127.0.0.1:{replica.port}\nrps: 200\ntotal: 7\nmetadata: ['a:b', 'c:d']\n"
            "connections: per-call\ncold: true\ntimeout: null\n"
        )
        content = run("--config", str(path))
        plan = content["plan"]
        assert (plan["rps"], plan["metadata"], plan["connections"]) == (200.0, ["a:...", "c:..."], "per-call")
        assert plan["cold"] is True
        assert content["totals"]["ok"] == 7

    def test_the_plan_file_can_come_from_the_environment(self, replica: Replica, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text("total: 3\n")
        content = run(f"127.0.0.1:{replica.port}", LOADGEN_RUN_CONFIG=str(path))
        assert content["totals"]["ok"] == 3


class TestThresholds:
    def test_one_that_is_crossed(self, replica: Replica, tmp_path: Path) -> None:
        path, log = tmp_path / "r.json", tmp_path / "log"
        ended = loadgen(
            *("run", f"127.0.0.1:{replica.port}", "-n", "20", "-o", str(path), "--termination-log", str(log)),
            *("--threshold", "failed==0", "--threshold", "backends>=3", "--threshold", "each.p99<1ns"),
        )
        assert ended.code == 99
        (line,) = ended.complaints
        assert line.startswith("loadgen: error: thresholds crossed: backends>=3: 1 seen; each.p99<1ns: ")
        assert line.endswith(f" seen ({replica.serving['id']})")
        assert ended.out.index("\nThresholds\n") < ended.out.index("\nVerdict\n")
        content = checked(path.read_text())
        assert content["plan"]["threshold"] == ["failed==0", "backends>=3", "each.p99<1ns"]
        assert content["summary"]["passed"] is False
        assert [one["passed"] for one in content["summary"]["thresholds"]] == [True, False, False]
        assert set(json.loads(log.read_text())["crossed"]) == {"backends>=3", "each.p99<1ns"}
        assert loadgen("report", str(path)) == Ended(0, ended.out, "")

    def test_all_are_kept(self, replica: Replica) -> None:
        ended = loadgen(
            *("run", f"127.0.0.1:{replica.port}", "--rps", "200", "-n", "40", "-t", "60s", "-q"),
            *("--threshold", "error_rate==0%", "--threshold", "dropped==0", "--threshold", "max<1m"),
        )
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.count("  ok\n") == 3

    def test_a_run_that_failed_is_that_first(self) -> None:
        ended = loadgen("run", TARGET, "--cold", "-n", "3", "--threshold", "failed==0")
        check_refused(ended, 1, "every call failed: 3 of 3 with UNAVAILABLE")
        assert "failed==0          0          3  CROSSED" in ended.out

    def test_from_a_plan_file(self, replica: Replica, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text(f"target: 127.0.0.1:{replica.port}\ntotal: 5\nthreshold: ['backends>1', 'p50<60s']\n")
        ended = loadgen("run", "--config", str(path))
        check_refused(ended, 99, "thresholds crossed: backends>1: 1 seen")

    def test_a_shard_does_not_judge_itself(self, replica: Replica) -> None:
        ended = loadgen(
            *("run", f"127.0.0.1:{replica.port}", "-n", "6", "-c", "2", "--threshold", "backends>=3"),
            *("--shard", "0/2"),
        )
        assert (ended.code, ended.complaints) == (0, [])
        assert "Not judged: this is a part of the load." in ended.out

    def test_one_shard_of_one_does(self, replica: Replica) -> None:
        target = f"127.0.0.1:{replica.port}"
        ended = loadgen("run", target, "-n", "6", "--threshold", "backends>=3", "--shard", "0/1")
        assert ended.code == 99


class TestOutput:
    def test_the_result_on_stdout_and_the_report_on_stderr(self, replica: Replica) -> None:
        ended = loadgen("run", f"127.0.0.1:{replica.port}", "-n", "5", "-q", "-o", "-")
        assert ended.code == 0
        content = checked(ended.out)
        assert content["totals"]["ok"] == 5
        assert ended.err.startswith("Summary\n")
        assert "Verdict\n" in ended.err

    def test_run_and_report_print_the_same(self, replica: Replica, tmp_path: Path) -> None:
        path = str(tmp_path / "r.json")
        ran = loadgen("run", f"127.0.0.1:{replica.port}", "-n", "5", "-o", path)
        assert ran.out.startswith("Summary\n")
        assert ran.complaints == []
        assert loadgen("report", path) == Ended(0, ran.out, "")

    def test_quiet(self, replica: Replica) -> None:
        assert loadgen("run", f"127.0.0.1:{replica.port}", "-n", "1", "--quiet").err == ""

    def test_a_reader_that_has_gone(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        write(path, {"a": 3})
        process = subprocess.Popen(
            [sys.executable, "-m", "loadgen", "report", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({}),
        )
        with process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1


def write(path: Path, calls: dict[str, int]) -> str:
    """Write a result and return its report."""
    one = result(calls)
    ResultFile(path).write(resultjson.to_json(one, summary.of(one)))
    return text.render(one)


class TestReport:
    def test_several(self, tmp_path: Path, command: Command) -> None:
        one, two = tmp_path / "one.json", tmp_path / "two.json"
        first, _ = write(one, {"a": 3}), write(two, {"a": 4, "b": 4})
        assert command("report", str(one)) == Ended(0, f"{first}\n", "")
        ended = command("report", str(one), str(two))
        rows = {line[:12].strip(): line[12:].split() for line in ended.out.splitlines()}
        assert rows["sent"] == ["3", "8", "(+166.7%)"]
        assert rows["backends"] == ["1", "2", "(+100.0%)"]
        assert rows["p99"][-1] == "(=)"

    def test_a_threshold_judges_an_existing_file(self, tmp_path: Path, command: Command) -> None:
        one, two = tmp_path / "one.json", tmp_path / "two.json"
        write(one, {"a": 3})
        write(two, {"b": 4})
        ended = command("report", str(one), "--threshold", "backends>=1", "--threshold", "max<1s")
        assert (ended.code, ended.err) == (0, "")
        assert "backends>=1          1          1  ok" in ended.out
        ended = command("report", str(one), "--threshold", "throughput>=5", "--threshold", "max<1s")
        assert ended.code == 99
        assert "throughput>=5          5        0.3  CROSSED" in ended.out
        assert ended.err == "loadgen: error: thresholds crossed: throughput>=5: 0.3 seen\n"
        ended = command("report", str(one), str(two), "--threshold", "throughput>=0.4")
        assert ended.code == 99
        assert ended.err == f"loadgen: error: thresholds crossed: {one}: throughput>=0.4: 0.3 seen\n"
        tables = ended.out.partition(f"\n\n{one}\n")[2]
        assert "throughput>=0.4        0.4        0.3  CROSSED\n" in tables
        assert f"\n\n{two}\n" in tables
        assert "throughput>=0.4        0.4        0.4  ok\n" in tables

    def test_the_runs_own_thresholds_are_shown(self, tmp_path: Path, command: Command) -> None:
        path = tmp_path / "r.json"
        one = result({"a": 3}, plan={"threshold": ["max<1us", "each.max<1us"]})
        ResultFile(path).write(resultjson.to_json(one, summary.of(one)))
        ended = command("report", str(path))
        assert (ended.code, ended.err) == (0, "")  # nobody asked to judge
        assert "max<1us         1.00 us    2.00 ms  CROSSED\n" in ended.out
        ended = command("report", str(path), "--threshold", "each.max<2us")
        assert ended.err == "loadgen: error: thresholds crossed: each.max<2us: 2.00 ms seen (a)\n"
        assert "1us" not in ended.out

    @pytest.mark.parametrize(
        ("threshold", "says"),
        [("p99<5", "not a time"), ("rate>=target", "--threshold rate>=target needs open load")],
    )
    def test_a_wrong_threshold(self, threshold: str, says: str, tmp_path: Path, command: Command) -> None:
        path = tmp_path / "r.json"
        write(path, {"a": 3})
        ended = command("report", str(path), "--threshold", threshold)
        check_refused(ended, 2, says)
        assert ended.out == ""

    def test_a_bad_one_is_found_before_anything_is_printed(self, tmp_path: Path, command: Command) -> None:
        good, bad = tmp_path / "good.json", tmp_path / "bad.json"
        write(good, {"a": 3})
        bad.write_text(good.read_text()[:-50])
        ended = command("report", str(good), str(bad))
        check_refused(ended, 1, f"{bad} is not JSON, or was cut short")
        assert ended.out == ""

    def test_one_of_a_newer_version(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        write(path, {"a": 3})
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"version": 2}))
        check_refused(loadgen("report", str(path)), 1, "newer than this loadgen's 1: update loadgen")

    def test_none(self, tmp_path: Path, command: Command) -> None:
        check_refused(command("report", str(tmp_path / "r.json")), 1, "No such file or directory")


class TestMerge:
    def write(self, folder: Path, *parts: Result) -> list[str]:
        paths = [folder / f"{number}.json" for number in range(len(parts))]
        for path, one in zip(paths, parts, strict=True):
            ResultFile(path).write(resultjson.to_json(one, summary.of(one)))
        return [str(path) for path in paths]

    def test_shards_are_one_result(self, tmp_path: Path, command: Command) -> None:
        parts = [result({"a": 3, "b": 3}, shards=[Part(i, 2, STARTED + i * MS, SECOND)]) for i in (0, 1)]
        files, merged = self.write(tmp_path, *parts), tmp_path / "merged.json"
        ended = command("merge", *files, "-o", str(merged))
        assert ended.code == 0, ended.err
        assert "Shards:      2 of 2, started within 1.00 ms" in ended.out
        assert command("report", str(merged)).out == ended.out
        assert checked(merged.read_text())["totals"]["sent"] == 12

    def test_one_that_is_missing_is_named(self, tmp_path: Path, command: Command) -> None:
        parts = [result({"a": 3}, shards=[Part(i, 3, STARTED, SECOND)]) for i in (0, 2)]
        ended = command("merge", *self.write(tmp_path, *parts))
        assert "Shards:      2 of 3 (1 missing)" in ended.out
        assert "1 of 3 shards is missing (1)" in " ".join(ended.out.split())

    def test_the_plans_thresholds_are_judged_on_the_whole(self, tmp_path: Path, command: Command) -> None:
        plan = {"threshold": ["failed<=2", "backends==1"]}
        parts = [result({"a": 3}, failed=2, plan=plan, shards=[Part(i, 2, STARTED, SECOND)]) for i in (0, 1)]
        files, merged = self.write(tmp_path, *parts), tmp_path / "merged.json"
        ended = command("merge", *files, "-o", str(merged))
        assert (ended.code, ended.err) == (99, "loadgen: error: thresholds crossed: failed<=2: 4 seen\n")
        assert command("report", str(merged)).out == ended.out
        assert checked(merged.read_text())["summary"]["passed"] is False
        ended = command("merge", files[0])
        assert ended.code == 1
        assert ended.err == "loadgen: error: the thresholds cannot be judged: shard 1 is missing\n"
        assert "Not judged" in ended.out

    def test_another_target(self, tmp_path: Path, command: Command) -> None:
        other = result({"a": 3}, plan={"target": "other:1"}, shards=[Part(1, 2, STARTED, SECOND)])
        files = self.write(tmp_path, result({"a": 3}, shards=[Part(0, 2, STARTED, SECOND)]), other)
        says = f'cannot merge {files[1]} with those before it: target is "server:9090" in one result and'
        check_refused(command("merge", *files), 1, says)

    def test_runs_at_different_times(self, tmp_path: Path, command: Command) -> None:
        parts = [result({"a": 3}, shards=[Part(0, 1, STARTED + i * 5 * SECOND, SECOND)]) for i in (0, 1)]
        files, merged = self.write(tmp_path, *parts), tmp_path / "merged.json"
        says = "these are no shards of one load: shard 0/1 had ended 4.0 s before shard 0/1 began"
        check_refused(command("merge", *files, "-o", str(merged)), 1, says)
        assert not merged.exists()


def test_schema(command: Command) -> None:
    ended = command("schema")
    jsonschema.Draft7Validator.check_schema(json.loads(ended.out))
    assert json.loads(ended.out) == schema()
    assert (ended.code, ended.err) == (0, "")


def test_help_and_version(command: Command) -> None:
    assert command("run", "--help").out.startswith("Usage: loadgen run [OPTIONS] TARGET\n")
    assert command("--version").out.startswith("loadgen, version ")


def test_variables_are_those_of_the_tests_only() -> None:
    assert not [name for name in os.environ if name.startswith("LOADGEN_")]


def test_a_full_disk_behind_stdout() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "loadgen", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "loadgen: error: cannot write to stdout: No space left on device\n"
