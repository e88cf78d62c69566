"""What the Kubernetes API says of Services, their endpoints and pods, over HTTP on a free port of loopback.

As far as a client can tell it is the API's own wire format: objects and lists as JSON with resource
versions, lists in pages, watches as chunked lines of JSON with bookmarks, refusals as Status objects.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from lab.objects import RESOURCES, Json, chosen
from lab.responses import chunk, refuse, reply, status, stream

OWNER = "kubernetes.io/service-name"
ACCOUNT = "system:serviceaccount:default:loadgen"
METRICS = "pods.metrics.k8s.io"
Asked = tuple[str, Mapping[str, str]]
"""A resource, and the query with its selectors."""


class ApiServer:
    """Serves what it is given while the context is open: `async with ApiServer() as api`."""

    def __init__(
        self, host: str = "127.0.0.1", namespace: str = "default", tls: ssl.SSLContext | None = None
    ) -> None:
        """With `tls` it speaks that; else plaintext."""
        self.host = host
        self.namespace = namespace
        self.port = 0
        """The port, once it is started; it stays the same when it stops and starts again."""
        self.forbidden: set[tuple[str, str]] = set()
        """What is refused, as verb and resource: `("watch", "endpointslices")`."""
        self.requests: list[str] = []
        """Every request: verb, path and query."""
        self.metrics: Callable[[], Mapping[str, Json]] | None = None
        """Returns the metrics of pods by name; None: this API is not installed."""
        self.page = 500
        """The most objects in one answer, where the client asks for no fewer."""
        self.tokens: set[str] | None = None
        """Who may ask, by bearer token; None: everybody."""
        self.busy: list[int] = []
        """The next requests, as many, are refused: there are too many, and Retry-After (s) is this."""
        self.silent = False
        """Takes connections and requests and answers nothing; open watches stay so and tell nothing."""
        self._tls = tls
        self._version = 100
        self._oldest = 100
        self._objects: dict[tuple[str, str], Json] = {}
        self._snapshots: dict[int, list[Json]] = {}  # of lists that are read in pages, by version
        self._log: list[tuple[int, str, Json]] = []
        self._watches: dict[asyncio.Queue[str | None], Asked] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port that it had before if it had one."""
        self._listener = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: refuse connections and cut those that are open. What is known stays."""
        if self._listener is not None:
            self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut all connections in the middle of whatever they carry."""
        for writer in self._writers:
            writer.transport.abort()

    def kubeconfig(self, *, user: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Return the content of a file that leads here; `more` is of its cluster."""
        scheme = "http" if self._tls is None else "https"
        cluster = {"server": f"{scheme}://{self.host}:{self.port}", **more}
        context = {"cluster": "lab", "user": "lab", "namespace": self.namespace}
        return json.dumps(
            {
                "clusters": [{"name": "lab", "cluster": cluster}],
                "contexts": [{"name": "lab", "context": context}],
                "users": [{"name": "lab", "user": dict(user or {})}],
                "current-context": "lab",
            }
        )

    # What is known

    def service(self, name: str, port: int, **spec: Any) -> None:
        """Have a Service of this name, with a port `grpc`; `spec` is more of it, or instead of it."""
        ports = [{"name": "grpc", "port": port, "targetPort": port, "protocol": "TCP"}]
        self.put("services", name, {"spec": {"ports": ports, "selector": {"app": name}, **spec}})

    def slice(self, service: str, port: int, *endpoints: Json, name: str = "", **content: Any) -> None:
        """Have one slice of a Service's endpoints."""
        whole = {
            "addressType": "IPv4",
            "ports": [{"name": "grpc", "port": port, "protocol": "TCP"}],
            "endpoints": list(endpoints),
            **content,
        }
        self.put("endpointslices", name or f"{service}-1", whole, {OWNER: service})

    def put(
        self, resource: str, name: str, content: Mapping[str, Any], labels: Mapping[str, str] | None = None
    ) -> None:
        """Make an object, or replace it."""
        known = (resource, name) in self._objects
        about = {"name": name, "namespace": self.namespace, "labels": dict(labels or {})}
        self._objects[resource, name] = one = {
            **content,
            "metadata": {**content.get("metadata", {}), **about},
        }
        self._note("MODIFIED" if known else "ADDED", resource, one)

    def delete(self, resource: str, name: str) -> None:
        """Delete an object."""
        self._note("DELETED", resource, dict(self._objects.pop((resource, name))))

    def bookmark(self) -> None:
        """Tell all watches how far they are."""
        self._version += 1
        version = str(self._version)
        about = {"kind": "EndpointSlice", "metadata": {"resourceVersion": version}}
        self.say(json.dumps({"type": "BOOKMARK", "object": about}))

    def say(self, line: str) -> None:
        """Send all watches a line as it is."""
        for queue in self._watches:
            queue.put_nowait(line)

    def end(self) -> None:
        """End all watches as the API does when their time is over."""
        for queue in self._watches:
            queue.put_nowait(None)

    def compact(self) -> None:
        """Forget what was: a watch from before gets 410 Gone, and so does the next page of a list."""
        self._version += 1
        self._oldest = self._version
        self._log.clear()
        self._snapshots.clear()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    def _note(self, kind: str, resource: str, one: Json) -> None:
        self._version += 1
        version, name = RESOURCES[resource]
        about = {**one["metadata"], "resourceVersion": str(self._version)}
        one.update(apiVersion=version, kind=name, metadata=about)
        self._log.append((self._version, kind, dict(one)))
        for queue, (watched, query) in self._watches.items():
            if watched == resource and chosen(one, query):
                queue.put_nowait(json.dumps({"type": kind, "object": one}))

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *headers = head.decode().split("\r\n")
                _, target, _ = first.split(" ")
                pairs = (one.partition(":") for one in headers)
                token = next((value for name, _, value in pairs if name.lower() == "authorization"), "")
                await self._answer(reader, writer, target, token.strip().removeprefix("Bearer "))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is done, or this is
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, token: str
    ) -> None:
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        words = parts.path.strip("/").split("/")
        resource = next((one for one in words if one in RESOURCES), "")
        name = words[-1] if resource and words[-1] != resource else ""
        if words[1] == "metrics.k8s.io":
            resource = METRICS
        verb = "get" if name else "watch" if query.get("watch") == "true" else "list"
        self.requests.append(f"{verb} {target}")
        namespace = words[words.index("namespaces") + 1] if "namespaces" in words else ""
        if self.silent:
            await reader.read()  # until the client has had enough
        elif self.tokens is not None and token not in self.tokens:
            await refuse(writer, HTTPStatus.UNAUTHORIZED, "Unauthorized")
        elif self.busy:
            text = "the server has received too many requests and has asked us to try again later"
            await refuse(writer, HTTPStatus.TOO_MANY_REQUESTS, text, Retry_After=str(self.busy.pop(0)))
        elif (verb, resource) in self.forbidden:
            await refuse(writer, HTTPStatus.FORBIDDEN, _forbidden(verb, resource, namespace))
        elif resource == METRICS and self.metrics is None:
            await refuse(writer, HTTPStatus.NOT_FOUND, "the server could not find the requested resource")
        elif verb == "get":
            found = self._objects.get((resource, name)) if namespace == self.namespace else None
            if found is None:
                await refuse(writer, HTTPStatus.NOT_FOUND, f'{resource} "{name}" not found')
            else:
                await reply(writer, HTTPStatus.OK, found)
        elif verb == "list":
            await self._list(writer, resource, namespace, query)
        else:
            await self._watch(reader, writer, (resource if namespace == self.namespace else "", query))

    def _all(self, resource: str) -> list[Json]:
        if resource == METRICS and self.metrics is not None:
            found = self.metrics()
            return [
                {"metadata": self._objects["pods", name]["metadata"], **one}
                for name, one in sorted(found.items())
                if ("pods", name) in self._objects
            ]
        return [dict(one) for (kind, _), one in sorted(self._objects.items()) if kind == resource]

    async def _list(
        self, writer: asyncio.StreamWriter, resource: str, namespace: str, query: Mapping[str, str]
    ) -> None:
        group, kind = RESOURCES[resource]
        what: Json = {"kind": f"{kind}List", "apiVersion": group}
        now = [one for one in self._all(resource) if namespace == self.namespace and chosen(one, query)]
        if resource == METRICS:  # it has no versions and no pages
            await reply(writer, HTTPStatus.OK, {**what, "metadata": {}, "items": now})
            return
        begun, _, first = query.get("continue", "").partition("-")
        version = int(begun or self._version)
        if begun and version not in self._snapshots:
            text = "The provided continue parameter is too old to display a consistent list result."
            await refuse(writer, HTTPStatus.GONE, text)
            return
        every = self._snapshots.get(version) if begun else None
        every = every or now
        since, limit = int(first or 0), int(query.get("limit") or 0)
        until = since + min(self.page, limit) if limit else len(every)
        about = {"resourceVersion": str(version)}
        if until < len(every):
            self._snapshots[version] = every
            about["continue"] = f"{version}-{until}"
        await reply(writer, HTTPStatus.OK, {**what, "metadata": about, "items": every[since:until]})

    async def _watch(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: Asked,
    ) -> None:
        resource, query = asked
        since = int(query["resourceVersion"])
        await stream(writer)
        if since < self._oldest:
            text = f"too old resource version: {since} ({self._oldest})"
            gone = status(HTTPStatus.GONE, text)
            await chunk(writer, json.dumps({"type": "ERROR", "object": gone}))
            await chunk(writer, "")
            return
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        for version, kind, one in self._log:
            if version > since and one["kind"] == RESOURCES.get(resource, ("", ""))[1] and chosen(one, query):
                queue.put_nowait(json.dumps({"type": kind, "object": one}))
        self._watches[queue] = asked
        left = asyncio.ensure_future(reader.read(1))  # a client that watches says nothing until it leaves
        left.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            await writer.drain()
            async with asyncio.timeout(float(query.get("timeoutSeconds", 60))):
                while (line := await queue.get()) is not None:
                    if not self.silent:
                        await chunk(writer, line)
        except TimeoutError:
            if self.silent:
                await left
        finally:
            del self._watches[queue]
            left.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await left
        await chunk(writer, "")


def _forbidden(verb: str, resource: str, namespace: str) -> str:
    plural = resource.partition(".")[0]
    group = RESOURCES[resource][0].rpartition("/")[0]
    return (
        f'{plural}{group and f".{group}"} is forbidden: User "{ACCOUNT}" cannot {verb} resource'
        f' "{plural}" in API group "{group}" in the namespace "{namespace}"'
    )
