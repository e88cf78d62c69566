"""`loadgen list`: show what can be called."""

import asyncio
import json
from typing import Any

import click

from loadgen import calling, mapping, protofiles
from loadgen.commands.calling import described
from loadgen.commands.securing import secured
from loadgen.descriptors import Descriptors, Method
from loadgen.errors import LoadgenError, PlanError
from loadgen.options import options_of
from loadgen.parameters import Duration, Metadata
from loadgen.plan import Plan
from loadgen.target import Uri


@click.command("list")
@click.argument("target", required=False)
@click.argument("call", metavar="[PACKAGE.SERVICE/METHOD]", required=False)
@described
@click.option("-m", "--metadata", type=Metadata(), multiple=True, help="Request metadata for reflection.")
@secured
@click.option(
    "--ready-timeout",
    type=Duration(),
    default="10s",
    show_default=True,
    help="Give up where the server does not answer by then.",
)
def list_(target: str | None, call: str | None, **options: Any) -> None:
    """List the services and methods of TARGET, which is asked by server reflection.

    \b
    loadgen list shop:9090                   every method, as --call takes it
    loadgen list shop:9090 shop.Cart/Add     one method, and its request as JSON to fill in
    loadgen list --proto shop.proto          what a file describes
    """
    files = protofiles.descriptors(options["proto"], options["import_path"], options["protoset"])
    if files is not None and target is not None and call is None and ":" not in target:
        target, call = None, target  # with files nobody needs to be asked
    if files is None:
        if target is None:
            raise PlanError("name a server (HOST:PORT) to ask, or a file with --proto or --protoset")
        plan = Plan(target=target, call=call, **options)
        uri = Uri.parse(target)
        files = asyncio.run(calling.describe(uri, plan, options_of(plan, uri)))
    if call is not None:
        click.echo("\n".join(_one(files.find(call))))
        return
    if not files.services:
        raise LoadgenError(f"{target or 'the files'}: there is no service")
    click.echo("\n".join(_all(files)))


def _all(files: Descriptors) -> list[str]:
    """Return a line for each method."""
    methods = [method for service in files.services for method in files.methods(service)]
    calls = [method.call for method in methods]
    width = max(map(len, calls), default=0)
    return [
        f"{call:<{width}}  {method.kind:<16}  {_types(method)}"
        for call, method in zip(calls, methods, strict=True)
    ]


def _one(method: Method) -> list[str]:
    skeleton = json.dumps(mapping.skeleton(method.takes), indent=2)
    return [f"{method.call}  {method.kind}  {_types(method)}", "", skeleton]


def _types(method: Method) -> str:
    return f"{method.takes.full_name} -> {method.reply.DESCRIPTOR.full_name}"
