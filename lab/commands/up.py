"""`lab up`: a cluster to play with by hand."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from lab import console
from lab.cluster import FIRST, LocalCluster
from lab.errors import LabError
from lab.parameters import Seconds, ServerOption
from lab.replicas import Replica, State

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMANDS = """\
  scale N        have N replicas ready
  stop NAME      SIGTERM: the replica drains
  kill NAME      SIGKILL: its connections are reset
  freeze NAME    SIGSTOP: its connections stay and nothing is answered
  thaw NAME      SIGCONT: it goes on
  status         what there is, and what DNS and the ClusterIP did
  quit           stop the cluster, as Ctrl-C does"""


@click.command(epilog=f"\b\nCommands, on standard input while it runs:\n{COMMANDS}")
@click.option(
    "--replicas",
    type=click.IntRange(0, 200),
    default=3,
    show_default=True,
    help="How many to start with.",
)
@click.option("--headless", is_flag=True, help="Show how to call the headless service.")
@click.option(
    "--ttl",
    type=click.IntRange(0, 2**31 - 1),  # RFC 2181 8
    default=30,
    show_default=True,
    help="TTL of DNS answers, in seconds.",
)
@click.option(
    "--staleness",
    type=Seconds(),
    default="0s",
    show_default=True,
    help="How long DNS lags behind a change.",
)
@click.option(
    "--server-option",
    "server_options",
    type=ServerOption(),
    multiple=True,
    help="Option of every server, such as max-connection-age=5s; may be repeated.",
)
@click.option(
    "--slow-option",
    "slow_options",
    type=ServerOption(),
    multiple=True,
    help=f"Option of {FIRST} alone, such as delay=100ms, which makes it slow; may be repeated.",
)
def up(
    *,
    replicas: int,
    headless: bool,
    ttl: int,
    staleness: float,
    server_options: tuple[tuple[str, str], ...],
    slow_options: tuple[tuple[str, str], ...],
) -> None:
    """Start a service with replicas and keep it until it is told to stop.

    It stops on Ctrl-C, SIGTERM or the end of standard input; a second Ctrl-C does not wait for
    replicas to drain.
    """

    async def serve() -> bool:
        stop = asyncio.Event()

        def tell(replica: Replica) -> None:
            if replica.state is State.STARTING and replica.id:
                return  # its id is no news before it is ready
            try:
                click.echo(replica)
            except OSError:  # nobody reads, or the terminal is gone: stop, and write nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                stop.set()

        cluster = LocalCluster(
            replicas,
            server_options=dict(server_options),
            slow_options=dict(slow_options),
            ttl=ttl,
            staleness=staleness,
            on_change=tell,
        )
        return await _run(cluster, stop, headless=headless)

    if not asyncio.run(serve()):
        raise click.Abort


async def _run(cluster: LocalCluster, stop: asyncio.Event, *, headless: bool) -> bool:
    """Run until told to stop; False if that was before everything had started or drained."""
    work = asyncio.create_task(_play(cluster, stop, headless=headless))

    def on_signal() -> None:
        if stop.is_set() or not cluster.started:
            work.cancel()
        stop.set()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        await work
    except asyncio.CancelledError:
        return False
    return True


async def _play(cluster: LocalCluster, stop: asyncio.Event, *, headless: bool) -> None:
    async with cluster:
        with TemporaryDirectory(prefix="grpc-spread-") as folder:
            _introduce(cluster, Path(folder, "kubeconfig"), headless=headless)
            await _serve(cluster, stop)


async def _serve(cluster: LocalCluster, stop: asyncio.Event) -> None:
    reading = asyncio.create_task(_obey(cluster))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in (reading, stopping):
        task.cancel()
    await asyncio.wait({reading})
    if not reading.cancelled():
        reading.result()
    click.echo("stopping")
    for replica in await cluster.replicas():
        if replica.frozen:  # a frozen one cannot drain
            cluster.thaw(replica.name)
    await cluster.scale(0)
    await cluster.drained()


def _introduce(cluster: LocalCluster, kubeconfig: Path, *, headless: bool) -> None:
    kubeconfig.write_text(cluster.api.kubeconfig())
    beside = Path(sys.executable).with_name("loadgen")
    command = [shutil.which("loadgen") or str(beside), "run", cluster.target(headless=headless)]
    if headless:
        command += ["--lb-policy", "round_robin"]
    click.echo(f"ClusterIP  {cluster.target(headless=False)}")
    click.echo(f"headless   {cluster.target(headless=True)}")
    click.echo(f"try        {shlex.join([*command, '-n', '3000'])}")
    click.echo(
        f"watch      KUBECONFIG={kubeconfig} and --discovery watch: endpoints as Kubernetes tells of them;"
        " --observe: replicas and their memory beside the load"
    )
    click.echo("commands   scale N | stop, kill, freeze, thaw NAME | status | help | quit")


async def _obey(cluster: LocalCluster) -> None:
    """Do what standard input says, until it ends or says quit."""
    async with contextlib.aclosing(console.lines(sys.stdin.fileno())) as lines:
        async for line in lines:
            words = line.split()
            if words == ["quit"]:
                return
            try:
                await _do(cluster, words)
            except LabError as error:
                click.echo(f"error: {error.format_message()}", err=True)


async def _do(cluster: LocalCluster, words: list[str]) -> None:
    match words:
        case []:
            return
        case ["scale", count]:
            if not count.isdecimal() or len(count) > 4:
                raise LabError(f"{count} is not a number of replicas")
            await cluster.scale(int(count))
        case ["stop", name]:
            cluster.terminate(name)
        case ["kill", name]:
            await cluster.kill(name)
        case ["freeze", name]:
            cluster.freeze(name)
        case ["thaw", name]:
            cluster.thaw(name)
        case ["status"]:
            await _status(cluster)
        case ["help"]:
            click.echo(COMMANDS)
        case _:
            raise LabError(f"{shlex.join(words)} is not a command; help lists them")


async def _status(cluster: LocalCluster) -> None:
    for replica in await cluster.replicas():
        if replica.state is not State.GONE:
            backend = (replica.address, replica.port)
            given, opened = cluster.proxy.connections[backend], cluster.proxy.open[backend]
            click.echo(f"{replica}, {opened}/{given} ClusterIP connections open")
    for (name, kind), count in sorted(cluster.zone.queries.items()):
        click.echo(f"{count:5} x {kind:4} {name}")
