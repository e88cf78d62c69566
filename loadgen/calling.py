"""What a plan calls: the method, found by files or by the server itself, and what is sent to it."""

import asyncio
import time
from dataclasses import replace

from loadgen import payload, protofiles, readiness, reflection
from loadgen.descriptors import GET, Descriptors, Method
from loadgen.discovery import Discovery, Dns
from loadgen.engines.channels import Connection, Options
from loadgen.engines.exchange import Streaming
from loadgen.errors import PlanError
from loadgen.pinning import Pinned
from loadgen.plan import Plan
from loadgen.shard import WHOLE, Shard
from loadgen.target import Target, Uri
from loadgen.template import Moment


def known(plan: Plan) -> Method | None:
    """Return the method, where the server need not be asked for it; raises PlanError where there is none."""
    if plan.call is None:
        return GET
    found = protofiles.descriptors(plan.proto, plan.import_path, plan.protoset)
    return None if found is None else found.find(plan.call)


async def reflected(plan: Plan, uri: Uri, options: Options, discovery: Discovery) -> Method:
    """Ask the first backends for the method that the plan calls; raises as `describe` does."""
    assert plan.call is not None
    return (await describe(uri, plan, options, discovery)).find(plan.call)


async def describe(uri: Uri, plan: Plan, options: Options, discovery: Discovery | None = None) -> Descriptors:
    """Return what the server says of the service that the plan calls, or of all.

    It is found by gRPC's own resolver, or else by a discovery. Raises as that and `reflection.fetch` do.
    """
    limit = plan.ready_timeout / 1e9
    end = time.monotonic() + limit
    if discovery is None:
        discovery = Dns(uri)
        if options.tls is not None and plan.insecure_skip_verify:
            discovery = Pinned(discovery, uri, options.tls)
    backends = await readiness.first_backends(discovery, limit)
    metadata = payload.metadata(plan)(Moment(0, plan.seed or 0))
    if options.token is not None:
        metadata = options.token.signed(metadata)
    # a connection of its own, and no channelz: it must not count among those of the load
    connection = Connection(backends.uri, GET, replace(options, connections=0))
    try:
        return await reflection.fetch(
            connection.channel,
            uri,
            backends,
            options,
            call=plan.call,
            metadata=metadata,
            limit=limit,
            end=end,
        )
    finally:
        await connection.channel.close()
        await asyncio.sleep(0)  # a call that was cancelled has a task that takes one more turn


def target(plan: Plan, uri: Uri, method: Method, shard: Shard = WHOLE) -> Target:
    """Return what calls send; raises PlanError where the plan's data does not fit the method."""
    if not method.sends_many:
        for flag, value in (
            ("--stream-messages", plan.stream_messages),
            ("--stream-interval", plan.stream_interval),
        ):
            if value is not None:
                raise PlanError(
                    f"{flag} is for streams of the client: {method.call} ({method.kind}) takes one message"
                )
    if method.unary and plan.stream_cancel_after is not None:
        raise PlanError(f"--stream-cancel-after is for streams: {method.call} is unary; use --timeout")
    return payload.target(plan, uri, method, shard)


def streaming(plan: Plan) -> Streaming:
    """Return how the plan's streams go on."""
    return Streaming(
        (plan.stream_interval or 0) / 1e9,
        None if plan.stream_cancel_after is None else plan.stream_cancel_after / 1e9,
    )
