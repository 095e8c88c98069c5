"""The live fragments of a memory as arrays: what a search must know of each without asking the disk.

A *row* is a dense number, given in the order of writing and never reused; the vector index is keyed by it. A
row belongs to one version of a fragment and ends with it. The place in the tree belongs to the fragment
(`siblings`): an update takes the old version's place by moving one number.

Siblings are the fragments with the same parent, by (position, created, seq). Fragments without a parent are
siblings when they share user, agent and session, so that turns have neighbours even if nobody built a tree.

Rejected: one Python object per fragment (a million would take a gigabyte, and a search would touch objects
where it can gather from arrays); asking SQLite for the neighbours of six hundred candidates (3 ms).

Threads: one writer at a time (`append` and `drop` take a lock), any number of readers. Arrays are replaced,
never resized, when they grow, and the number of rows is published last; a reader that runs beside a writer
sees each link either as it was or as it is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carma.search.siblings import NONE, Siblings
from carma.search.table import Table

__all__ = ["Columns", "Entry", "Location"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BULK_SHARE: Final = 32
"""A batch larger than 1/32 of what is there is sorted in at once, which is cheaper than as many
insertions."""
PLAIN_FROM: Final = 8
"""New fragments without siblings are added together from so many on."""
SINGLY: Final = 64
"""Batches up to this size are always inserted one by one."""

_TYPES: Final = {
    "seq": np.int64, "slot": np.int32, "user": np.int32, "agent": np.int32, "session": np.int32,
    "created": np.float64, "expires": np.float64, "alive": np.bool_,
    "segment": np.int32, "offset": np.int64, "length": np.int32,
}  # fmt: skip


class Entry(NamedTuple):
    """One live version of a fragment, as the registry lists it.

    seq: the number of the write; entries come in ascending order. id, parent: 16 bytes. created, expires:
    seconds since the epoch, UTC. segment, offset, length: where the record lies (a hint).
    """

    seq: int
    id: bytes
    parent: bytes | None = None
    position: float = 0.0
    user: str | None = None
    agent: str | None = None
    session: str | None = None
    created: float = 0.0
    expires: float | None = None
    segment: int = 0
    offset: int = 0
    length: int = 0


class Location(NamedTuple):
    """Where a record lies, or lay when the entry was read."""

    segment: int
    offset: int
    length: int


_PLACE = ("seq", "segment", "offset", "length")


class Columns:
    """In-memory columns of the live fragments: row -> seq, id, scope, place in the tree, location.

    Arrays that are given out must not be written to.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = Table(_TYPES)
        self._tree = Siblings(self._rows)
        self._codes: dict[str, int] = {}
        self._live = 0
        self._expiring = False

    # Sizes and lookups

    def __len__(self) -> int:
        """Rows ever given, dead ones included."""
        return self._rows.size

    @property
    def live(self) -> int:
        """Rows that are alive."""
        return self._live

    @property
    def dead(self) -> int:
        """Rows that are not alive any more; when they outnumber the live ones, load new columns."""
        return self._rows.size - self._live

    def _column(self, name: str) -> NDArray[Any]:
        size = self._rows.size
        return self._rows.of[name][:size]

    @property
    def expiring(self) -> bool:
        """Whether any fragment was ever given an end."""
        return self._expiring

    @property
    def seqs(self) -> Ints:
        """seq of each row, ascending, shape (rows,), int64."""
        return self._column("seq")

    @property
    def alive(self) -> Bools:
        """Which rows are alive, shape (rows,)."""
        return self._column("alive")

    @property
    def created(self) -> NDArray[np.float64]:
        """Seconds since the epoch, shape (rows,)."""
        return self._column("created")

    @property
    def expires(self) -> NDArray[np.float64]:
        """Seconds since the epoch, shape (rows,); infinity where the fragment does not expire."""
        return self._column("expires")

    def row_of(self, seqs: Sequence[int] | Ints) -> Ints:
        """The live row of each seq, -1 where there is none. Shape as `seqs`."""
        wanted = np.asarray(seqs, np.int64)
        have = self.seqs
        if not len(have):
            return np.full(wanted.shape, NONE, np.int64)
        at = np.minimum(np.searchsorted(have, wanted), len(have) - 1)
        return np.where((have[at] == wanted) & self.alive[at], at, NONE)

    def find(self, id: bytes) -> int:
        """The live row of a fragment id (16 bytes), or -1."""
        slot = self._tree.ids.get(id)
        return int(self._tree.slots.of["row"][slot]) if slot != NONE else NONE

    def id(self, row: int) -> bytes:
        """The 16 bytes of a row's fragment id."""
        return self._tree.ids.id(int(self._rows.of["slot"][row]))

    def ids(self, rows: Ints) -> list[str]:
        """Fragment ids as 32 hexadecimal digits."""
        digits = self._tree.ids.joined(self._rows.of["slot"][rows].tolist()).hex()
        return [digits[at : at + 32] for at in range(0, len(digits), 32)]

    def location(self, row: int) -> Location:
        """Where a row's record lies."""
        of = self._rows.of
        return Location(int(of["segment"][row]), int(of["offset"][row]), int(of["length"][row]))

    def places(self, rows: Ints) -> list[tuple[int, int, int, int]]:
        """seq, segment, offset and length of each row; one by one costs ten times as much."""
        of = self._rows.of
        return list(zip(*(of[name][rows].tolist() for name in _PLACE), strict=True))

    def move(self, seqs: Ints, segments: Ints, offsets: Ints, lengths: Ints) -> None:
        """Records lie elsewhere now; what is not alive is passed over.

        A reader beside this may see parts of both places: its proof fails, and it asks the registry.
        """
        with self._lock:
            rows = self.row_of(seqs)
            there = rows >= 0
            for name, values in (("segment", segments), ("offset", offsets), ("length", lengths)):
                self._rows.of[name][rows[there]] = values[there]

    # The tree

    def _linked(self, rows: Ints, link: str) -> Ints:
        slots = self._tree.slots.of
        near = slots[link][self._rows.of["slot"][rows]]
        return np.where(near == NONE, NONE, slots["row"][near]).astype(np.int64)

    def parents(self, rows: Ints) -> Ints:
        """Row of each row's parent; -1 where there is none or it is not alive."""
        return self._linked(rows, "group")

    def before(self, rows: Ints) -> Ints:
        """Row of the previous sibling, or -1."""
        return self._linked(rows, "before")

    def after(self, rows: Ints) -> Ints:
        """Row of the next sibling, or -1."""
        return self._linked(rows, "after")

    def groups(self, rows: Ints) -> Ints:
        """A number that siblings share, -1 for a fragment that has no parent and no session."""
        found: Ints = self._tree.slots.of["group"][self._rows.of["slot"][rows]].astype(np.int64)
        return found

    def under(self, id: bytes) -> Bools:
        """Which rows lie in the subtree of a fragment, itself included, shape (rows,). A cycle ends the
        walk."""
        slots = self._column("slot")  # taken first: every slot in it is published by now
        size = self._tree.slots.size
        group = self._tree.slots.of["group"][:size]
        inside = np.zeros(size + 1, np.bool_)  # the last place answers for group -1
        slot = self._tree.ids.get(id)
        if slot != NONE:
            inside[slot] = True
            count = 1
            while True:
                inside[:-1] |= inside[group]
                grown = int(np.count_nonzero(inside))
                if grown == count:
                    break
                count = grown
        return np.asarray(inside[slots] & self.alive[: len(slots)])

    def mask(
        self,
        *,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        now: float | None = None,
    ) -> Bools | None:
        """Which rows a caller may see, shape (rows,); None if that is every live one.

        None as an argument does not restrict. `now` (seconds) hides what has expired. No mask is made only
        because some rows are dead: the engine never gives one of those.
        """
        alive = self.alive
        size = len(alive)
        seen = alive
        for name, value in (("user", user), ("agent", agent), ("session", session)):
            if value is not None:
                seen = seen & (self._column(name)[:size] == self._codes.get(value, NONE - 1))
        if now is not None and self._expiring:
            expired = alive & (self.expires[:size] <= now)
            if expired.any():
                seen = seen & ~expired
        return None if seen is alive else seen

    def append(self, entries: Sequence[Entry]) -> range:
        """Adds entries (seq ascending and above all before); returns their rows.

        An id that is there already is an update: its old row dies and the new one takes its place among the
        siblings, unless position or parent changed.
        """
        with self._lock:
            first = self._rows.size
            last = int(self.seqs[-1]) if first else -1
            for entry in entries:
                assert entry.seq > last, f"seq {entry.seq} is not above {last}"
                last = entry.seq
            many = len(entries) > SINGLY and len(entries) * BULK_SHARE > self._live
            if many or (len(entries) >= PLAIN_FROM and self._all_plain(entries)):
                self._append_many(entries)
            else:
                for entry in entries:
                    self._append_one(entry)
            return range(first, self._rows.size)

    def drop(self, seqs: Iterable[int]) -> int:
        """Ends the rows of these seqs; returns how many were alive. Their children keep their group."""
        with self._lock:
            rows = self.row_of(np.fromiter(seqs, np.int64))
            rows = np.unique(rows[rows != NONE])
            for row in rows.tolist():
                self._tree.remove(int(self._rows.of["slot"][row]))
                self._rows.of["alive"][row] = False
            self._live -= len(rows)
            return len(rows)

    def _all_plain(self, entries: Sequence[Entry]) -> bool:
        """Whether the entries are new and have no siblings: then nothing has to be linked."""
        known = self._tree.ids.get
        return all(e.parent is None and e.session is None and known(e.id) == NONE for e in entries)

    def _code(self, value: str | None) -> int:
        return NONE if value is None else self._codes.setdefault(value, len(self._codes))

    def _append_one(self, entry: Entry) -> None:
        tree, rows, row = self._tree, self._rows, self._rows.size
        slot = tree.slot_of(entry.id)
        scope = (self._code(entry.user), self._code(entry.agent), self._code(entry.session))
        group = tree.session_of(scope) if entry.parent is None else tree.slot_of(entry.parent)
        rows.reserve(row + 1)
        expires = math.inf if entry.expires is None else entry.expires
        place = (entry.segment, entry.offset, entry.length)
        values = (entry.seq, slot, *scope, entry.created, expires, True, *place)
        for column, value in zip(rows.of.values(), values, strict=True):
            column[row] = value
        self._expiring = self._expiring or entry.expires is not None
        old = tree.place(slot, row, NONE if group == slot else group, entry.position)
        if old != NONE:
            rows.of["alive"][old] = False
            self._live -= 1
        self._live += 1
        rows.size = row + 1

    def _append_many(self, entries: Sequence[Entry]) -> None:
        """The same as `_append_one` for each, then one sort instead of as many insertions."""
        count, first = len(entries), self._rows.size
        seqs, ids, parents, positions, *scope, created, expires, segments, offsets, lengths = zip(
            *entries, strict=True
        )
        slots = self._tree.slots_of(ids)
        scopes = [np.fromiter(map(self._code, names), np.int32, count) for names in scope]
        groups = self._groups_of(parents, scopes)
        groups[groups == slots] = NONE
        until = np.fromiter((math.inf if value is None else value for value in expires), np.float64, count)
        self._expiring = self._expiring or not bool(np.isinf(until).all())
        alive = np.zeros(count, np.bool_)  # of two versions in one batch the later lives
        alive[count - 1 - np.unique(slots[::-1], return_index=True)[1]] = True

        rows, of, live = self._rows, self._tree.slots.of, slots[alive]
        rows.reserve(first + count)
        values = (seqs, slots, *scopes, created, until, alive, segments, offsets, lengths)
        for column, value in zip(rows.of.values(), values, strict=True):
            column[first : first + count] = value
        old = of["row"][live]
        rows.of["alive"][old[old != NONE]] = False
        self._live += len(live) - int((old != NONE).sum())
        of["row"][live] = np.flatnonzero(alive) + first
        of["group"][live] = groups[alive]
        of["position"][live] = np.asarray(positions, np.float64)[alive]
        if (groups != NONE).any() or (old != NONE).any():
            self._tree.relink()
        rows.size = first + count

    def _groups_of(
        self, parents: Sequence[bytes | None], scopes: Sequence[NDArray[np.int32]]
    ) -> NDArray[np.int32]:
        named = [parent for parent in dict.fromkeys(parents) if parent is not None]
        slot: dict[bytes | None, int] = {}
        if named:
            slot = dict(zip(named, self._tree.slots_of(named).tolist(), strict=True))
        groups = np.fromiter((slot.get(parent, NONE) for parent in parents), np.int32, len(parents))
        for at in np.flatnonzero((groups == NONE) & (scopes[2] != NONE)).tolist():
            groups[at] = self._tree.session_of((int(scopes[0][at]), int(scopes[1][at]), int(scopes[2][at])))
        return groups
