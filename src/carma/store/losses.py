"""The damage ledger in the registry: blanks, reconstructions, cycles.

The truth of it stands in LEDGER and RECONSTRUCTION records in the segments; here it can be asked. A LEDGER
record is a map with one or more of: `blanks` ([seq, reason, first seen in ms]), `healed` (seqs), `rejected`
([seq, when in ms]: a reconstruction was thrown away), `cycle` (a
dream's report), `steps` (of a cycle: number, first position, reports), `breaker` (whether mass damage was
found), `act` and `copied` (see `acts`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import apsw

from carma.store.acts import insert_act
from carma.store.entry import Entry
from carma.store.payload import pack_map, unpack_map

__all__ = [
    "REJECTED",
    "Rebuilt",
    "forget_loss",
    "forget_needless",
    "forget_quotes",
    "forget_words",
    "insert_ledger",
    "insert_reconstruction",
    "pack_rebuilt",
    "unpack_rebuilt",
]


REJECTED = "its reconstruction was rejected"
"""The reason of a blank at which nothing guesses any more."""


class Rebuilt(NamedTuple):
    """What a RECONSTRUCTION record says of a lost write.

    lost_seq: the write; exact: the text has the digest of the lost one; score: how near it is to the sketch,
    by which a later cycle's text is better or not; sources: ids (16 bytes) of the fragments it was made of.
    """

    text: str
    lost_seq: int
    rung: str
    exact: bool
    score: float
    confidence: float | None = None
    similarity: float | None = None
    method: str | None = None
    sources: tuple[bytes, ...] = ()
    cycle: int = 0
    time_ms: int = 0


def pack_rebuilt(rebuilt: Rebuilt) -> bytes:
    """The payload of a RECONSTRUCTION record."""
    return pack_map(rebuilt._asdict())


def unpack_rebuilt(payload: bytes) -> Rebuilt:
    """What a proven RECONSTRUCTION record says."""
    value = unpack_map(payload)
    return Rebuilt(**{**value, "sources": tuple(value["sources"])})


def insert_reconstruction(db: apsw.Connection, entry: Entry) -> None:
    """Note a reconstruction, if its write is still the newest of its fragment and nothing better is known."""
    rebuilt = unpack_rebuilt(entry.payload)
    known = _one(db, "SELECT exact, score, worded FROM reconstructions WHERE lost_seq=?", rebuilt.lost_seq)
    if known is not None and (known[0], known[1]) > (int(rebuilt.exact), rebuilt.score):
        return
    reason = _one(db, "SELECT reason FROM blanks WHERE seq=?", rebuilt.lost_seq)
    if reason == (REJECTED,) and not rebuilt.exact:
        return
    if _one(db, "SELECT 1 FROM fragments WHERE live AND seq=?", rebuilt.lost_seq) is None:
        return
    # The words of the true text are better than those of a reconstruction, where they are still known.
    worded = int(
        known[2] if known else _one(db, "SELECT 1 FROM words WHERE rowid=?", rebuilt.lost_seq) is None
    )
    if worded:
        forget_words(db, rebuilt.lost_seq)
        db.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (rebuilt.lost_seq, rebuilt.text))
    db.execute(
        "INSERT OR REPLACE INTO reconstructions VALUES(?,?,?,?,?,?,?,?,?,?)",
        (
            rebuilt.lost_seq, entry.seq, entry.id, entry.segment, entry.offset, entry.length,
            int(rebuilt.exact), rebuilt.score, rebuilt.rung, worded,
        ),
    )  # fmt: skip
    db.execute("DELETE FROM quotes WHERE lost_seq=?", (rebuilt.lost_seq,))
    rows = [(source, rebuilt.lost_seq) for source in rebuilt.sources]
    db.executemany("INSERT OR IGNORE INTO quotes VALUES(?, ?)", rows)


def insert_ledger(db: apsw.Connection, entry: Entry) -> None:
    """Take in a LEDGER record."""
    note = unpack_map(entry.payload)
    insert_act(db, entry, note)
    db.executemany("INSERT OR IGNORE INTO blanks VALUES(?,?,?)", note.get("blanks", ()))
    for seq in note.get("healed", ()):
        db.execute("DELETE FROM blanks WHERE seq=?", (seq,))
    for seq, time_ms in note.get("rejected", ()):
        _reject(db, seq, time_ms)
    if "cycle" in note:
        report = note["cycle"]
        db.execute("INSERT OR REPLACE INTO cycles VALUES(?, ?)", (report["cycle"], json.dumps(report)))
    if "steps" in note:
        cycle, first, reports = note["steps"]
        rows = [(cycle, at, json.dumps(report)) for at, report in enumerate(reports, first)]
        db.executemany("INSERT OR REPLACE INTO steps VALUES(?, ?, ?)", rows)
    if "breaker" in note:
        db.execute("INSERT OR REPLACE INTO state VALUES('breaker', ?)", (int(note["breaker"]),))


def _reject(db: apsw.Connection, seq: int, time_ms: int) -> None:
    """What stood for a lost write is thrown away, and nothing is guessed in its place."""
    rebuilt = _one(db, "SELECT exact, worded FROM reconstructions WHERE lost_seq=?", seq)
    if rebuilt is None or rebuilt[0]:
        return
    if rebuilt[1]:
        forget_words(db, seq)
    db.execute("DELETE FROM reconstructions WHERE lost_seq=?", (seq,))
    db.execute("DELETE FROM quotes WHERE lost_seq=?", (seq,))
    db.execute(
        "INSERT INTO blanks VALUES(?1, ?2, ?3) ON CONFLICT(seq) DO UPDATE SET reason = ?2",
        (seq, REJECTED, time_ms),
    )


def forget_words(db: apsw.Connection, seq: int) -> None:
    """Take the words of a version out of both word indexes."""
    db.execute("DELETE FROM words WHERE rowid=?", (seq,))
    db.execute("DELETE FROM tokens WHERE rowid=?", (seq,))


def forget_loss(db: apsw.Connection, seq: int) -> None:
    """A version is there again, or is not the newest any more: nothing stands for it."""
    db.execute("DELETE FROM blanks WHERE seq=?", (seq,))
    db.execute("DELETE FROM reconstructions WHERE lost_seq=?", (seq,))
    db.execute("DELETE FROM quotes WHERE lost_seq=?", (seq,))


def forget_quotes(db: apsw.Connection, id: bytes) -> None:
    """A fragment was deleted: what was rebuilt from it goes too, for it may quote it."""
    rows = db.execute("SELECT lost_seq FROM quotes WHERE source=?", (id,)).fetchall()
    for (seq,) in rows:
        assert isinstance(seq, int)
        if _one(db, "SELECT worded FROM reconstructions WHERE lost_seq=?", seq) == (1,):
            forget_words(db, seq)
        db.execute("DELETE FROM reconstructions WHERE lost_seq=?", (seq,))
        db.execute("DELETE FROM quotes WHERE lost_seq=?", (seq,))


def forget_needless(db: apsw.Connection, seen: Collection[int]) -> None:
    """Drop reconstructions of writes that were seen whole, and those that quote what was deleted since."""
    for (seq,) in db.execute("SELECT lost_seq FROM reconstructions").fetchall():
        assert isinstance(seq, int)
        if seq in seen:
            forget_loss(db, seq)
    deleted = db.execute(
        "SELECT DISTINCT source FROM quotes "
        "WHERE source IN (SELECT id FROM fragments WHERE kind='tombstone') "
        "AND source NOT IN (SELECT id FROM fragments WHERE live)"
    ).fetchall()
    for (source,) in deleted:
        assert isinstance(source, bytes)
        forget_quotes(db, source)


def _one(db: apsw.Connection, sql: str, *bindings: Any) -> Sequence[Any] | None:
    rows: list[tuple[Any, ...]] = db.execute(sql, bindings).fetchall()
    return rows[0] if rows else None
