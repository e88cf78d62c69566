"""A collection of the Kubernetes API, kept as it is there: listed once, and watched from then on."""

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any, Protocol

from loadgen.api import GONE, TOO_MANY, Api, ApiError
from loadgen.endpoints import MalformedError

WATCH = (25, 35)  # seconds until a watch is renewed, so that a dead one is found
BACKOFF = (0.1, 3.0)  # seconds: after the first failure, and at the most
PATIENCE = 60.0  # seconds: longer than that it is not left alone, whatever its Retry-After says
BRIEF = 1.0  # seconds: a watch that ends sooner is not renewed at once, time after time

REFUSED = (401, 403)


class Collection(Protocol):
    """Who keeps the objects. Whatever fails is told, and what was kept stays."""

    async def begin(self) -> None:
        """Prepare for a list; raises ApiError."""
        ...

    def replace(self, items: list[Any]) -> None:
        """Take the content of a list."""
        ...

    def apply(self, kind: str, content: Any) -> None:
        """Take one event: `ADDED`, `MODIFIED` or `DELETED`; raises MalformedError and is as before then."""
        ...

    async def settled(self) -> None:
        """Learn that what is kept is what is there now."""
        ...

    def skipped(self, reason: str) -> None:
        """Learn of an event that could not be read."""
        ...

    def failed(self, error: ApiError) -> None:
        """Learn that nothing is told until it is settled again."""
        ...


class Follower:
    """Keeps a collection as it is in the API."""

    def __init__(self, api: Api, path: str, where: Mapping[str, str], collection: Collection) -> None:
        """`where` has the selectors, as parameters of a request: `{"labelSelector": "app=web"}`."""
        self._api = api
        self._path = path
        self._where = where
        self._collection = collection

    async def run(self) -> None:
        """Follow it, for ever."""
        loop = asyncio.get_running_loop()
        collection = self._collection
        version = ""
        failures = 0
        while True:
            began, after = loop.time(), 0.0
            try:
                if not version:
                    await collection.begin()
                    items, version = await self._api.list(self._path, self._where)
                    collection.replace(items)
                    await collection.settled()
                version = await self._watch(version)
            except MalformedError as error:
                collection.skipped(str(error))
                version = ""  # what it was to tell is in a list
                failures += 1
            except ApiError as error:
                if error.status not in {None, TOO_MANY, *REFUSED}:
                    version = ""  # whatever the API has against going on from there, a list is a fresh start
                if error.status != GONE:
                    collection.failed(error)
                failures += 1
                after = min(error.after, PATIENCE)
            else:
                failures = failures + 1 if loop.time() - began < BRIEF else 0
            if failures:
                await asyncio.sleep(max(pause(failures), after))

    async def _watch(self, version: str) -> str:
        """Take the events of one watch until it ends; returns the version to go on from.

        A watch that was open and breaks off has ended too: the next one tells whether the API is there.
        Raises MalformedError where what it says is lost.
        """
        opened = False
        seconds = random.randint(*WATCH)  # noqa: S311
        try:
            async with self._api.watch(self._path, self._where, version, seconds) as lines:
                opened = True
                await self._collection.settled()
                async for line in lines:
                    version = self._take(line)
                    await self._collection.settled()
        except ApiError as error:
            if not opened or error.status is not None:
                raise
        return version

    def _take(self, line: bytes) -> str:
        """Take one event; returns its version.

        Raises MalformedError, and ApiError where it is the API's error.
        """
        try:
            event = json.loads(line)
            kind, content = event["type"], event["object"]
            if kind == "ERROR":
                code = content.get("code")
                raise ApiError(f"the Kubernetes API ends the watch: {content.get('message')}", code or 500)
            if kind != "BOOKMARK":
                self._collection.apply(kind, content)
            version = content["metadata"]["resourceVersion"]
            if not isinstance(version, str):
                raise MalformedError(f"malformed event: its version is {version}"[:200])
            return version
        except MalformedError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"malformed event: {type(error).__name__}: {error}"[:200]) from None


def pause(failures: int) -> float:
    """Return how long to wait after so many failures, in seconds; no two load generators wait alike."""
    first, most = BACKOFF
    doubled = first * float(2 ** min(failures - 1, 10))
    return min(most, doubled) * random.uniform(0.5, 1.0)  # noqa: S311
