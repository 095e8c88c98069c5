"""What surrounds a lost fragment in its memory: parent, children, siblings, threads, all of the same owner.

Nothing of another user, agent, or scope (the session, or where there is none the tree) is ever handed out: a
reconstruction must not say to one person what another said. Where not even the place of a lost fragment is
known, because the registry was lost too, the writes just before and after it say whose it was, if all of them
agree. Only true texts are context, never other reconstructions: errors would breed errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from carma.healing.context import Context, Nearby
from carma.healing.exact import Exact
from carma.healing.lost import Lost
from carma.healing.resources import Resources
from carma.healing.signs import cosines
from carma.healing.sketch import Sketch
from carma.store.payload import decode_text
from carma.store.record import RecordDamaged
from carma.store.store import Store

__all__ = ["Around", "Surroundings", "proven_text"]

_SIBLINGS = 8
"""On each side."""
_CHILDREN = 8
_THREADS = 6
_CANDIDATES = 4_096
"""Fragments of the scope whose vectors are compared with the signs of a sketch."""
_LEVELS = 256
_WITNESSES = 4
"""Writes on each side that must agree on whose a fragment was."""

_COLUMNS = "seq, id, parent, position, segment, offset, length"
_OWNER = "user IS :user AND agent IS :agent"


class _Row(NamedTuple):
    seq: int
    id: bytes
    parent: bytes | None
    position: float
    segment: int
    offset: int
    length: int


class _Place(NamedTuple):
    """Where a lost fragment stood, and whose it was."""

    parent: bytes | None
    position: float
    user: str | None
    agent: str | None
    session: str | None


@dataclass(frozen=True, slots=True)
class Around:
    """True texts around a lost one. before, after: siblings, the nearest last and first."""

    parent: Nearby | None = None
    before: tuple[Nearby, ...] = ()
    after: tuple[Nearby, ...] = ()
    children: tuple[Nearby, ...] = ()
    threads: tuple[Nearby, ...] = ()

    @property
    def context(self) -> Context:
        """As the composer takes it."""
        above = (self.parent,) if self.parent is not None else ()
        return Context((*above, *self.before, *self.after, *self.children, *self.threads))


def proven_text(store: Store, exact: Exact, seq: int, segment: int, offset: int, length: int) -> str | None:
    """The true text of a write, from its place or by an exact rung; None if it cannot be had."""
    try:
        return store.read_text(seq, segment, offset, length)
    except RecordDamaged:
        found = exact.record(seq, segment, offset)
        return decode_text(store.payload(found[0])) if found is not None else exact.text(seq)


class Surroundings:
    """Gathers context for one dream."""

    def __init__(self, store: Store, resources: Resources) -> None:
        self._store = store
        self._resources = resources
        self._roots: dict[bytes, bytes] = {}

    def around(self, lost: Lost, sketch: Sketch | None) -> Around:
        """What surrounds a lost fragment now."""
        place = self._place(lost)
        if place is None:
            return Around()
        before = self._siblings(lost, place, "<", "DESC")
        after = self._siblings(lost, place, ">", "ASC")
        near = {lost.id, *(row.id for row in (*before, *after))}
        children = self._rows(f"parent = :id AND {_OWNER}", lost, place, "position, seq", _CHILDREN)
        parent = self._rows(f"id = :parent AND {_OWNER}", lost, place, "seq", 1) if place.parent else []
        near |= {row.id for row in (*children, *parent)}
        threads = [row for row in self._threads(lost, place, sketch) if row.id not in near][:_THREADS]
        above = list(self._nearby(parent, "parent"))
        return Around(
            above[0] if above else None,
            tuple(reversed(list(self._nearby(before, "sibling")))),
            tuple(self._nearby(after, "sibling")),
            tuple(self._nearby(children, "child")),
            tuple(self._nearby(threads, "thread")),
        )

    def _nearby(
        self, rows: Sequence[_Row], relation: Literal["parent", "child", "sibling", "thread"]
    ) -> Iterator[Nearby]:
        vectors = self._resources.vectors([row.seq for row in rows]) if rows else {}
        for distance, row in enumerate(rows, 1):
            place = row.segment, row.offset, row.length
            text = proven_text(self._store, self._resources.exact, row.seq, *place)
            if text:
                yield Nearby(row.id.hex(), text, relation, distance, vectors.get(row.seq))

    # Whose and where

    def _place(self, lost: Lost) -> _Place | None:
        """The place of a lost fragment; None if nothing says whose it was."""
        known = self._store.registry.one("SELECT 1 FROM tokens WHERE rowid=?", (lost.seq,))
        told = any((lost.parent, lost.user, lost.agent, lost.session, lost.source))
        if known is not None or told:
            return _Place(lost.parent, lost.position, lost.user, lost.agent, lost.session)
        return self._between(lost)

    def _between(self, lost: Lost) -> _Place | None:
        """The place that the writes just before and after it suggest, if they agree whose it was."""
        sql = (
            "SELECT parent, user, agent, session FROM fragments WHERE live AND seq {} ? "
            "AND seq IN (SELECT rowid FROM tokens) ORDER BY seq {} LIMIT ?"
        )
        before = self._store.registry.rows(sql.format("<", "DESC"), (lost.seq, _WITNESSES))
        after = self._store.registry.rows(sql.format(">", "ASC"), (lost.seq, _WITNESSES))
        witnesses = [*before, *after]
        if not witnesses or len({row[1:3] for row in witnesses}) > 1:
            return None
        nearest = {*before[:1], *after[:1]}
        parent, user, agent, session = nearest.pop()
        if nearest:
            other = nearest.pop()
            parent = parent if parent == other[0] else None
            session = session if session == other[3] else None
        return _Place(parent, float(lost.seq), user, agent, session)

    def _siblings(self, lost: Lost, place: _Place, side: str, order: str) -> list[_Row]:
        session = "" if place.parent else " AND session IS :session"
        return self._rows(
            f"parent IS :parent AND (position, seq) {side} (:position, :seq) AND {_OWNER}{session}",
            lost, place, f"position {order}, seq {order}", _SIBLINGS,
        )  # fmt: skip

    def _rows(self, condition: str, lost: Lost, place: _Place, order: str, limit: int) -> list[_Row]:
        now = self._store.clock.now()
        bindings: dict[str, Any] = {**place._asdict(), "seq": lost.seq, "id": lost.id, "limit": limit}
        rows = self._store.registry.rows(
            f"SELECT {_COLUMNS} FROM fragments WHERE live AND seq <> :seq AND {condition} "
            "AND (expires IS NULL OR expires > :now) ORDER BY " + f"{order} LIMIT :limit",
            {**bindings, "now": now},
        )
        return [_Row(*row) for row in rows]

    # Threads

    def _threads(self, lost: Lost, place: _Place, sketch: Sketch | None) -> list[_Row]:
        """Fragments of the same scope that lie nearest in meaning."""
        vector = self._resources.vectors([lost.seq]).get(lost.seq)
        if vector is not None:
            seqs = self._resources.nearest(vector, 8 * _THREADS)
            rows = {row.seq: row for row in self._in_scope(lost, place, seqs)}
            return [rows[seq] for seq in seqs if seq in rows]
        if sketch is None or not sketch.signs:
            return []
        candidates = self._in_scope(lost, place, None)
        vectors = self._resources.vectors([row.seq for row in candidates])
        known = [row for row in candidates if row.seq in vectors]
        if not known:
            return []
        near = cosines(sketch.signs, np.stack([vectors[row.seq] for row in known]))
        best = np.argsort(-near, kind="stable")[: 2 * _THREADS]
        return [known[at] for at in best.tolist()]

    def _in_scope(self, lost: Lost, place: _Place, seqs: Sequence[int] | None) -> list[_Row]:
        """Fragments of the same session, or where there is none of the same tree; of some writes, or all."""
        among = f" AND seq IN ({','.join(map(str, map(int, seqs)))})" if seqs is not None else ""
        if place.session is not None:
            condition = f"session IS :session AND {_OWNER}{among}"
            return self._rows(condition, lost, place, "abs(seq - :seq)", _CANDIDATES)
        rows = self._rows(f"session IS NULL AND {_OWNER}{among}", lost, place, "abs(seq - :seq)", _CANDIDATES)
        root = self._root(place.parent) if place.parent else lost.id
        if root == lost.id and not place.parent:
            # A fragment at the top is of one scope with the others at the top and with what is below it.
            return [row for row in rows if row.parent is None or self._root(row.id) == root]
        return [row for row in rows if self._root(row.id) == root]

    def _root(self, id: bytes) -> bytes:
        """The topmost fragment above; a circle counts as one."""
        path: list[bytes] = []
        here = id
        while here not in self._roots and len(path) < _LEVELS:
            path.append(here)
            row = self._store.registry.one("SELECT parent FROM fragments WHERE id=? AND live", (here,))
            if row is None or row[0] is None or row[0] in path:
                break
            here = row[0]
        root = self._roots.get(here, min(path) if here in path[:-1] else here)
        self._roots.update(dict.fromkeys(path, root))
        return root
