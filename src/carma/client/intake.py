"""Ingest over a server: files are read, cut and compared here, and only what changed travels.

The sink answers ingest's questions by `list`, and carries its operations out as changes. Several additions
in a row are one request. What a memory writes in one group commit is several requests here; that is safe,
because the digest that says a file is complete comes last and names nothing that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from carma.client.exchange import Steps
from carma.client.opening import AllVerbs
from carma.errors import FragmentNotFound
from carma.ingest import (
    Add,
    Delete,
    Existing,
    IngestOptions,
    IngestReport,
    Move,
    Operation,
    Progress,
    Restate,
    Update,
    ingest_path,
)
from carma.memory.ids import IdMaker
from carma.models import Fragment, Page
from carma.ports.clock import SystemClock, SystemEntropy

__all__ = ["ClientSink", "ingest"]

Run = Callable[[Steps[Any]], Any]
_PAGE = 1_000


def ingest(
    run: Run,
    verbs: AllVerbs,
    path: str,
    parent: str | None,
    user: str | None,
    agent: str | None,
    session: str | None,
    options: IngestOptions | None,
    progress: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> IngestReport:
    """Bring what the server holds of `path` up to date. run: carries steps out."""
    scope = {"user": user, "agent": agent, "session": session}
    return ingest_path(
        ClientSink(run, verbs, scope),
        path,
        clock=SystemClock(),
        parent=parent,
        options=options,
        progress=progress,
        should_stop=should_stop,
    )


class ClientSink:
    """An `IngestSink` over the verbs of a client."""

    def __init__(self, run: Run, verbs: AllVerbs, scope: dict[str, str | None]) -> None:
        self._run = run
        self._verbs = verbs
        self._scope = scope
        self._ids = IdMaker(SystemClock(), SystemEntropy())

    def new_id(self) -> str:
        return self._ids.next().hex()

    def root(self, path: str) -> Existing | None:
        for fragment in self._pages(where={"root": path}, **self._scope):
            if all(getattr(fragment, name) == value for name, value in self._scope.items()):
                return Existing.of(fragment)
        return None

    def children(self, parent: str) -> Sequence[Existing]:
        return [Existing.of(each) for each in self._pages(parent=parent)]

    def below(self, ancestor: str) -> Sequence[Existing]:
        return [Existing.of(each) for each in self._pages(where={"under": ancestor}) if each.id != ancestor]

    def count_below(self, ancestor: str) -> int:
        return len(self.below(ancestor))

    def _pages(self, **scope: Any) -> Iterator[Fragment]:
        cursor = None
        while True:
            page: Page = self._run(self._verbs.list(limit=_PAGE, cursor=cursor, **scope))
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return

    def apply(self, operations: Sequence[Operation]) -> None:
        for kind, several in groupby(operations, type):
            if kind is Add:
                self._run(self._verbs.add_many([self._item(each) for each in several]))  # type: ignore[arg-type]
            else:
                for each in several:
                    self._run(self._change(each))

    def _item(self, add: Add) -> dict[str, Any]:
        return {
            "text": add.text, "parent": add.parent, "position": add.position, "kind": add.kind,
            "metadata": dict(add.metadata) or None, "source": add.source, "id": add.id,
            "created": add.created, **self._scope,
        }  # fmt: skip

    def _change(self, operation: Operation) -> Steps[Any]:
        verbs, id = self._verbs, operation.id
        if isinstance(operation, Delete):
            return self._delete(id)
        if isinstance(operation, Restate):
            return verbs.update(id, source=operation.source)
        if isinstance(operation, Move):
            return verbs.update(id, parent=operation.parent, position=operation.position)
        assert isinstance(operation, Update)
        given: dict[str, Any] = {"text": operation.text, "metadata": operation.metadata}
        given["source"] = operation.source
        return verbs.update(id, **{name: value for name, value in given.items() if value is not None})

    def _delete(self, id: str) -> Steps[None]:
        try:
            yield from self._verbs.delete(id)
        except FragmentNotFound:  # An earlier try did it, and its answer was lost.
            return
