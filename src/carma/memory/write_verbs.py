"""The verbs that change a memory: add, update, delete."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from carma.errors import InvalidInput
from carma.memory.base import Base
from carma.memory.gathering import Gathered, weight
from carma.memory.ids import id_bytes
from carma.memory.reading import fragment_of
from carma.memory.writing import UNSET, Unset, check_version, items_of
from carma.models import Fragment, Source
from carma.store.commit import View
from carma.store.entry import Draft, Entry
from carma.store.record import RecordKind

__all__ = ["WriteVerbs"]

T = TypeVar("T")


class WriteVerbs(Base):
    """Verbs that write. Each returns when what it wrote is durable."""

    def add(
        self,
        text: str,
        *,
        parent: str | None = None,
        position: float | None = None,
        kind: str = "note",
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires: float | None = None,
        dedupe: bool = False,
        vector: Any = None,
        source: Source | None = None,
        id: str | None = None,
        created: float | None = None,
    ) -> Fragment:
        """Remember a text. Durable and findable by words when this returns, by meaning as soon as it is
        embedded.

        parent: id of the fragment above. position: order among the siblings (the order of writing if None).
        expires, created: seconds since the epoch. dedupe: if the same text is already there under the same
        parent and scope, return that fragment instead. vector: shape (dimension,), the caller's own
        embedding. id: 32 hexadecimal digits, made if None.

        Raises InvalidInput, TooLarge, FragmentNotFound (the parent), VersionConflict (the id is taken),
        ReadOnlyMemory, MemoryBusy, StorageError.
        """
        given = {
            "text": text, "parent": parent, "position": position, "kind": kind, "user": user, "agent": agent,
            "session": session, "metadata": metadata, "expires": expires, "dedupe": dedupe, "vector": vector,
            "source": source, "id": id, "created": created,
        }  # fmt: skip
        return self._add([given])[0]

    def add_many(
        self, items: Iterable[str | Mapping[str, Any]], /, **defaults: Any
    ) -> builtins.list[Fragment]:
        """Remember several texts in one group commit: texts, or mappings with `add`'s keyword names.

        All of them are stored, or, when this raises, none of those that it was given in one batch.
        """
        return self._add(items_of(items, defaults))

    def _add(self, items: Sequence[Mapping[str, Any]]) -> builtins.list[Fragment]:
        drafts: builtins.list[Draft] = []
        dedupe: builtins.list[bool] = []
        for item in items:
            arguments = dict(item)
            dedupe.append(bool(arguments.pop("dedupe", False)))
            drafts.append(self._writer.new(**arguments))
        found: dict[int, Fragment] = {}
        again: dict[int, int] = {}

        def prepare(view: View) -> Sequence[Draft]:
            found.clear()
            again.clear()
            fresh: builtins.list[Draft] = []
            batch = _BatchView(view)
            known_ones = Gathered(self._store.settings.answer_bytes, "Add fewer of them at once.")
            for number, draft in enumerate(drafts):
                known = self._browser.twin(draft, fresh) if dedupe[number] else None
                if isinstance(known, Fragment):
                    known_ones.add(weight(known))
                    found[number] = known
                elif known is None:
                    self._writer.check_new(batch, draft)
                    batch.add(draft)
                    fresh.append(draft)
                else:
                    known_ones.add(len(fresh[known].payload))
                    again[number] = known
            return fresh

        def answer(fresh: Sequence[Draft]) -> builtins.list[tuple[bytes, int]]:
            known = {at: (id_bytes(each.id), each.version) for at, each in found.items()}
            return _in_order(len(drafts), known, again, [(draft.id, draft.version) for draft in fresh])

        written = [fragment_of(entry) for entry in self._actor.commit(prepare, answer)] if drafts else []
        return _in_order(len(drafts), found, again, written)

    def update(
        self,
        id: str,
        text: str | Unset = UNSET,
        *,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        expires: float | Unset | None = UNSET,
        position: float | Unset | None = UNSET,
        parent: str | Unset | None = UNSET,
        source: Source | Unset | None = UNSET,
        vector: Any = UNSET,
        if_version: int | None = None,
    ) -> Fragment:
        """Write the next version of a fragment; what is not given stays. None clears a field.

        if_version: refuse unless this is the version that is stored.
        Raises FragmentNotFound, VersionConflict, InvalidInput (also: a parent below the fragment),
        StorageError.
        """
        key = id_bytes(id)
        changes = self._writer.changes(text, metadata, expires, position, parent, source, vector)

        def prepare(view: View) -> Sequence[Draft]:
            if changes.get("parent") is not None:
                self._check_parent(view, key, changes["parent"])
            return [self._writer.change(view, key, changes, if_version)]

        return fragment_of(self._actor.commit(prepare)[0])

    def _check_parent(self, view: View, id: bytes, parent: bytes) -> None:
        self._writer.existing(view, parent, "parent")
        if parent == id or parent in self._browser.below(id):
            raise InvalidInput("A fragment cannot stand below itself.")

    def delete(
        self, id: str, *, children: bool = False, purge: bool = False, if_version: int | None = None
    ) -> int:
        """Forget a fragment, and all below it if `children`; otherwise its children move up to its parent.

        purge: also remove it from every file now, instead of at the next compaction. if_version: refuse
        unless this is the version of the fragment that is stored; of those below it none is compared.
        Returns how many fragments were deleted. Raises FragmentNotFound, VersionConflict, MemoryBusy,
        StorageError.
        """
        key = id_bytes(id)
        count = 0

        def prepare(view: View) -> Sequence[Draft]:
            nonlocal count
            head = self._writer.existing(view, key)
            check_version(head, if_version)
            below = self._browser.below(key)
            if children:
                heads = [h for h in map(view.head, below) if h is not None]
                count = 1 + len(heads)
                return [self._writer.end(h) for h in (head, *heads)]
            count = 1
            return [*self._orphans(view, key), self._writer.end(head)]

        def answer(drafts: Sequence[Draft]) -> builtins.list[tuple[bytes, int]]:
            return [(d.id, d.version) for d in drafts if d.kind == RecordKind.TOMBSTONE]

        self._actor.commit(prepare, answer)
        if purge:
            self._upkeep.purge()
        return count

    def _orphans(self, view: View, id: bytes) -> builtins.list[Draft]:
        """The children of a fragment that goes, restated under its parent."""
        rows = self._store.registry.rows(
            "SELECT id FROM fragments WHERE live AND parent=? ORDER BY position", (id,)
        )
        if not rows:
            return []
        parent = self._store.registry.one("SELECT parent FROM fragments WHERE live AND id=?", (id,))
        changes = {"parent": parent[0] if parent else None}
        return [self._writer.change(view, row[0], changes, None, same_version=True) for row in rows]


def _in_order(
    count: int, found: Mapping[int, T], again: Mapping[int, int], written: Sequence[T]
) -> builtins.list[T]:
    """What each of `count` items became: found, the same as a fresh one before it (by number), or fresh."""
    rest = iter(written)
    out: builtins.list[T] = []
    for number in range(count):
        if number in found:
            out.append(found[number])
        elif number in again:
            out.append(written[again[number]])
        else:
            out.append(next(rest))
    return out


class _BatchView:
    """What the next draft of one call will find: the drafts of this call, then what the writer was given."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._drafts: dict[bytes, Draft] = {}

    def add(self, draft: Draft) -> None:
        self._drafts[draft.id] = draft

    def head(self, id: bytes) -> Entry | Draft | None:
        return self._drafts.get(id) or self._view.head(id)
