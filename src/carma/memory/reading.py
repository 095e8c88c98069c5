"""From entries to fragments: the one place where a record becomes what a caller sees.

A record that its place does not hold any more is first asked of the exact rungs that a read can afford. What
they do not give may have been reconstructed by a dream; else it is a blank: the placeholder says what is
missing and why, and carries what the registry still knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from carma.errors import FragmentNotFound
from carma.healing.exact import Exact
from carma.memory.decoded import Decoded
from carma.models import Blank, Fragment, Repair, State
from carma.store.entry import Entry
from carma.store.losses import unpack_rebuilt
from carma.store.manifest import DIGEST_BYTES
from carma.store.payload import Content
from carma.store.record import RecordDamaged, RecordKind
from carma.store.store import Store

__all__ = ["VISIBLE", "Reader", "fragment_of"]

VISIBLE = "live AND (expires IS NULL OR expires > :now)"
"""The condition every listing begins with; `:now` in seconds."""

_PLACE = "seq, segment, offset, length"
_MOST_CHILDREN = 1_000
_UNKNOWN = "00" * (16 - DIGEST_BYTES)


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

    def __init__(self, store: Store, exact: Exact) -> None:
        self._store = store
        self._exact = exact
        self._kept = Decoded(store.settings.decoded_bytes)

    def forget(self) -> None:
        """Keep nothing in memory of what was read: bytes are about to be removed for good."""
        self._kept.forget()

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
        """The fragment that the write `seq` made, from its place or as it can be had; else a blank."""
        try:
            return fragment_of(self._store.entry_at(seq, segment, offset, length))
        except RecordDamaged:
            # Damaged where it lies is what it mostly is; whether it lies elsewhere now is dear to ask.
            entry = self._decoded_at(seq, segment, offset)
        if entry is not None:
            return _repaired(entry)
        try:
            return fragment_of(self._store.read_entry(seq, segment, offset, length))
        except RecordDamaged as damage:
            return self._otherwise(seq, damage)

    def text_at(self, seq: int, segment: int, offset: int, length: int) -> str | None:
        """Only the text of the write `seq`, proven; None if the true text cannot be had."""
        try:
            return self._store.read_text(seq, segment, offset, length)
        except RecordDamaged as damage:
            fragment = self._otherwise(seq, damage)
            return fragment.text if fragment.state == "repaired" else None

    def stand_in(self, seq: int) -> str | None:
        """The text that a reader gets for a write whose own record cannot be read; None for a blank."""
        row = self._store.registry.one("SELECT segment, offset, length FROM fragments WHERE seq=?", (seq,))
        return self.at(seq, *row).text or None if row is not None else None

    def entry_with_content(self, head: Entry) -> Entry:
        """The entry with its content read or repaired. Raises RecordDamaged."""
        if head.content is not None:
            return head
        try:
            return self._store.read_entry(*_place(head))
        except RecordDamaged:
            decoded = self._decoded(head.seq)
            if decoded is None:
                raise
            return decoded

    def _otherwise(self, seq: int, damage: RecordDamaged) -> Fragment:
        """What a reader gets for a record that its place does not hold any more."""
        entry = self._decoded(seq)
        if entry is not None:
            return _repaired(entry)
        blank = self._blank(seq, damage)
        return self._copied(blank) or self._reconstructed(blank) or blank

    def _copied(self, blank: Fragment) -> Fragment | None:
        """The fragment with the text of its short copy; the rest is what the registry knows."""
        text = self._exact.text(blank.seq)
        if text is None:
            return None
        return replace(
            blank,
            text=text,
            state="repaired",
            digest=self._store.sealing.text_digest(text).hex(),
            blank=None,
            metadata=self._metadata(blank.seq),
            repair=Repair(rung="short copy"),
        )

    def _decoded(self, seq: int) -> Entry | None:
        """The entry of a write, decoded from its stripe."""
        row = self._store.registry.one("SELECT segment, offset FROM fragments WHERE seq=?", (seq,))
        return self._decoded_at(seq, *row) if row is not None else None

    def _decoded_at(self, seq: int, segment: int, offset: int) -> Entry | None:
        """The entry of a write that should be at a place, decoded from its stripe now or lately."""
        item = self._kept.get(segment, offset)
        if item is None:
            item = self._exact.any_record(segment, offset)
            if item is None:
                return None
            self._kept.keep(item)
        return self._store.decoded(item) if item.header.seq == seq else None

    def _reconstructed(self, blank: Fragment) -> Fragment | None:
        """What a dream has put in the place of a blank."""
        row = self._store.registry.one(
            "SELECT segment, offset, length FROM reconstructions WHERE lost_seq=?", (blank.seq,)
        )
        if row is None:
            return None
        try:
            found = self._store.read(*row)
        except RecordDamaged as damage:
            rebuilt = self._exact.any_record(damage.segment, damage.offset)
            if rebuilt is None:
                return None  # It can be made again.
            found = rebuilt
        try:
            said = unpack_rebuilt(self._store.payload(found))
        except RecordDamaged:
            return None  # Somebody else wrote it.
        state: State = "repaired" if said.exact else "reconstructed"
        return replace(
            blank,
            text=said.text,
            state=state,
            digest=found.header.text_digest.hex(),
            blank=None,
            metadata=self._metadata(blank.seq),
            repair=Repair(
                rung=said.rung,
                when=said.time_ms / 1000,
                confidence=said.confidence,
                method=said.method,
                sources=tuple(source.hex() for source in said.sources),
                cycle=said.cycle,
                similarity=said.similarity,
            ),
        )

    def _metadata(self, seq: int) -> dict[str, Any]:
        """What the registry still knows of a version's metadata: keys of one level, lists where several."""
        found: dict[str, Any] = {}
        rows = self._store.rows("SELECT key, value FROM metadata WHERE seq=? ORDER BY key", (seq,))
        for key, value in rows:
            if key in found:
                before = found[key] if isinstance(found[key], list) else [found[key]]
                found[key] = [*before, value]
            else:
                found[key] = value
        return found

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
        rows = self._store.rows(
            f"SELECT {_PLACE} FROM fragments WHERE {VISIBLE} AND {condition} ORDER BY {order} LIMIT :limit",
            {"now": self._store.clock.now(), "limit": limit, **bindings},
        )
        return [self.at(*row) for row in rows]

    def versions(self, id: bytes, only: int | None = None) -> list[Fragment]:
        """Every version that may be shown, oldest first: from the last deletion on. What was deleted stays in
        the files until a dream or a purge, and nobody gets it. only: this one, and no other is read.
        """
        self._store.settle()
        rows = self._store.rows(
            f"SELECT {_PLACE}, version, kind FROM fragments WHERE id=? ORDER BY version, seq", (id,)
        )
        deletions = [at for at, row in enumerate(rows) if row[5] == "tombstone"]
        rows = rows[deletions[-1] :] if deletions else rows
        newest: dict[int, Sequence[Any]] = {row[4]: row for row in rows}
        return [self.at(*row[:4]) for row in newest.values() if only in (None, row[4])]

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
            blank=self._loss(seq, id, damage, digest),
        )

    def _loss(self, seq: int, id: bytes, damage: RecordDamaged, digest: bytes) -> Blank:
        rows = self._store.rows
        known = rows("SELECT reason, first_seen_ms FROM blanks WHERE seq=?", (seq,))
        below = rows(
            "SELECT id FROM fragments WHERE live AND parent=? ORDER BY position, id LIMIT ?",
            (id, _MOST_CHILDREN),
        )
        return Blank(
            reason=known[0][0] if known else damage.reason,
            # A manifest knows the beginning of a digest only.
            digest=digest.hex().removesuffix(_UNKNOWN),
            first_seen=known[0][1] / 1000 if known else self._store.clock.now(),
            children=tuple(row[0].hex() for row in below),
        )


def _repaired(entry: Entry) -> Fragment:
    return replace(fragment_of(entry), state="repaired", repair=Repair(rung="parity"))


def _place(entry: Entry) -> tuple[int, int, int, int]:
    return entry.seq, entry.segment, entry.offset, entry.length
