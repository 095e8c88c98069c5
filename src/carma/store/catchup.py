"""Bringing a registry up to the log, and building a new one from everything that still says something.

A rebuild reads the segments and the manifests: of each fragment the highest version that is named anywhere
wins. A record that its own place does not hold any more is decoded from its stripe at once; where that fails
too, the manifest still names it, and it is a blank.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress

import apsw

from carma.errors import StorageError
from carma.store.acts import forget_acts
from carma.store.apply import (
    insert_blank,
    insert_dead,
    insert_live,
    insert_other,
    insert_replaced,
    write_cursor,
)
from carma.store.entry import Entry, entry_of, followed
from carma.store.log import Cursor, FellBehind, follow_log
from carma.store.losses import forget_needless
from carma.store.manifest import Listed, Manifest
from carma.store.parity import Spreads
from carma.store.payload import unpack_map
from carma.store.record import RecordDamaged, RecordKind
from carma.store.registry import Registry, RegistryDamaged
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import is_log

__all__ = ["catch_up", "fill", "names_in"]

_CHUNK = 2_000
_FRAGMENTS = (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)


def catch_up(registry: Registry, spreads: Spreads) -> None:
    """Apply to the registry what the log says after the registry's cursor.

    Raises RegistryDamaged if the log cannot be followed from there, StorageError if it cannot be read.
    """
    start = end = registry.cursor()
    entries: list[Entry] = []
    try:
        for item, end in follow_log(spreads.segments, start):
            entry = followed(item, spreads.segments.sealing)
            if entry is not None:
                entries.append(spreads.expanded(entry))
            if len(entries) >= _CHUNK:
                if not registry.apply(start, entries, end):
                    catch_up(registry, spreads)
                    return
                start, entries = end, []
    except FellBehind:
        raise RegistryDamaged("the registry is older than the log") from None
    if end != start and not registry.apply(start, entries, end):
        catch_up(registry, spreads)


def fill(registry: Registry, spreads: Spreads, memory: str, known: Sequence[Entry] = ()) -> None:
    """Fill an empty registry from every record of every segment and every name in a manifest.

    memory: its id. known: writes that an earlier registry named; those that stand nowhere are blanks.

    Where a segment cannot be read at all just now, the registry serves without it and is built anew at the
    next open.
    """
    filling = _Filling(spreads, known)
    with registry.transaction() as db:
        filling.into(db)
        db.execute("INSERT OR REPLACE INTO state VALUES('complete', ?)", (int(not filling.unreadable),))
        db.execute("INSERT OR REPLACE INTO state VALUES('memory', ?)", (memory,))


def names_in(registry: Registry) -> list[Entry]:
    """The newest version of every fragment that a registry knows, deletions too, without content or place."""
    rows = registry.rows(
        "SELECT seq, kind, id, version, updated, text_digest FROM fragments WHERE live OR kind = 'tombstone'"
    )
    return [
        Entry(
            seq, RecordKind.TOMBSTONE if kind == "tombstone" else RecordKind.FRAGMENT, id, version, updated,
            0, 0, 0, digest, None,
        )
        for seq, kind, id, version, updated, digest in rows
    ]  # fmt: skip


class _Filling:
    """One rebuild: first what is named at all, then the records themselves."""

    def __init__(self, spreads: Spreads, known: Sequence[Entry]) -> None:
        self._spreads = spreads
        self._segments = spreads.segments
        self._sealing = spreads.segments.sealing
        self._manifests = spreads.manifests()
        self.unreadable: set[int] = set()
        self._newest: dict[bytes, tuple[int, int]] = {}
        self._blanks = {entry.seq: entry for entry in known}
        for entry in known:
            self._name(entry.id, entry.version, entry.seq)
        self._told: list[Entry] = []
        """The damage ledger, to be taken in in the order of writing."""
        self._dropped: list[list[int]] = []

    def into(self, db: apsw.Connection) -> None:
        end = self._survey()
        for manifest in self._manifests:
            head = manifest.head
            insert_replaced(db, head.inputs, head.spread, head.created_ms, head.dropped)
            self._dropped += head.dropped
        seen: set[int] = set()
        live: list[Entry] = []
        dead: list[Entry] = []
        for item in self._everything():
            if isinstance(item, Entry):
                self._blanks[item.seq] = item
                continue
            header = item.header
            if is_log(header.segment) and Cursor(header.segment, header.offset) >= end:
                continue  # Appended since the survey; whoever follows the log meets it.
            if header.seq and header.seq in seen:
                continue
            try:
                entry = entry_of(item, self._sealing)
            except RecordDamaged:
                unread = followed(item, self._sealing)
                if unread is not None:
                    self._blanks[unread.seq] = unread
                continue
            seen.add(header.seq)
            if header.kind not in _FRAGMENTS:
                if header.kind in (RecordKind.RECONSTRUCTION, RecordKind.LEDGER):
                    self._told.append(entry)
                    if header.kind == RecordKind.LEDGER:
                        self._blanks.update((each.seq, each) for each in _named(entry.payload))
                else:
                    insert_other(db, entry, moved=False)
                    if header.kind == RecordKind.REWRITE:
                        self._dropped += _dropped_of(entry)
                continue
            (live if self._alive(entry) else dead).append(entry)
            if len(live) + len(dead) >= _CHUNK:
                insert_live(db, live)
                insert_dead(db, dead)
                live, dead = [], []
        insert_live(db, live)
        insert_dead(db, dead)
        self._insert_lost(db, seen)
        for entry in sorted(self._told, key=lambda each: each.seq):
            insert_other(db, entry)
        forget_acts(db, self._dropped)
        forget_needless(db, seen)
        db.execute("DELETE FROM blanks WHERE seq NOT IN (SELECT seq FROM fragments WHERE live)")
        # What was left out on purpose may still stand in files that linger.
        db.execute(
            "DELETE FROM fragments WHERE NOT live AND kind <> 'tombstone' AND seq <= "
            "(SELECT last FROM dropped WHERE first <= fragments.seq ORDER BY first DESC LIMIT 1)"
        )
        write_cursor(db, end)

    def _insert_lost(self, db: apsw.Connection, seen: set[int]) -> None:
        """What is named and stands nowhere, unless it was left out on purpose."""
        firsts = sorted(map(tuple, self._dropped))
        for seq, entry in self._blanks.items():
            at = bisect_right(firsts, (seq, 1 << 62)) - 1
            if seq in seen or (at >= 0 and firsts[at][0] <= seq <= firsts[at][1]):
                continue
            if entry.kind == RecordKind.FRAGMENT:
                insert_blank(db, entry, int(self._alive(entry)))
            elif entry.kind == RecordKind.TOMBSTONE:
                insert_dead(db, [entry])
            else:
                insert_other(db, entry._replace(kind=RecordKind.VOID))

    def _alive(self, entry: Entry) -> bool:
        newest = self._newest.get(entry.id)
        return entry.kind == RecordKind.FRAGMENT and newest == (entry.version, entry.seq)

    def _survey(self) -> Cursor:
        """Note the newest (version, seq) named for each fragment; returns where the log ends."""
        end = Cursor(1, 0)
        spread = {number for manifest in self._manifests for number in manifest.segments}
        for manifest in self._manifests:
            end = max(end, Cursor(manifest.head.log + 1, 0))
            for record in manifest.records:
                if record.kind in _FRAGMENTS:
                    self._name(record.id, record.version, record.seq)
            for index, record in enumerate(manifest.records):
                if record.kind == RecordKind.LEDGER:
                    self._name_lost(self._spreads.member(manifest, index))
        for number in self._segments.numbers():
            if number in spread:
                continue
            if is_log(number):
                end = max(end, Cursor(number, 0))
            for item in self._records(number):
                header = item.named if isinstance(item, Damaged) else item.header
                if header is None:
                    continue
                self._name_lost(item)
                if header.kind in _FRAGMENTS:
                    self._name(header.id, header.version, header.seq)
                if is_log(number) and isinstance(item, Intact):
                    sealed = header.kind == RecordKind.FOOTER
                    end = max(end, Cursor(number + 1, 0) if sealed else Cursor(number, header.end))
        return end

    def _name_lost(self, item: Intact | Damaged | None) -> None:
        """A ledger record may name writes that were lost and left behind."""
        if isinstance(item, Intact) and item.header.kind == RecordKind.LEDGER:
            with suppress(RecordDamaged):
                for each in _named(self._sealing.payload(*item)):
                    if each.kind in _FRAGMENTS:
                        self._name(each.id, each.version, each.seq)

    def _name(self, id: bytes, version: int, seq: int) -> None:
        self._newest[id] = max(self._newest.get(id, (0, 0)), (version, seq))

    def _everything(self) -> Iterator[Intact | Entry]:
        """Every record that can be had, and an entry without content for each that is only named.

        Spreads first, the newest before the others: where a record stands twice, the later place counts.
        """
        spread = {number for manifest in self._manifests for number in manifest.segments}
        for manifest in reversed(self._manifests):
            yield from self._spread(manifest)
        for number in reversed(self._segments.numbers()):
            if number in spread:
                continue
            for item in self._records(number):
                if isinstance(item, Intact):
                    yield item
                else:
                    entry = followed(item, self._sealing)
                    if entry is not None and entry.id in self._newest:
                        yield entry

    def _spread(self, manifest: Manifest) -> Iterator[Intact | Entry]:
        for index, item in self._spreads.members(manifest):
            record, place = manifest.records[index], manifest.place(index)
            if item is not None:
                yield item
            else:
                yield Entry(
                    record.seq, record.kind, record.id, record.version, record.time_ms, *place,
                    record.digest.ljust(16, b"\0"), None,
                )  # fmt: skip

    def _records(self, number: int) -> Iterator[Intact | Damaged]:
        try:
            yield from merge_copies(*self._segments.both(number), number)
        except StorageError:
            self.unreadable.add(number)


def _named(payload: bytes) -> list[Entry]:
    """The writes that a ledger record names because they were lost and left behind."""
    lost = [Listed(*record) for record in unpack_map(payload).get("named", ())]
    return [
        Entry(
            each.seq, each.kind, each.id, each.version, each.time_ms, 0, 0, 0, each.digest.ljust(16, b"\0"),
            None,
        )
        for each in lost
    ]  # fmt: skip


def _dropped_of(entry: Entry) -> list[list[int]]:
    """The ranges that an announcement says were left out on purpose."""
    found: list[list[int]] = unpack_map(entry.payload)["dropped"]
    return found
