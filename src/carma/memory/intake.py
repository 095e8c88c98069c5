"""Ingest, as the memory sees it: the sink that turns ingest's operations into drafts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

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
from carma.memory.browse import Scope
from carma.memory.ids import id_bytes
from carma.store.commit import View
from carma.store.entry import Draft, Entry

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["ingest"]

_MOST_BELOW = 10_000_000


def ingest(
    parts: Parts,
    path: str,
    parent: str | None,
    scope: Scope,
    options: IngestOptions | None,
    progress: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> IngestReport:
    """Bring what the memory holds of `path` up to date."""
    return ingest_path(
        MemorySink(parts, scope),
        path,
        clock=parts.store.clock,
        parent=parent,
        options=options,
        progress=progress,
        should_stop=should_stop,
    )


class MemorySink:
    """An `IngestSink` over one memory and one scope."""

    def __init__(self, parts: Parts, scope: Scope) -> None:
        self._parts = parts
        self._scope = scope

    def new_id(self) -> str:
        return self._parts.writer.ids.next().hex()

    def root(self, path: str) -> Existing | None:
        condition, bindings = self._scope.condition()
        condition += (
            " AND seq IN (SELECT seq FROM metadata WHERE key='root' AND value=:root)"
            " AND user IS :of_user AND agent IS :of_agent AND session IS :of_session"
        )
        bindings |= {
            "root": path,
            "of_user": self._scope.user,
            "of_agent": self._scope.agent,
            "of_session": self._scope.session,
        }
        found = self._parts.reader.select(condition, bindings, "seq", 1)
        return Existing.of(found[0]) if found else None

    def children(self, parent: str) -> Sequence[Existing]:
        found = self._parts.reader.select(
            "parent = :parent", {"parent": id_bytes(parent)}, "position, id", _MOST_BELOW
        )
        return [Existing.of(fragment) for fragment in found]

    def below(self, ancestor: str) -> Sequence[Existing]:
        ids = self._parts.browser.below(id_bytes(ancestor))
        return [Existing.of(self._parts.reader.current(id)) for id in ids]

    def count_below(self, ancestor: str) -> int:
        return len(self._parts.browser.below(id_bytes(ancestor)))

    def apply(self, operations: Sequence[Operation]) -> None:
        """One group commit.

        Each operation has its own record, in order: if a crash keeps only the first of them, a file's digest,
        which comes last, is not there yet and the file is planned again.
        """

        def prepare(view: View) -> Sequence[Draft]:
            drafts: list[Draft] = []
            chained = _Chained(view)
            for operation in operations:
                drafts.append(self._draft(chained, operation))
                chained.latest[drafts[-1].id] = drafts[-1]
            return drafts

        self._parts.actor.commit(prepare)

    def _draft(self, view: View, operation: Operation) -> Draft:
        writer, id = self._parts.writer, id_bytes(operation.id)
        if isinstance(operation, Add):
            return writer.new(
                operation.text,
                parent=operation.parent,
                position=operation.position,
                kind=operation.kind,
                user=self._scope.user,
                agent=self._scope.agent,
                session=self._scope.session,
                metadata=operation.metadata,
                source=operation.source,
                id=operation.id,
                created=operation.created,
            )._replace(fresh=True)
        if isinstance(operation, Delete):
            return writer.end(writer.existing(view, id))
        if isinstance(operation, Restate):
            return writer.change(view, id, {"source": operation.source}, None, same_version=True)
        if isinstance(operation, Move):
            parent = id_bytes(operation.parent) if operation.parent is not None else None
            changes = {"parent": parent, "position": operation.position}
            return writer.change(view, id, changes, None, same_version=True)
        assert isinstance(operation, Update)
        given = {"source": operation.source, "text": operation.text, "metadata": operation.metadata}
        return writer.change(
            view, id, {name: value for name, value in given.items() if value is not None}, None
        )


class _Chained:
    """What the next draft will find: the drafts of this batch, then the store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.latest: dict[bytes, Draft] = {}

    def head(self, id: bytes) -> Entry | Draft | None:
        return self.latest.get(id) or self._view.head(id)
