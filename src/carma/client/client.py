"""`Client`: a memory on a server, with the verbs of `Memory`.

    from carma import Client

    with Client("https://memory.example:8443") as memory:      # the key: CARMA_KEY or CARMA_KEY_FILE
        memory.add("The spare key hangs behind the blue door.")

Safe to share between threads. What goes over the wire the steps decide (`exchange.py`); here is only their
driver for httpx.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from carma.client.dreaming import NewKey
from carma.client.exchange import Effect, More, Outcome, Received, Send, Steps, Stop
from carma.client.local import LOCAL, refused
from carma.client.many import batch_of, each_now, searches
from carma.client.opening import AllVerbs, Opened
from carma.client.transport import Collected, lost, options_of, request_of

if TYPE_CHECKING:
    from carma.ingest import IngestOptions, IngestReport, Progress
    from carma.memory.batch import SearchBatch
    from carma.models import Fragment, SearchResult

__all__ = ["Client"]

P = ParamSpec("P")
R = TypeVar("R")


def _now(verb: Callable[Concatenate[AllVerbs, P], Steps[R]]) -> Callable[Concatenate[Client, P], R]:
    """The verb, carried out."""

    def call(self: Client, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(verb(self._verbs, *args, **kwargs))

    return cast("Callable[Concatenate[Client, P], R]", wraps(verb)(call))


class Client(Opened):
    """A memory on a server.

    url: its address, else CARMA_URL. key: root or static, else CARMA_KEY, else the file `key_file` or
    CARMA_KEY_FILE. settings: bounds. audience, account: if the server was given another name, or the key
    opens several memories. server_key: the server's public key, to which bodies are sealed, else
    CARMA_SERVER_KEY, else the second line of the file that the key came from; "" seals to none. ca_file:
    authorities that are trusted instead of the system's. insecure: allow an address that is not encrypted.

    Raises InvalidInput, KeyMalformed. Every verb raises what the server reports (the errors of `Memory`),
    Unauthorized, Forbidden, TooManyRequests, ServerUnreachable, AnswerLost and InvalidAnswer.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, ca_file: str | None = None, **options: Any
    ) -> None:
        super().__init__(url, key, **options)
        self._http = httpx.Client(**options_of(self._settings, self._address, ca_file))

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._closed = True
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[R]) -> R:
        self._ready(steps)
        stream = _Stream()
        try:
            effect = next(steps)
            while True:
                effect = steps.send(self._perform(effect, stream))
        except StopIteration as end:
            value: R = end.value
            return value
        finally:
            stream.close()
            steps.close()

    def _perform(self, effect: Effect, stream: _Stream) -> Outcome:
        if isinstance(effect, Send):
            return self._send(effect, stream)
        if isinstance(effect, More):
            return stream.more()
        if isinstance(effect, Stop):
            stream.close()
        else:
            self._clock.sleep(effect.seconds)
        return None

    def _send(self, send: Send, stream: _Stream) -> Outcome:
        try:
            response = self._http.send(request_of(self._http, send, self._settings), stream=True)
        except httpx.HTTPError as error:
            return lost(error)
        collected = Collected(response, self._settings.answer_bytes)
        if send.stream and collected.streams:
            stream.open(response)
            return collected.received()
        try:
            for piece in response.iter_bytes():
                collected.add(piece)
        except httpx.HTTPError as error:
            return lost(error)
        finally:
            response.close()
        return collected.received()

    accept = _now(AllVerbs.accept)
    add = _now(AllVerbs.add)
    add_many = _now(AllVerbs.add_many)
    audit = _now(AllVerbs.audit)
    blanks = _now(AllVerbs.blanks)
    children = _now(AllVerbs.children)
    count = _now(AllVerbs.count)
    delete = _now(AllVerbs.delete)
    dream = _now(AllVerbs.dream)
    dreams = _now(AllVerbs.dreams)
    get = _now(AllVerbs.get)
    history = _now(AllVerbs.history)
    list = _now(AllVerbs.list)
    parent = _now(AllVerbs.parent)
    reject = _now(AllVerbs.reject)
    scan = _now(AllVerbs.scan)
    search = _now(AllVerbs.search)
    show_dream = _now(AllVerbs.show_dream)
    stats = _now(AllVerbs.stats)
    topology = _now(AllVerbs.topology)
    tree = _now(AllVerbs.tree)
    update = _now(AllVerbs.update)
    usage = _now(AllVerbs.usage)

    def get_many(self, ids: Iterable[str]) -> builtins.list[Fragment]:
        """As `Memory.get_many`; a request for each, `at_once` of the settings at a time."""
        return each_now(self.get, ids, self._settings.at_once)

    def search_many(
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
        """As `Memory.search_many`; a search for each query, `at_once` of the settings at a time."""
        scope: dict[str, Any] = {"where": where, "user": user, "agent": agent, "session": session}

        def one(asked: Mapping[str, Any]) -> SearchResult:
            return self.search(**asked, limit=limit, under=under, **scope)

        return batch_of(each_now(one, searches(queries, mode), self._settings.at_once), limit)

    def rotate_key(self, *, grace_s: float | None = None) -> NewKey:
        """A new root key in the place of this client's, which uses it from now on. Needs admin.

        grace_s: how long the old one still works; the server's usual time if None. Keep the new one: it is
        shown this once, and kept only in the file that the old one came from, if it came from one. Raises
        StorageError (it could not be kept there; the old one goes on).
        """
        return self._take(self._run(self._verbs.rotate_key(grace_s=grace_s)))

    def ingest(
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
        """As `Memory.ingest`: files are read and cut on this machine, and only what changed is sent."""
        from carma.client.intake import ingest  # Heavy: it brings the parsers along.

        return ingest(
            self._run, self._verbs, str(path), parent, user, agent, session, options, progress, should_stop
        )


for _name in LOCAL:
    setattr(Client, _name, refused(_name))


class _Stream:
    """The stream of events that is open, if one is."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def open(self, response: httpx.Response) -> None:
        self.close()
        self._response, self._pieces = response, response.iter_bytes()

    def more(self) -> Outcome:
        try:
            return Received(200, {}, next(self._pieces, b""))
        except httpx.HTTPError as error:
            return lost(error)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response, self._pieces = None, iter(())
