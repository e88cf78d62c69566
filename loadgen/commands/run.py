"""`loadgen run`: make the load and report it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from loadgen import launch, load, planfile, resultfile, resultjson, summary, termination, thresholds
from loadgen.commands import ending
from loadgen.commands.calling import called
from loadgen.commands.securing import secured
from loadgen.errors import LoadgenError
from loadgen.parameters import (
    Codes,
    Connections,
    Duration,
    Endpoint,
    HeaderName,
    Metadata,
    Rate,
    Share,
    Stages,
    Threshold,
)
from loadgen.plan import ARRIVALS, COMPRESSIONS, DISCOVERIES, FALLBACKS, POLICIES, Plan
from loadgen.progress import Progress
from loadgen.report import text
from loadgen.result import Result
from loadgen.shard import Shard


@click.command()
@click.argument("target")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=planfile.load,
    help="Plan file (YAML): keys are the long flags with _ for -. Flags and environment win over it.",
)
@click.option("-n", "--total", type=click.IntRange(1), help="Calls to make. [default: 200, without -z]")
@click.option(
    "-z",
    "--duration",
    type=Duration(),
    help="Time to make calls for; with -n, whichever ends first.",
)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(1, 100_000),
    help="Closed load: calls at a time. [default: 1]",
)
@click.option("--interval", type=Duration(), help="Closed load: pause after each reply.")
@click.option(
    "-r",
    "--rps",
    type=Rate(),
    help="Open load: calls per second, whatever is in flight; latency counts from when a call was due.",
)
@click.option(
    "--arrival",
    type=click.Choice(ARRIVALS),
    help="Open load: evenly, or by chance as calls of many independent users come. [default: constant]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**53 - 1),
    help="Of all that is left to chance: --arrival poisson, --data-order random, {{randint}} and {{uuid}}."
    " The same one gives the same times and values. [default: another for each run]",
)
@click.option(
    "--stages",
    type=Stages(),
    help="Open load whose rate changes: DURATION:RATE ramps to a rate, from 0 at first; DURATION@RATE steps"
    " to it. In place of --rps, -n and -z.",
)
@click.option(
    "--warmup",
    type=Duration(),
    help="Make the load for so long before -n and -z begin, or take it as the first part of --stages: its"
    " calls are in no figure.",
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(1, 1_000_000),
    help="Open load: what falls due beyond it is dropped and counted. [default: 10000]",
)
@click.option(
    "--lb-policy",
    "--lb-strategy",
    "lb_policy",
    type=click.Choice(POLICIES),
    default="pick_first",
    show_default=True,
    help="gRPC's load-balancing policy. weighted_round_robin goes by the load that servers report (ORCA),"
    " ring_hash by --hash-header.",
)
@click.option(
    "--lb-config",
    metavar="JSON",
    help="The policy's own configuration, as in gRPC's service config; for weighted_round_robin such as"
    """ '{"blackoutPeriod": "0s"}' or '{"enableOobLoadReport": true}'.""",
)
@click.option(
    "--hash-header",
    type=HeaderName(),
    help="ring_hash: the --metadata key that it goes by; calls with the same value go to the same backend.",
)
@click.option(
    "--connections",
    type=Connections(),
    default="1",
    show_default=True,
    help="Channels with connections of their own, used in turn; per-call: a new one for each call.",
)
@click.option(
    "--discovery",
    type=click.Choice(DISCOVERIES),
    default="dns",
    show_default=True,
    help="How backends are found: static: one look-up; dns: gRPC's own resolver; poll: again and again;"
    " watch: the Kubernetes API tells of each change.",
)
@click.option(
    "--discovery-fallback",
    type=click.Choice(FALLBACKS),
    help="Use this in place of --discovery watch where the Kubernetes API cannot be asked: no rights, no"
    " answer or none found. The report says so. [default: that is an error]",
)
@click.option(
    "--poll-interval",
    type=Duration(),
    help="Time between look-ups of --discovery poll. [default: 1s]",
)
@click.option(
    "--rotate-connections",
    type=Duration(),
    help="With --discovery dns: make new channels so often, which look the name up again; the old ones end"
    " when their calls have.",
)
@click.option(
    "--dns-min-time-between-resolutions",
    type=Duration(),
    help="With --discovery dns: gRPC's cooldown, within which a lost connection makes it look up nothing."
    " [default: gRPC's, 30s]",
)
@click.option(
    "--expect-backends",
    type=click.IntRange(1, 10_000),
    help="Wait until so many backends are connected.",
)
@click.option(
    "--ready-timeout",
    type=Duration(),
    default="10s",
    show_default=True,
    help="Give up where the backends are not connected by then.",
)
@click.option(
    "--cold",
    is_flag=True,
    help="Do not wait for connections: shows what a burst right after start sees.",
)
@click.option(
    "--health-check",
    is_flag=True,
    help="Client-side health checking: backends that say NOT_SERVING get no calls.",
)
@click.option(
    "--observe",
    is_flag=True,
    help="Watch the target's replicas in the Kubernetes API beside the load: how many are wanted and ready,"
    " their memory, and what the autoscaler sees.",
)
@click.option(
    "-t",
    "--timeout",
    type=Duration(zero=True),
    default="20s",
    show_default=True,
    help="Deadline of each call; 0s: none.",
)
@click.option(
    "-m",
    "--metadata",
    type=Metadata(),
    multiple=True,
    help="Request metadata; may be given several times.",
)
@click.option(
    "--backend-from",
    metavar="auto|field:NAME|metadata:KEY|peer|none",
    default="auto",
    show_default=True,
    help="What tells backends apart: a field of the reply, a key of its metadata, or peer: the address, as"
    " connections count calls. auto: field:id without --call, else peer.",
)
@called
@secured
@click.option(
    "--keepalive-time",
    type=Duration(),
    help="Ping connections so often. Servers may end them for too many: by default, more than one in 5m.",
)
@click.option(
    "--keepalive-timeout",
    type=Duration(),
    help="End a connection whose ping has no answer by then. [default: 20s]",
)
@click.option("--compression", type=click.Choice(COMPRESSIONS), help="Compress requests. [default: not]")
@click.option(
    "--retry",
    type=click.IntRange(1, 4),
    help="Let gRPC repeat failed calls so many times: errors are hidden, and their time counts as latency."
    " [default: only calls that no server saw]",
)
@click.option("--retry-codes", type=Codes(), help="Status codes to repeat calls for. [default: UNAVAILABLE]")
@click.option(
    "--threshold",
    type=Threshold(),
    multiple=True,
    help="What must hold, such as 'p99<50ms', 'each.p99<50ms', 'error_rate<0.1%', 'rate>=0.99*target'; may be"
    " given several times. Exit code 99 where one is crossed.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that make the load together, each a part of it, with connections of its own.",
)
@click.option(
    "--shard",
    type=Share(),
    default="0/1",
    help="Make one of COUNT equal parts of the load, INDEX from 0: of -n, --rps, -c and --max-in-flight.",
)
@click.option(
    "--start-together",
    type=Endpoint(),
    help="Start when all shards are ready: shard 0 listens on PORT, the others find it at HOST. After 60 s"
    " each starts without the others.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the result as JSON to this file; -: to stdout, the report to stderr.",
)
@click.option(
    "--log-result",
    is_flag=True,
    help="After the report write the result to stdout in numbered lines, which collect reads from a log.",
)
@click.option(
    "--termination-log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a short summary here, such as a container's terminationMessagePath (at most 4096 bytes).",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    workers: int,
    shard: tuple[int, int],
    start_together: tuple[str, int] | None,
    output: Path | None,
    log_result: bool,
    termination_log: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Call TARGET (HOST:PORT or any gRPC URI) and report how the calls fell on its backends.

    \b
    Closed load:  loadgen run server:9090 -c 50 -n 10000
    Open load:    loadgen run server:9090 --rps 200 -z 1m
    Stages:       loadgen run server:9090 --stages 30s:100,1m:500,10s:0 --threshold 'p99<50ms'
    Even spread:  loadgen run dns:///server-headless:9090 --lb-policy round_robin
    Your service: loadgen run shop:9090 --call shop.Cart/Add -d '{"item": "{{number}}"}'

    Every option can also come from the environment (LOADGEN_RUN_RPS=200) or a plan file.
    Exit codes: 0; 1 the run failed, also when every call failed; 2 wrong usage; 99 a threshold was crossed.
    """
    plan = Plan(**{field.name: options[field.name] for field in fields(Plan)})
    whom = Shard(*shard)
    todo = launch.prepare(
        load.settled(plan, whom), Progress(quiet=quiet), shard=whom, meeting=start_together, workers=workers
    )
    with resultfile.opened(ending.file_of(output)) as write:
        result, wrong = todo()
        checks = thresholds.judge(result)
        content = resultjson.to_json(result, summary.of(result, checks))
        write(content)
    ending.deliver(content, text.render(result, checks), output=output, log_result=log_result)
    if termination_log is not None:
        termination.write(termination_log, termination.message(result, content["summary"]))
    _check(result)
    if wrong:
        raise LoadgenError("; ".join(wrong))
    ending.check(checks)
    ctx.exit(0)


def _check(result: Result) -> None:
    if result.totals.sent and not result.totals.ok:
        worst = result.outcomes[0]
        raise LoadgenError(
            f"every call failed: {worst.calls} of {result.totals.sent} with {worst.code}"
            f" ({worst.message or 'no message'})"
        )
    if not result.totals.sent:
        raise LoadgenError(
            "no call was made" if result.warmup is None else "no call was made after the warm-up"
        )
