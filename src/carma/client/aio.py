"""`AsyncClient`: the same verbs, awaitable, for asyncio.

async with AsyncClient("https://memory.example:8443") as memory:
    await memory.add("The spare key hangs behind the blue door.")
"""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from carma.client.dreaming import NewKey
from carma.client.exchange import Effect, More, Outcome, Received, Send, Steps, Stop
from carma.client.local import LOCAL, refused
from carma.client.many import batch_of, each_later, searches
from carma.client.opening import AllVerbs, Opened
from carma.client.transport import Collected, lost, options_of, request_of

if TYPE_CHECKING:
    from carma.ingest import IngestOptions, IngestReport, Progress
    from carma.memory.batch import SearchBatch
    from carma.models import Fragment, SearchResult

__all__ = ["AsyncClient"]

P = ParamSpec("P")
R = TypeVar("R")


def _later(
    verb: Callable[Concatenate[AllVerbs, P], Steps[R]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[R]]:
    """The verb, awaited."""

    async def call(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(verb(self._verbs, *args, **kwargs))

    return cast("Callable[Concatenate[AsyncClient, P], Awaitable[R]]", wraps(verb)(call))


class AsyncClient(Opened):
    """A memory on a server, for one event loop. Arguments and errors are those of `Client`.

    A cancelled call stops waiting; what it asked for may still be done.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, ca_file: str | None = None, **options: Any
    ) -> None:
        super().__init__(url, key, **options)
        self._http = httpx.AsyncClient(**options_of(self._settings, self._address, ca_file))

    async def close(self) -> None:
        """Close the connections; idempotent."""
        self._closed = True
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[R]) -> R:
        self._ready(steps)
        stream = _Stream()
        try:
            effect = next(steps)
            while True:
                effect = steps.send(await self._perform(effect, stream))
        except StopIteration as end:
            value: R = end.value
            return value
        finally:
            await stream.close()
            steps.close()

    async def _perform(self, effect: Effect, stream: _Stream) -> Outcome:
        if isinstance(effect, Send):
            return await self._send(effect, stream)
        if isinstance(effect, More):
            return await stream.more()
        if isinstance(effect, Stop):
            await stream.close()
        else:
            await asyncio.sleep(effect.seconds)
        return None

    async def _send(self, send: Send, stream: _Stream) -> Outcome:
        try:
            response = await self._http.send(request_of(self._http, send, self._settings), stream=True)
        except httpx.HTTPError as error:
            return lost(error)
        collected = Collected(response, self._settings.answer_bytes)
        if send.stream and collected.streams:
            await stream.open(response)
            return collected.received()
        try:
            async for piece in response.aiter_bytes():
                collected.add(piece)
        except httpx.HTTPError as error:
            return lost(error)
        finally:
            await response.aclose()
        return collected.received()

    accept = _later(AllVerbs.accept)
    add = _later(AllVerbs.add)
    add_many = _later(AllVerbs.add_many)
    audit = _later(AllVerbs.audit)
    blanks = _later(AllVerbs.blanks)
    children = _later(AllVerbs.children)
    count = _later(AllVerbs.count)
    delete = _later(AllVerbs.delete)
    dream = _later(AllVerbs.dream)
    dreams = _later(AllVerbs.dreams)
    get = _later(AllVerbs.get)
    history = _later(AllVerbs.history)
    list = _later(AllVerbs.list)
    parent = _later(AllVerbs.parent)
    reject = _later(AllVerbs.reject)
    scan = _later(AllVerbs.scan)
    search = _later(AllVerbs.search)
    show_dream = _later(AllVerbs.show_dream)
    stats = _later(AllVerbs.stats)
    topology = _later(AllVerbs.topology)
    tree = _later(AllVerbs.tree)
    update = _later(AllVerbs.update)
    usage = _later(AllVerbs.usage)

    async def get_many(self, ids: Iterable[str]) -> builtins.list[Fragment]:
        """As `Client.get_many`."""
        return await each_later(self.get, ids, self._settings.at_once)

    async def search_many(
        self,
        queries: Sequence[str] | Any,
        *,
        limit: int = 10,
        mode: str = "vector",
        where: Mapping[str, Any] | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        under: str | None = None,
    ) -> SearchBatch:
        """As `Client.search_many`."""
        scope: dict[str, Any] = {"where": where, "user": user, "agent": agent, "session": session}

        async def one(asked: Mapping[str, Any]) -> SearchResult:
            return await self.search(**asked, limit=limit, under=under, **scope)

        return batch_of(await each_later(one, searches(queries, mode), self._settings.at_once), limit)

    async def rotate_key(self, *, grace_s: float | None = None) -> NewKey:
        """As `Client.rotate_key`."""
        return self._take(await self._run(self._verbs.rotate_key(grace_s=grace_s)))

    async def ingest(
        self,
        path: str | Path,
        *,
        parent: str | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        options: IngestOptions | None = None,
        progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> IngestReport:
        """As `Client.ingest`; the files are read in a thread."""
        from carma.client.intake import ingest  # Heavy: it brings the parsers along.

        loop, left = asyncio.get_running_loop(), threading.Event()

        def run(steps: Steps[Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(self._run(steps), loop).result()

        def stop() -> bool:
            return left.is_set() or (should_stop is not None and should_stop())

        try:
            return await asyncio.to_thread(
                ingest, run, self._verbs, str(path), parent, user, agent, session, options, progress, stop
            )
        finally:
            left.set()  # Whoever was cancelled ingests no further than to the end of the file at hand.


for _name in LOCAL:
    setattr(AsyncClient, _name, refused(_name, awaited=True))


class _Stream:
    """The stream of events that is open, if one is."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def open(self, response: httpx.Response) -> None:
        await self.close()
        self._response, self._pieces = response, response.aiter_bytes()

    async def more(self) -> Outcome:
        if self._pieces is None:
            return Received(200, {})
        try:
            return Received(200, {}, await anext(self._pieces, b""))
        except httpx.HTTPError as error:
            return lost(error)

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = self._pieces = None
