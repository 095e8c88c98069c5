"""Bringing a registry up to the log, and building a new one from all segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from carma.errors import StorageError
from carma.store.apply import insert_blank, insert_dead, insert_live, insert_other, write_cursor
from carma.store.entry import Entry, entry_of, followed
from carma.store.log import Cursor, FellBehind, follow_log
from carma.store.record import RecordKind
from carma.store.registry import Registry, RegistryDamaged
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import Segments, is_log

__all__ = ["catch_up", "fill"]

_CHUNK = 2_000
_FRAGMENTS = (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)


def catch_up(registry: Registry, segments: Segments) -> None:
    """Apply to the registry what the log says after the registry's cursor.

    Raises RegistryDamaged if the log cannot be followed from there, StorageError if it cannot be read.
    """
    start = end = registry.cursor()
    entries: list[Entry] = []
    try:
        for item, end in follow_log(segments, start):
            entry = followed(item)
            if entry is not None:
                entries.append(entry)
            if len(entries) >= _CHUNK:
                if not registry.apply(start, entries, end):
                    catch_up(registry, segments)
                    return
                start, entries = end, []
    except FellBehind:
        raise RegistryDamaged("the registry is older than the log") from None
    if end != start and not registry.apply(start, entries, end):
        catch_up(registry, segments)


def fill(registry: Registry, segments: Segments) -> None:
    """Fill an empty registry from every record of every segment; of each fragment the newest version named
    wins.

    Where a segment cannot be read at all just now, the registry serves without it and is built anew at the
    next open.
    """
    unreadable: set[int] = set()
    newest, end = _survey(segments, unreadable.add)
    with registry.transaction() as db:
        seen: set[int] = set()
        live: list[Entry] = []
        dead: list[Entry] = []
        blanks: dict[int, Entry] = {}
        for item in _everything(segments, unreadable.add):
            if isinstance(item, Damaged):
                blank = followed(item)
                if blank is not None and blank.id in newest:
                    blanks[blank.seq] = blank
                continue
            header = item.header
            if is_log(header.segment) and Cursor(header.segment, header.offset) >= end:
                continue  # Appended since the survey; whoever follows the log meets it.
            if header.kind not in _FRAGMENTS:
                insert_other(db, entry_of(item), moved=False)
            elif header.seq not in seen:
                seen.add(header.seq)
                entry = entry_of(item)
                alive = (
                    newest.get(header.id) == (header.version, header.seq)
                    and header.kind == RecordKind.FRAGMENT
                )
                (live if alive else dead).append(entry)
            if len(live) + len(dead) >= _CHUNK:
                insert_live(db, live)
                insert_dead(db, dead)
                live, dead = [], []
        insert_live(db, live)
        insert_dead(db, dead)
        for seq, blank in blanks.items():
            if seq not in seen:
                insert_blank(db, blank, int(newest[blank.id] == (blank.version, seq)))
        write_cursor(db, end)
        db.execute("INSERT OR REPLACE INTO state VALUES('complete', ?)", (int(not unreadable),))


def _records(
    segments: Segments, number: int, unreadable: Callable[[int], None]
) -> Iterator[Intact | Damaged]:
    try:
        yield from merge_copies(*segments.both(number), number)
    except StorageError:
        unreadable(number)


def _everything(segments: Segments, unreadable: Callable[[int], None]) -> Iterator[Intact | Damaged]:
    """Rewritten segments first, the newest before the others: where a record stands twice, the later place
    counts.
    """
    for number in reversed(segments.numbers()):
        yield from _records(segments, number, unreadable)


def _survey(
    segments: Segments, unreadable: Callable[[int], None]
) -> tuple[dict[bytes, tuple[int, int]], Cursor]:
    """The newest (version, seq) that anything names for each fragment, and where the log ends."""
    newest: dict[bytes, tuple[int, int]] = {}
    end = Cursor(1, 0)
    for number in segments.numbers():
        if is_log(number):
            end = Cursor(number, 0)
        for item in _records(segments, number, unreadable):
            header = item.named if isinstance(item, Damaged) else item.header
            if header is None:
                continue
            if header.kind in _FRAGMENTS:
                newest[header.id] = max(newest.get(header.id, (0, 0)), (header.version, header.seq))
            if is_log(number) and isinstance(item, Intact):
                sealed = header.kind == RecordKind.FOOTER
                end = Cursor(number + 1, 0) if sealed else Cursor(number, header.end)
    return newest, end
