"""Bringing a registry up to the log, and building a new one from all segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw

from carma.store.apply import insert_dead, insert_live, insert_other, write_cursor
from carma.store.entry import Entry, entry_of
from carma.store.log import Cursor, FellBehind, follow_log

from carma.store.record import HEADER_BYTES, Header, RecordKind
from carma.store.registry import Registry, RegistryDamaged
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import Segments, is_log

__all__ = ["catch_up", "fill"]

_CHUNK = 2_000
_FRAGMENTS = (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)


def catch_up(registry: Registry, segments: Segments) -> None:
    """Apply to the registry what the log says after the registry's cursor.

    Raises RegistryDamaged if the log cannot be followed from there.
    """
    start = end = registry.cursor()
    entries: list[Entry] = []
    try:
        for item, end in follow_log(segments, start):
            if item is not None:
                entries.append(entry_of(item))
            if len(entries) >= _CHUNK:
                if not registry.apply(start, entries, end):
                    return catch_up(registry, segments)
                start, entries = end, []
    except FellBehind:
        raise RegistryDamaged("the registry is older than the log") from None
    if end != start and not registry.apply(start, entries, end):
        catch_up(registry, segments)


def fill(registry: Registry, segments: Segments) -> None:
    """Fill an empty registry from every record of every segment; of each fragment the newest version named wins."""
    newest, end = _survey(segments)
    with registry.transaction() as db:
        seen: set[int] = set()
        live: list[Entry] = []
        dead: list[Entry] = []
        damaged: dict[int, Header] = {}
        for item in _everything(segments):
            if isinstance(item, Damaged):
                if item.header is not None and item.header.kind in _FRAGMENTS:
                    damaged[item.header.seq] = item.header
                continue
            header = item.header
            if header.kind not in _FRAGMENTS:
                insert_other(db, entry_of(item), moved=False)
            elif header.seq not in seen:
                seen.add(header.seq)
                entry = entry_of(item)
                alive = newest[header.id] == (header.version, header.seq) and header.kind == RecordKind.FRAGMENT
                (live if alive else dead).append(entry)
            if len(live) + len(dead) >= _CHUNK:
                insert_live(db, live)
                insert_dead(db, dead)
                live, dead = [], []
        insert_live(db, live)
        insert_dead(db, dead)
        _insert_damaged(db, [h for seq, h in damaged.items() if seq not in seen], newest)
        write_cursor(db, end)
        db.execute("INSERT OR REPLACE INTO state VALUES('complete', 1)")


def _everything(segments: Segments) -> Iterator[Intact | Damaged]:
    """Rewritten segments first, the newest before the others: where a record stands twice, the later place counts."""
    for number in reversed(segments.numbers()):
        yield from merge_copies(*segments.both(number), number)


def _survey(segments: Segments) -> tuple[dict[bytes, tuple[int, int]], Cursor]:
    """The newest (version, seq) that anything names for each fragment, and where the log ends."""
    newest: dict[bytes, tuple[int, int]] = {}
    end = Cursor(1, 0)
    for number in segments.numbers():
        if is_log(number):
            end = Cursor(number, 0)
        for item in merge_copies(*segments.both(number), number):
            header = item.header
            if header is None:
                continue
            if header.kind in _FRAGMENTS:
                newest[header.id] = max(newest.get(header.id, (0, 0)), (header.version, header.seq))
            if is_log(number) and isinstance(item, Intact):
                sealed = header.kind == RecordKind.FOOTER
                end = Cursor(number + 1, 0) if sealed else Cursor(number, header.end)
    return newest, end


def _insert_damaged(
    db: apsw.Connection, headers: list[Header], newest: dict[bytes, tuple[int, int]]
) -> None:
    """Rows for records of which only the header is whole: readers get a blank, never an older text.

    Where an older version is readable, its place in the tree is the best that is known.
    """
    for header in headers:
        alive = newest[header.id] == (header.version, header.seq) and header.kind == RecordKind.FRAGMENT
        older: list[tuple[Any, ...]] = db.execute(
            "SELECT parent, position, kind, user, agent, session, expires, source FROM fragments "
            "WHERE id=? AND kind<>'tombstone' ORDER BY version DESC, seq DESC LIMIT 1",
            (header.id,),
        ).fetchall()
        parent, position, kind, user, agent, session, expires, source = older[0] if older else (None,) * 8
        db.execute(
            "INSERT OR IGNORE INTO fragments VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                header.seq, header.id, header.version, int(alive), parent,
                position if position is not None else float(header.seq), kind or "note", user, agent, session,
                header.time_ms, header.time_ms, expires, header.segment, header.offset,
                HEADER_BYTES + header.length, header.text_digest, source,
            ),
        )  # fmt: skip


