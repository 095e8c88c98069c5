"""Applying records to the registry, inside one transaction that also moves its cursor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from carma.store.acts import forget_acts
from carma.store.entry import MOVE, Entry
from carma.store.log import Cursor
from carma.store.losses import forget_loss, forget_quotes, forget_words, insert_ledger, insert_reconstruction
from carma.store.payload import unpack_map
from carma.store.record import RecordKind

__all__ = [
    "apply_entries",
    "apply_read_cursor",
    "flatten",
    "insert_blank",
    "insert_dead",
    "insert_live",
    "insert_other",
    "insert_replaced",
    "readmit",
    "write_cursor",
]

_INSERT = (
    "INSERT INTO fragments VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT(seq) DO UPDATE SET segment=excluded.segment, offset=excluded.offset, length=excluded.length"
)
_WORDS = "INSERT INTO words(rowid, text) VALUES(?, ?)"
_TOKENS = "INSERT INTO tokens(rowid, text) VALUES(?, ?)"
_METADATA = "INSERT OR IGNORE INTO metadata VALUES(?, ?, ?)"
_DROPPED = "INSERT INTO dropped VALUES(?, ?) ON CONFLICT(first) DO UPDATE SET last = max(last, excluded.last)"


def apply_read_cursor(db: apsw.Connection) -> Cursor:
    """The cursor as the connection sees it now."""
    rows = db.execute("SELECT value FROM state WHERE key IN ('offset', 'segment') ORDER BY key").fetchall()
    if len(rows) != 2:
        return Cursor(0, 0)
    (offset,), (segment,) = rows
    assert isinstance(segment, int) and isinstance(offset, int)
    return Cursor(segment, offset)


def write_cursor(db: apsw.Connection, cursor: Cursor) -> None:
    """Move the cursor."""
    db.executemany(
        "INSERT OR REPLACE INTO state VALUES(?, ?)", [("segment", cursor.segment), ("offset", cursor.offset)]
    )


def apply_entries(db: apsw.Connection, entries: Sequence[Entry], end: Cursor) -> None:
    """Apply entries in the order of the log and move the cursor to `end`."""
    run: list[Entry] = []
    for entry in entries:
        if entry.fresh:
            run.append(entry)
            continue
        insert_live(db, run)
        run = []
        _apply_one(db, entry)
    insert_live(db, run)
    write_cursor(db, end)
    if entries:
        last = entries[-1]
        tip = json.dumps([last.segment, last.offset, last.length, last.seq, last.time_ms])
        db.execute("INSERT OR REPLACE INTO state VALUES('tip', ?)", (tip,))


def insert_live(db: apsw.Connection, entries: Sequence[Entry]) -> None:
    """Insert entries of which each is the newest of its fragment and none is known yet."""
    if not entries:
        return
    db.executemany(_INSERT, (_row(entry, 1) for entry in entries))
    texts = [(e.seq, e.content.text) for e in entries if e.content is not None]
    db.executemany(_WORDS, texts)
    db.executemany(_TOKENS, texts)
    rows = [row for entry in entries for row in _metadata_rows(entry)]
    if rows:
        db.executemany(_METADATA, rows)


def insert_dead(db: apsw.Connection, entries: Iterable[Entry]) -> None:
    """Insert entries that a newer one outranks, or tombstones."""
    db.executemany(_INSERT, (_row(entry, 0) for entry in entries))


def insert_blank(db: apsw.Connection, entry: Entry, live: int) -> None:
    """Insert a fragment's version of which only the header is whole.

    Where an older version is known, its place in the tree is the best that is known.
    """
    older: list[tuple[Any, ...]] = db.execute(
        "SELECT parent, position, kind, user, agent, session, created, expires, source FROM fragments "
        "WHERE id=? AND kind<>'tombstone' ORDER BY version DESC, seq DESC LIMIT 1",
        (entry.id,),
    ).fetchall()
    parent, position, kind, user, agent, session, created, expires, source = (
        older[0] if older else (None,) * 9
    )
    db.execute(
        "INSERT OR IGNORE INTO fragments VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            entry.seq, entry.id, entry.version, live, parent,
            entry.position if position is None else position, kind or "note", user, agent, session,
            created or entry.time_ms, entry.time_ms, expires, entry.segment, entry.offset, entry.length,
            entry.text_digest, source,
        ),
    )  # fmt: skip


def readmit(db: apsw.Connection, entry: Entry) -> None:
    """Take in the true bytes of a live version that was a blank: tree, words and metadata are known again."""
    forget_words(db, entry.seq)
    forget_loss(db, entry.seq)
    db.execute("DELETE FROM metadata WHERE seq=?", (entry.seq,))
    db.execute("DELETE FROM fragments WHERE seq=?", (entry.seq,))
    insert_live(db, [entry])


def insert_other(db: apsw.Connection, entry: Entry, moved: bool = True) -> None:
    """Note a record that is neither a fragment nor a tombstone.

    moved: a REWRITE record also moves the rows it speaks of; not when rows come from where the records were
    found.
    """
    if entry.seq:
        db.execute(
            "INSERT OR REPLACE INTO other VALUES(?,?,?,?,?)",
            (entry.seq, entry.kind, entry.segment, entry.offset, entry.length),
        )
    if entry.kind == RecordKind.REWRITE:
        _apply_rewrite(db, entry, moved)
    elif entry.kind == RecordKind.RECONSTRUCTION:
        insert_reconstruction(db, entry)
    elif entry.kind == RecordKind.LEDGER:
        insert_ledger(db, entry)


def insert_replaced(
    db: apsw.Connection, inputs: Iterable[int], spread: int, time_ms: int, dropped: Iterable[Sequence[int]]
) -> None:
    """Note which files a spread took the place of, and which writes were left out on purpose."""
    db.executemany(
        "INSERT OR REPLACE INTO rewritten VALUES(?,?,?)", [(number, time_ms, spread) for number in inputs]
    )
    db.executemany(_DROPPED, dropped)


def _apply_rewrite(db: apsw.Connection, entry: Entry, moved: bool) -> None:
    """Point moved records at their new place and forget those that were left behind on purpose."""
    note = unpack_map(entry.payload)
    insert_replaced(db, note["inputs"], max(note["spreads"], default=0), entry.time_ms, note["dropped"])
    if not moved:
        return
    forget_acts(db, note["dropped"])
    moves = [
        (segment, offset, length, seq) for seq, segment, length, offset in MOVE.iter_unpack(note["moves"])
    ]
    for table in ("fragments", "other", "reconstructions"):
        db.executemany(f"UPDATE {table} SET segment=?, offset=?, length=? WHERE seq=?", moves)
    db.execute(
        "DELETE FROM fragments WHERE segment IN (SELECT value FROM json_each(?))",
        (json.dumps(note["inputs"]),),
    )


def _apply_one(db: apsw.Connection, entry: Entry) -> None:
    """Apply one entry whose fragment may be known: the highest version wins, then the latest write."""
    if entry.kind not in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE):
        insert_other(db, entry)
        return
    known = db.execute("SELECT version, seq, live FROM fragments WHERE id=?", (entry.id,)).fetchall()
    if any(seq == entry.seq for _, seq, _ in known):
        db.execute(
            "UPDATE fragments SET segment=?, offset=?, length=? WHERE seq=?",
            (entry.segment, entry.offset, entry.length, entry.seq),
        )
        return
    blank = entry.kind == RecordKind.FRAGMENT and entry.content is None
    if known and max(known)[:2] > (entry.version, entry.seq):
        insert_blank(db, entry, 0) if blank else insert_dead(db, [entry])
        return
    for _, seq, live in known:
        if live:
            assert isinstance(seq, int)
            db.execute("UPDATE fragments SET live=0 WHERE seq=?", (seq,))
            forget_words(db, seq)
            forget_loss(db, seq)
    if entry.kind == RecordKind.TOMBSTONE:
        insert_dead(db, [entry])
        forget_quotes(db, entry.id)
    elif blank:
        insert_blank(db, entry, 1)
    else:
        insert_live(db, [entry])


def _row(entry: Entry, live: int) -> tuple[Any, ...]:
    content = entry.content
    if content is None:
        return (
            entry.seq, entry.id, entry.version, 0, None, 0.0, "tombstone", None, None, None, entry.time_ms,
            entry.time_ms, None, entry.segment, entry.offset, entry.length, entry.text_digest, None,
        )  # fmt: skip
    return (
        entry.seq, entry.id, entry.version, live, content.parent, entry.position, content.kind, content.user,
        content.agent, content.session, entry.created_ms, entry.time_ms, content.expires, entry.segment,
        entry.offset, entry.length, entry.text_digest, content.source.path if content.source else None,
    )  # fmt: skip


def _metadata_rows(entry: Entry) -> Iterator[tuple[str, Any, int]]:
    if entry.content is not None and entry.content.metadata:
        for key, value in flatten(entry.content.metadata):
            yield key, value, entry.seq


def flatten(metadata: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Metadata as (dotted key, scalar) pairs; a list gives one pair per element, true and false become 1 and
    0.
    """
    for key, value in metadata.items():
        name = f"{prefix}{key}"
        for element in value if isinstance(value, list) else [value]:
            if isinstance(element, Mapping):
                yield from flatten(element, f"{name}.")
            elif isinstance(element, list):
                yield from ((name, inner) for inner in element if not isinstance(inner, (list, Mapping)))
            else:
                # SQLite holds integers of 64 bits; a larger one is compared as a float.
                big = isinstance(element, int) and not -(2**63) <= element < 2**63
                yield name, float(element) if big else element
