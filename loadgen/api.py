"""The Kubernetes API as far as a load needs it: to get, list and watch, with lightkube's credentials."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams, verify_cluster
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from loadgen.errors import NoClusterError

ANSWER = 5.0  # seconds that the API may take to answer, and to go on with an answer
WHOLE = 30.0  # seconds that a whole answer may take, in however small pieces it comes
SPARE = 5.0  # seconds that a watch may be silent after the time at which the API should have ended it
LINE = 16 << 20  # bytes of one event of a watch, as in client-go; etcd keeps no object above some 1.5 MB
KEEPALIVE = (  # a connection whose other end vanished is found in some 25 s, however quiet the watch is
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
PAGE = 500  # objects in one answer to a list

Json = dict[str, Any]
GONE = 410
TOO_LARGE = 413
TOO_MANY = 429


class ApiError(Exception):
    """The API said no, or nothing."""

    def __init__(self, message: str, status: int | None = None, after: float = 0.0) -> None:
        """`status` is the HTTP status code, or what stands for it in a watch; None: no answer.

        `after` is how long (s) the API wants to be left alone: its Retry-After.
        """
        super().__init__(message)
        self.message = message
        self.status = status
        self.after = after


class Api:
    """One cluster's API. Whatever goes wrong is an ApiError."""

    def __init__(self, client: httpx2.AsyncClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        """The pod's own, or that of the kubeconfig's context."""

    @classmethod
    def connect(cls, option: str) -> Self:
        """Use the pod's own account, or else KUBECONFIG or the default file.

        Raises NoClusterError, which names the option that needs it.
        """
        try:
            config = KubeConfig.from_env().get()
            if config is None:
                raise ConfigError("no current context")
            user = config.user or User()
            verify = verify_cluster(config.cluster, user, config.abs_file, trust_env=False)
            transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, socket_options=KEEPALIVE)
            client = AsyncClient(
                config._replace(user=user),
                ConnectionParams(timeout=httpx2.Timeout(ANSWER), trust_env=False, transport=transport),  # type: ignore[arg-type]
            )
        except Exception as error:  # lightkube lets errors of many kinds out of a malformed file
            reason = " ".join(str(error).split())
            raise NoClusterError(
                f"{option} found no Kubernetes API: no service account's token in a pod"
                f" (automountServiceAccountToken) and no usable kubeconfig (KUBECONFIG): {reason}"
            ) from None
        return cls(client, config.namespace.strip())

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """Return one object."""
        try:
            async with asyncio.timeout(WHOLE):
                answer = await self._client.get(path, params=params)
        except (httpx2.HTTPError, ConfigError, OSError) as error:
            raise ApiError(self._said(error)) from None
        if answer.status_code != 200:
            raise _refusal(answer)
        return _content(answer.text)

    async def list(self, path: str, where: Mapping[str, str]) -> tuple[list[Any], str]:
        """Return all objects that the selectors choose, and the version to watch from."""
        items: list[Any] = []
        params = {**where, "limit": str(PAGE)}
        while True:
            try:
                page = await self.get(path, params)
            except ApiError as error:
                if error.status != GONE or "continue" not in params:
                    raise
                # the pages' common version is forgotten by now: all at once, then, as client-go does
                items, params = [], dict(where)
                continue
            try:
                about = page["metadata"]
                items += page["items"] or ()
                version, more = str(about["resourceVersion"]), about.get("continue")
            except (AttributeError, KeyError, TypeError):
                raise ApiError("the Kubernetes API's answer is no list") from None
            if not more:
                return items, version
            params["continue"] = str(more)

    @asynccontextmanager
    async def watch(
        self, path: str, where: Mapping[str, str], version: str, seconds: int
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open a watch that the API ends after so many seconds, and give its lines.

        The API begins its answer at once, however long nothing changes: one that does not is not there.
        """
        params = {
            **where,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        silence = httpx2.Timeout(ANSWER, read=seconds + SPARE)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(ANSWER):
                    answer = await stack.enter_async_context(
                        self._client.stream("GET", path, params=params, timeout=silence)
                    )
                    if answer.status_code != 200:
                        await answer.aread()
                        raise _refusal(answer)
                yield await stack.enter_async_context(aclosing(_lines(answer)))
        except (httpx2.HTTPError, ConfigError, OSError) as error:
            raise ApiError(self._said(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _said(self, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
            reason = "nothing came in time"
        return f"the Kubernetes API at {self._client.base_url} does not answer: {reason}"


async def _lines(answer: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Split at line feeds alone: JSON may hold what else ends a line in Unicode. What is cut off is left."""
    begun: list[bytes] = []
    size = 0
    async for piece in answer.aiter_bytes():
        first, *others = piece.split(b"\n")
        begun.append(first)
        size += len(first)
        for other in others:
            yield b"".join(begun)
            begun, size = [other], len(other)
        if size > LINE:
            raise ApiError(f"the Kubernetes API sends an event of more than {LINE >> 20} MiB", TOO_LARGE)


def _content(text: str) -> Json:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ApiError("the Kubernetes API's answer is no JSON object")
    return content


def _refusal(answer: httpx2.Response) -> ApiError:
    """Return the answer as an error, with the words of its Status object if it has one."""
    try:
        message = str(json.loads(answer.text)["message"])
    except (KeyError, TypeError, ValueError):
        message = answer.reason_phrase
    after = answer.headers.get("Retry-After", "")
    return ApiError(
        f"the Kubernetes API answers {answer.status_code}: {message}",
        answer.status_code,
        float(after) if after.isdecimal() else 0.0,
    )
