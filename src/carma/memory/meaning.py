"""Meaning: the columns and vectors of an open memory, kept up to the log.

As a listener it hears of every entry in order: a fragment gets a row in the columns; its vector comes from
the record (given by the caller), from the version before (same text), or from the embedder, later. What waits
for the embedder is a queue of write numbers that is filled again at open, so a killed process loses nothing
but time. All vectors go to the vectors file, which every process of this memory shares and follows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carma.embed import Fingerprint
from carma.errors import CarmaError
from carma.memory.kept import KeptVectors
from carma.memory.live import LIVE_ROWS, row_of
from carma.search.columns import Columns
from carma.search.columns import Entry as Row
from carma.store.entry import Entry
from carma.store.identity import Identity
from carma.store.losses import unpack_rebuilt
from carma.store.payload import unpack_map
from carma.store.record import RecordDamaged, RecordKind
from carma.store.store import Store

if TYPE_CHECKING:
    from carma.search.vectorindex import VectorIndex

__all__ = ["Meaning"]

Floats = NDArray[np.float32]
View = tuple[Columns, "VectorIndex | None"]


class Meaning:
    """Columns, vector index and what waits to be embedded. Hears of entries from one thread at a time."""

    def __init__(self, store: Store, fingerprint: Fingerprint | None) -> None:
        self.store = store
        self.fingerprint = fingerprint
        self._kept = KeptVectors(store, fingerprint) if fingerprint is not None else None
        self.tag = self._kept.tag if self._kept is not None else None
        self._columns = Columns()
        self._index: VectorIndex | None = None
        self._view: View = self._columns, None
        self._loaded = False
        self._backlog: list[Entry] = []
        """Entries that were heard before anything was loaded."""
        self._loaded_seq = 0
        self.moved_away = False
        """Another process moved the memory to another embedder."""
        self._lock = threading.RLock()
        self._digests = bytearray()
        """Sixteen bytes for each row: the digest of its text."""
        self._waiting: dict[int, tuple[bytes, str | None]] = {}
        self._unwritten: list[tuple[int, bytes, Floats]] = []
        self.stand_in: Callable[[int], str | None] = lambda seq: None
        """The text that readers get for a write whose own record cannot be read."""
        self._stood_in: set[int] = set()
        """Writes that have the vector of a stand-in: it is not the true one, so it is not kept."""
        self.changed = threading.Condition(self._lock)

    @property
    def view(self) -> View:
        """Columns and vectors of one load, which is made when they are first asked for: adding one text does
        not need them. Whoever uses both takes them together, for the rows of another load are other rows.
        """
        self.need()
        return self._view

    @property
    def columns(self) -> Columns:
        """The columns of `view`."""
        return self.view[0]

    @property
    def index(self) -> VectorIndex | None:
        """The vectors of `view`; None without an embedder's fingerprint."""
        return self.view[1]

    @property
    def loaded(self) -> bool:
        """Whether columns and vectors are in memory."""
        return self._loaded

    # Loading

    def need(self) -> None:
        """Load columns and vectors unless they are loaded; until all is there, nobody sees a part of it."""
        if self._loaded:
            return
        self.store.settle()  # Before the lock is taken: whoever publishes an entry waits for it.
        with self._lock:
            if not self._loaded:
                self._load()

    def _load(self) -> None:
        rows = self.store.registry.rows(LIVE_ROWS)
        columns = self._columns = Columns()
        columns.append([Row(*row[:12]) for row in rows])
        self._digests = bytearray(b"".join(row[12] for row in rows))
        self._waiting, self._unwritten = {}, []
        self._loaded_seq = rows[-1][0] if rows else 0
        index = self._index = None if self._kept is None else self._kept.empty_index()
        if index is not None:
            assert self._kept is not None
            self._kept.load(index, self._rows_of)
            have = index.has(np.arange(len(columns)))
            for at in np.flatnonzero(~have).tolist():
                self._waiting[int(rows[at][0])] = (rows[at][12], None)
        backlog, self._backlog = self._backlog, []
        self._take(backlog)
        self._view = columns, index
        self._loaded = True
        self.changed.notify_all()

    def reset(self) -> None:
        """The log cannot be followed from where we were: forget everything and load it when it is needed."""
        with self._lock:
            self._loaded, self._backlog, self._waiting, self._unwritten = False, [], {}, []
            self._stood_in.clear()
            self.changed.notify_all()

    def _rows_of(self, seqs: NDArray[Any], digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The row of each write that is alive and whose text has the digest, else -1. digests: shape (n,
        16).
        """
        rows = self._columns.row_of(seqs.astype(np.int64))
        table = np.frombuffer(bytes(self._digests), np.uint8).reshape(-1, 16)
        known = np.flatnonzero(rows >= 0)
        other = (table[rows[known]] != digests.reshape(-1, 16)[known]).any(axis=1)
        rows[known[other]] = -1
        return rows

    def _identify(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], bytes]:
        """The write numbers and text digests of rows."""
        table = np.frombuffer(bytes(self._digests), np.uint8).reshape(-1, 16)
        return self._columns.seqs[rows], table[rows].tobytes()

    # Following the log

    def entries(self, entries: Sequence[Entry]) -> None:
        """New entries, in the order of the log."""
        with self._lock:
            if self._loaded:
                self._take(entries)
            else:
                self._backlog.extend(entries)
            self.changed.notify_all()

    def _take(self, entries: Sequence[Entry]) -> None:
        run: list[Entry] = []
        for entry in entries:
            if entry.kind == RecordKind.FRAGMENT:
                if entry.seq <= self._loaded_seq:
                    self._give(entry)  # The registry had it already when we loaded, but not its vector.
                    continue
                if entry.fresh:
                    run.append(entry)
                    continue
                self._add(run)
                run = []
                self._change(entry)
            elif entry.kind == RecordKind.TOMBSTONE:
                self._add(run)
                run = []
                self._end(entry.id)
            elif entry.kind == RecordKind.MEMORY:
                self._heard(entry)
            elif entry.kind == RecordKind.RECONSTRUCTION:
                self._add(run)
                run = []
                self._rebuilt(unpack_rebuilt(entry.payload).lost_seq)
            elif entry.kind == RecordKind.REWRITE:
                self._add(run)
                run = []
                self._move(unpack_map(entry.payload)["moves"])
        self._add(run)

    def _add(self, entries: Sequence[Entry]) -> None:
        """Fragments that nothing knew before."""
        if not entries:
            return
        rows = self._columns.append([row_of(entry) for entry in entries])
        self._digests += b"".join(entry.text_digest for entry in entries)
        if self._index is None:
            return
        given = [
            (row, entry)
            for row, entry in zip(rows, entries, strict=True)
            if entry.content is not None
            and entry.content.vector is not None
            and entry.content.embedder == self.tag
        ]
        if given:
            data = b"".join(
                entry.content.vector for _, entry in given if entry.content and entry.content.vector
            )
            vectors = np.frombuffer(data, "<f4").reshape(len(given), -1)
            self._index.add(np.fromiter((row for row, _ in given), np.int64, len(given)), vectors)
            self._unwritten.extend(
                (entry.seq, entry.text_digest, vector)
                for (_, entry), vector in zip(given, vectors, strict=True)
            )
        if len(given) < len(entries):
            has = {entry.seq for _, entry in given}
            for entry in entries:
                if entry.seq not in has and entry.content is not None:
                    self._waiting[entry.seq] = (entry.text_digest, entry.content.text)

    def _change(self, entry: Entry) -> None:
        """A fragment that may be known: its vector is kept if the text is the same."""
        old = self._columns.find(entry.id)
        if old >= 0:
            old_seq = int(self._columns.seqs[old])
            if old_seq >= entry.seq:
                return
            self._waiting.pop(old_seq, None)
            same = bytes(self._digests[old * 16 : old * 16 + 16]) == entry.text_digest
            vector = self._index.vectors(np.array([old])) if same and self._index is not None else None
            self._add([entry])
            if self._index is not None:
                self._index.remove(np.array([old]))
                if vector is not None and entry.seq in self._waiting and np.isfinite(vector).all():
                    self.embedded([entry.seq], [entry.text_digest], vector)
        else:
            self._add([entry])

    def _end(self, id: bytes) -> None:
        row = self._columns.find(id)
        if row < 0:
            return
        seq = int(self._columns.seqs[row])
        self._columns.drop([seq])
        self._waiting.pop(seq, None)
        if self._index is not None:
            self._index.remove(np.array([row]))

    def _rebuilt(self, seq: int) -> None:
        """Something stands in for a lost write: its meaning is that of the stand-in, if it has none."""
        row = int(self._columns.row_of([seq])[0])
        if row < 0 or self._index is None:
            return
        if seq in self._stood_in or not self._index.has(np.array([row]))[0]:
            self._waiting[seq] = (bytes(self._digests[row * 16 : row * 16 + 16]), None)

    def _move(self, moves: bytes) -> None:
        """Records lie elsewhere now; the old files stay a while, and then a look-up would cost every read."""
        if not moves:
            return
        table = np.frombuffer(moves, np.dtype("<u8, <u4, <u4, <u8"))
        self._columns.move(*(table[name].astype(np.int64) for name in ("f0", "f1", "f3", "f2")))

    def _heard(self, entry: Entry) -> None:
        told = Identity.from_payload(entry.payload).embedder
        ours = self.fingerprint.to_dict() if self.fingerprint is not None else None
        if told is not None and ours is not None and dict(told) != ours:
            self.moved_away = True

    # Embedding

    def pending(self) -> int:
        """Live fragments without a vector, as far as is known."""
        return len(self._waiting) + len(self._backlog)

    def next_texts(self, count: int) -> list[tuple[int, bytes, str]]:
        """Up to `count` waiting fragments: seq, text digest, text. What cannot be read is dropped: it has no
        text.
        """
        self.need()
        self.adopt()
        with self._lock:
            wanted = [(seq, *self._waiting[seq]) for seq in list(self._waiting)[:count]]
        out: list[tuple[int, bytes, str]] = []
        for seq, digest, text in wanted:
            entry = self._read(seq) if text is None else None
            if entry is not None and entry.content is not None:
                if self._give(entry):
                    continue
                text = entry.content.text
            if text is None and (text := self.stand_in(seq)):
                self._stood_in.add(seq)
            if text:
                out.append((seq, digest, text))
                continue
            with self._lock:
                self._waiting.pop(seq, None)
                self.changed.notify_all()
        return out

    def _give(self, entry: Entry) -> bool:
        """Take the vector that stands in a waiting fragment's own record, if it belongs to our embedder."""
        content = entry.content
        if content is None or content.vector is None or content.embedder != self.tag:
            return False
        if entry.seq in self._waiting:
            vector = np.frombuffer(content.vector, "<f4").reshape(1, -1)
            self.embedded([entry.seq], [entry.text_digest], vector)
        return True

    def _read(self, seq: int) -> Entry | None:
        row = int(self._columns.row_of([seq])[0])
        if row < 0:
            return None
        try:
            return self.store.read_entry(seq, *self._columns.location(row))
        except RecordDamaged:
            return None

    def embedded(self, seqs: Sequence[int], digests: Sequence[bytes], vectors: Floats) -> None:
        """Take vectors that were made for waiting fragments; those that changed meanwhile are left out."""
        with self._lock:
            assert self._index is not None
            good = [at for at, seq in enumerate(seqs) if self._waiting.get(seq, (None,))[0] == digests[at]]
            if good:
                rows = self._columns.row_of([seqs[at] for at in good])
                alive = [at for at, row in zip(good, rows.tolist(), strict=True) if row >= 0]
                self._index.add(rows[rows >= 0], vectors[alive])
                self._unwritten.extend(
                    (seqs[at], digests[at], vectors[at]) for at in alive if seqs[at] not in self._stood_in
                )
            for seq in seqs:
                self._waiting.pop(seq, None)
            self.changed.notify_all()

    def adopt(self) -> None:
        """Take the vectors that other processes have made."""
        if self._kept is None or not self._waiting:
            return
        with self._lock:
            for block in self._kept.follow():
                wanted = [at for at, seq in enumerate(block.seqs.tolist()) if seq in self._waiting]
                rows = self._rows_of(block.seqs[wanted], block.text_digests[wanted])
                assert self._index is not None
                self._index.add(rows[rows >= 0], block.vectors[wanted][rows >= 0])
                for at, row in zip(wanted, rows.tolist(), strict=True):
                    if row >= 0:
                        self._waiting.pop(int(block.seqs[at]), None)
            self.changed.notify_all()

    def write_vectors(self) -> None:
        """Append new vectors to the vectors file. Raises StorageError."""
        with self._lock:
            batch, self._unwritten = self._unwritten, []
        if batch and self._kept is not None and not self.store.read_only:
            self._kept.append(batch)

    # Keeping

    def save(self) -> None:
        """Write what a next opening would otherwise have to make again. Raises StorageError."""
        self.write_vectors()
        if self._loaded and self._index is not None and self._kept is not None and not self.store.read_only:
            with self._lock:
                self._kept.save(self._index, self._identify)

    def purge(self) -> None:
        """Leave no vector of what is not alive in any file."""
        self.write_vectors()
        columns, index = self.view
        if index is not None and self._kept is not None and not self.store.read_only:
            index.rebuild(purge=True)
            self._kept.purge(columns.seqs[columns.alive])
            self.save()

    def forget(self) -> None:
        """Remove the vectors of this embedder: the memory has moved to another. Processes that still use it
        go on.
        """
        if self._kept is not None:
            self._kept.remove()

    def has_unwritten(self) -> bool:
        """Whether vectors wait to be written to the vectors file."""
        return bool(self._unwritten)

    def freshness(self) -> dict[str, Any]:
        """How many vectors there are and how many are still to come."""
        index = self.index
        return {
            "indexed": len(index) if index is not None else 0,
            "pending": self.pending(),
            "damaged_blocks": self._kept.damaged_blocks if self._kept is not None else 0,
        }

    def close(self) -> None:
        """Keep what was made. Errors are ignored: all of it can be made again."""
        try:
            self.save()
        except CarmaError:
            return
