"""From entries to fragments: the one place where a record becomes what a caller sees.

A record that no copy can prove becomes a blank: the placeholder says what is missing and why, and carries
what the registry still knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carma.errors import FragmentNotFound
from carma.models import Blank, Fragment
from carma.store.entry import Entry
from carma.store.payload import Content
from carma.store.record import RecordDamaged, RecordKind
from carma.store.store import Store

__all__ = ["VISIBLE", "Reader", "fragment_of"]

VISIBLE = "live AND (expires IS NULL OR expires > :now)"
"""The condition every listing begins with; `:now` in seconds."""

_PLACE = "seq, segment, offset, length"


def fragment_of(entry: Entry) -> Fragment:
    """The fragment of an entry whose content is known."""
    content = entry.content
    if content is None:
        return Fragment(
            id=entry.id.hex(), text="", version=entry.version, kind="tombstone", updated=entry.time_ms / 1000,
            created=entry.time_ms / 1000, seq=entry.seq, deleted=True,
        )  # fmt: skip
    return Fragment(
        id=entry.id.hex(),
        text=content.text,
        version=entry.version,
        parent=content.parent.hex() if content.parent else None,
        position=entry.position,
        kind=content.kind,
        metadata=content.metadata,
        user=content.user,
        agent=content.agent,
        session=content.session,
        created=entry.created_ms / 1000,
        updated=entry.time_ms / 1000,
        expires=content.expires,
        source=content.source,
        digest=entry.text_digest.hex(),
        seq=entry.seq,
    )


class Reader:
    """Reads fragments of a store, proven, or as blanks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def head(self, id: bytes) -> Entry:
        """The newest entry of a fragment that is there. Raises FragmentNotFound."""
        head = self._store.head(id)
        if head is None or head.kind == RecordKind.TOMBSTONE:
            raise FragmentNotFound(f"There is no fragment {id.hex()}.")
        return head

    def current(self, id: bytes) -> Fragment:
        """The newest version. Raises FragmentNotFound, also when it has expired."""
        head = self.head(id)
        fragment = fragment_of(head) if head.content is not None else self.at(*_place(head))
        if fragment.expires is not None and fragment.expires <= self._store.clock.now():
            raise FragmentNotFound(f"There is no fragment {id.hex()}: it has expired.")
        return fragment

    def at(self, seq: int, segment: int, offset: int, length: int) -> Fragment:
        """The fragment that the write `seq` made, from where it lies; a blank if it cannot be proven."""
        try:
            return fragment_of(self._store.read_entry(seq, segment, offset, length))
        except RecordDamaged as damage:
            return self._blank(seq, damage)

    def entry_with_content(self, head: Entry) -> Entry:
        """The entry with its content read. Raises RecordDamaged."""
        return head if head.content is not None else self._store.read_entry(*_place(head))

    def remains(self, head: Entry) -> Content:
        """What the registry still knows of a fragment that cannot be read: all but text and metadata."""
        blank = self._blank(head.seq, RecordDamaged("unreadable", head.segment, head.offset))
        return Content(
            "",
            parent=bytes.fromhex(blank.parent) if blank.parent else None,
            position=blank.position,
            kind=blank.kind,
            user=blank.user,
            agent=blank.agent,
            session=blank.session,
            created_ms=round(blank.created * 1000),
            expires=blank.expires,
        )

    def select(self, condition: str, bindings: dict[str, Any], order: str, limit: int) -> list[Fragment]:
        """Live fragments by a condition over the registry's columns."""
        self._store.settle()
        rows = self._store.registry.rows(
            f"SELECT {_PLACE} FROM fragments WHERE {VISIBLE} AND {condition} ORDER BY {order} LIMIT :limit",
            {"now": self._store.clock.now(), "limit": limit, **bindings},
        )
        return [self.at(*row) for row in rows]

    def versions(self, id: bytes) -> list[Fragment]:
        """Every version that is still stored, oldest first; the last may be a deletion."""
        self._store.settle()
        rows = self._store.registry.rows(
            f"SELECT {_PLACE}, version, kind FROM fragments WHERE id=? ORDER BY version, seq", (id,)
        )
        newest: dict[int, Sequence[Any]] = {row[4]: row for row in rows}
        return [self.at(*row[:4]) for row in newest.values()]

    def _blank(self, seq: int, damage: RecordDamaged) -> Fragment:
        row = self._store.registry.one(
            "SELECT id, version, parent, position, kind, user, agent, session, created, updated, expires, "
            "text_digest FROM fragments WHERE seq=?",
            (seq,),
        )
        if row is None:
            raise FragmentNotFound(f"The write {seq} is not known.") from damage
        id, version, parent, position, kind, user, agent, session, created, updated, expires, digest = row
        return Fragment(
            id=id.hex(),
            text="",
            version=version,
            state="blank",
            parent=parent.hex() if parent else None,
            position=position,
            kind=kind,
            user=user,
            agent=agent,
            session=session,
            created=created / 1000,
            updated=updated / 1000,
            expires=expires,
            digest=digest.hex(),
            seq=seq,
            blank=Blank(reason=damage.reason, digest=digest.hex(), first_seen=self._store.clock.now()),
        )


def _place(entry: Entry) -> tuple[int, int, int, int]:
    return entry.seq, entry.segment, entry.offset, entry.length
