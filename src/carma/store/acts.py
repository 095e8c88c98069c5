"""Acts: on whose behalf a memory was changed, kept beside the change until the audit log has it.

An act is a note in the ledger, the last record of the append that made the change and joined to it, so that
neither exists without the other. It holds what the leaf in the audit log will say (event, operation,
fragments and versions) and, where the request had an Idempotency-Key, what its answer was. The table `acts`
mirrors the notes; it is made again from the segments.

A note is done when the audit log has copied it and its key has expired. Then the next rest leaves it out. The
last one that was copied stays: by it the log knows whether this is still the memory that it copied from.
Rejected: writing leaves to the audit log itself while the memory is written (two files that a crash can set
apart).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apsw
from blake3 import blake3

from carma.store.entry import Entry
from carma.store.payload import pack_map, unpack_map
from carma.store.record import RecordKind

__all__ = [
    "ACT", "COPIED", "DONE", "DREAM", "Noted", "Versions", "act_key", "forget_acts", "insert_act", "pack_act",
    "pack_copied", "unpack_act",
]  # fmt: skip

ACT, DREAM, COPIED = "act", "dream", "copied"
"""Kinds of rows: somebody's act; a dream began or ended; how far the audit log had copied."""

DONE = f"""
SELECT seq FROM acts WHERE (kind = '{ACT}' AND (key IS NULL OR time < :expired)
AND seq < (SELECT coalesce(max(value), 0) FROM state WHERE key = 'copied'))
OR (kind = '{COPIED}' AND seq < (SELECT max(seq) FROM acts WHERE kind = '{COPIED}'))
"""
"""The notes that a rest may leave out. expired: the time before which an Idempotency-Key is forgotten, ms."""

_PLACE = struct.Struct("<16sI")
_NAMES = "eoakridtwxn"

Versions = Sequence[tuple[bytes, int]]
"""Ids of fragments and their versions."""


class Noted(NamedTuple):
    """What an act's note says.

    event: 16 bytes. account, key, request, operation: as in `carma.models.Act`; idempotency, digest: the
    Idempotency-Key and the digest of the body. time_ms: when. written, ended: versions written, and
    tombstones. answer: what the request's answer speaks of; None if it is what was written.
    """

    event: bytes
    operation: str
    account: str
    key: str | None
    request: str | None
    idempotency: str | None
    digest: bytes | None
    time_ms: int
    written: Versions
    ended: Versions
    answer: Versions | None = None

    @property
    def answered(self) -> Versions:
        """What the answer speaks of."""
        return self.written if self.answer is None else self.answer


def _pack_ids(versions: Iterable[tuple[bytes, int]]) -> bytes:
    """Ids and versions, 20 bytes each."""
    return b"".join(_PLACE.pack(id, version) for id, version in versions)


def pack_act(act: Noted) -> bytes:
    """The payload of an act's note. Fields that say nothing are left out."""
    packed = (*act[:8], _pack_ids(act.written), _pack_ids(act.ended))
    fields: dict[str, Any] = {
        name: value for name, value in zip(_NAMES, packed, strict=False) if value not in (None, b"")
    }
    if act.answer is not None:
        fields["n"] = _pack_ids(act.answer)
    return pack_map({"act": fields})


def unpack_act(note: dict[str, Any]) -> Noted:
    """What the member `act` of a proven note says."""
    get = note.get
    return Noted(
        note["e"], note["o"], note["a"], get("k"), get("r"), get("i"), get("d"), note["t"],
        tuple(_PLACE.iter_unpack(get("w", b""))), tuple(_PLACE.iter_unpack(get("x", b""))),
        tuple(_PLACE.iter_unpack(note["n"])) if "n" in note else None,
    )  # fmt: skip


def pack_copied(seq: int) -> bytes:
    """The payload of a note that the audit log has copied every act up to the write `seq`."""
    return pack_map({COPIED: seq})


def act_key(entry: Entry) -> str | None:
    """The Idempotency-Key of an act, None for any other record."""
    if entry.kind != RecordKind.LEDGER:
        return None
    note = unpack_map(entry.payload).get(ACT)
    return note.get("i") if note else None


def insert_act(db: apsw.Connection, entry: Entry, note: dict[str, Any]) -> None:
    """Take in a LEDGER record that speaks of an act, of a dream, or of how far acts were copied."""
    if ACT in note:
        act = note[ACT]
        _insert(db, entry, ACT, act["e"], act.get("i"), act["t"])
    elif "cycle" in note:
        said = entry.seq.to_bytes(8, "little") + entry.time_ms.to_bytes(8, "little") + entry.payload
        _insert(db, entry, DREAM, blake3(b"carma dream" + said).digest(16), None, entry.time_ms)
    elif COPIED in note:
        _insert(db, entry, COPIED, b"", None, entry.time_ms)
        db.execute(
            "INSERT INTO state VALUES('copied', ?1) ON CONFLICT(key) DO UPDATE SET value = max(value, ?1)",
            (note[COPIED],),
        )


def _insert(
    db: apsw.Connection, entry: Entry, kind: str, event: bytes, key: str | None, time_ms: int
) -> None:
    db.execute(
        "INSERT OR REPLACE INTO acts VALUES(?,?,?,?,?,?)",
        (entry.seq, kind, event, key, time_ms, entry.payload),
    )


def forget_acts(db: apsw.Connection, dropped: Iterable[Sequence[int]]) -> None:
    """Forget the notes that were left out on purpose: [first, last] pairs of writes."""
    db.executemany("DELETE FROM acts WHERE seq BETWEEN ? AND ?", _pairs(dropped))


def _pairs(ranges: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    return ((each[0], each[1]) for each in ranges)
