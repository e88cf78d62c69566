"""The Kubernetes API as far as a load needs it: to get, list and watch, with lightkube's credentials."""

import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams, verify_cluster
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from loadgen.errors import PlanError

ANSWER = 5.0  # seconds that the API may take to answer
SPARE = 15.0  # seconds that a watch may be silent after the time at which the API should have ended it
KEEPALIVE = (  # a connection whose other end vanished is found in some 25 s, however quiet the watch is
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
PAGE = 500  # objects in one answer to a list

Json = dict[str, Any]
GONE = 410


class ApiError(Exception):
    """The API said no, or nothing."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """`status` is the HTTP status code, or what stands for it in a watch; None: no answer."""
        super().__init__(message)
        self.message = message
        self.status = status


class Api:
    """One cluster's API. Whatever goes wrong is an ApiError."""

    def __init__(self, client: httpx2.AsyncClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        """The pod's own, or that of the kubeconfig's context."""

    @classmethod
    def connect(cls, option: str) -> Self:
        """Use the pod's own account, or else KUBECONFIG or the default file.

        Raises PlanError, which names the option that needs it.
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
            raise PlanError(
                f"{option} found no Kubernetes API: no service account's token in a pod"
                f" (automountServiceAccountToken) and no usable kubeconfig (KUBECONFIG): {reason}"
            ) from None
        return cls(client, config.namespace.strip())

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """Return one object."""
        try:
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
            page = await self.get(path, params)
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
    ) -> AsyncGenerator[AsyncIterator[str], None]:
        """Open a watch that the API ends after so many seconds, and give its lines."""
        params = {
            **where,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        silence = httpx2.Timeout(ANSWER, read=seconds + SPARE)
        try:
            async with self._client.stream("GET", path, params=params, timeout=silence) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer.aiter_lines()
        except (httpx2.HTTPError, ConfigError, OSError) as error:
            raise ApiError(self._said(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _said(self, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        return f"the Kubernetes API at {self._client.base_url} does not answer: {reason}"


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
    return ApiError(f"the Kubernetes API answers {answer.status_code}: {message}", answer.status_code)
