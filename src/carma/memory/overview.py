"""The topology of a memory: every fragment with its state, the tree, and the threads between near ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from carma.memory.reading import VISIBLE
from carma.models import Fragment
from carma.reports import Spot, Thread, Topology

if TYPE_CHECKING:
    from carma.memory.meaning import Meaning
    from carma.memory.parts import Parts

__all__ = ["overview", "thread_counts"]

_LABEL = 80
_NEAREST = 4
"""So many nearest neighbours of each fragment are looked at ..."""
_NEAR = 0.5
"""... and those at least this close, by cosine, are joined by a thread."""
_BATCH = 1024


def overview(parts: Parts, threads: bool, limit: int) -> Topology:
    """The first `limit` fragments by creation, proven one by one, and what joins them."""
    store = parts.store
    # One text at a time: all of them together may be far longer than what is said of them here.
    found = [_bare(parts.reader.at(*place)) for place in parts.browser.places("1", {}, "id", limit)]
    rows = store.registry.rows(f"SELECT count(*) FROM fragments WHERE {VISIBLE}", {"now": store.clock.now()})
    levels = _levels(found)
    spots = tuple(
        Spot(
            id=each.id,
            label=each.text,
            kind=each.kind,
            state=each.state,
            level=levels[each.id],
            parent=each.parent if each.parent in levels else None,
            confidence=each.repair.confidence if each.repair else None,
        )
        for each in found
    )
    joined = _threads(parts, found) if threads else ()
    return Topology(spots=spots, threads=joined, more=max(int(rows[0][0]) - len(found), 0))


def _bare(fragment: Fragment) -> Fragment:
    """A fragment with a label in the place of its text, and without its metadata."""
    return replace(fragment, text=" ".join(fragment.text.split())[:_LABEL], metadata={})


def _levels(found: list[Fragment]) -> dict[str, int]:
    """Depth of each fragment; one whose parent is lost, or that stands in a circle, begins at the top."""
    parents = {each.id: each.parent for each in found}
    levels: dict[str, int] = {}
    for id in parents:
        path: list[str] = []
        at: str | None = id
        while at is not None and at in parents and at not in levels and at not in path:
            path.append(at)
            at = parents[at]
        above = levels.get(at, -1) if at is not None else -1
        levels.update((each, depth) for depth, each in enumerate(reversed(path), above + 1))
    return levels


def _threads(parts: Parts, found: list[Fragment]) -> tuple[Thread, ...]:
    """Pairs of fragments whose vectors are near, each once."""
    meaning = parts.keeper.meaning
    columns, index = meaning.view
    if index is None or not len(index):
        return ()
    rows = columns.row_of([each.seq for each in found])
    ids = {int(row): each.id for row, each in zip(rows.tolist(), found, strict=True) if row >= 0}
    wanted = np.array(sorted(ids), np.int64)
    joined: dict[tuple[str, str], float] = {}
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        vectors = index.vectors(batch)
        whole = np.isfinite(vectors).all(axis=1)
        near, scores = index.search_batch(vectors[whole], _NEAREST + 1)
        for row, others, cosines in zip(batch[whole].tolist(), near.tolist(), scores.tolist(), strict=True):
            for other, cosine in zip(others, cosines, strict=True):
                if other != row and other in ids and cosine >= _NEAR:
                    first, second = sorted((ids[row], ids[other]))
                    joined[first, second] = cosine
    return tuple(Thread(first=a, second=b, weight=round(w, 4)) for (a, b), w in sorted(joined.items()))


def thread_counts(meaning: Meaning, seqs: Sequence[int]) -> dict[int, int]:
    """How many threads begin at each write, 0 to 4; only of those whose vectors are left."""
    columns, index = meaning.view
    if index is None or not len(index) or not seqs:
        return {}
    rows = columns.row_of(list(seqs))
    there = np.flatnonzero(rows >= 0)
    vectors = index.vectors(rows[there])
    there = there[np.isfinite(vectors).all(axis=1)]
    if not len(there):
        return {}
    near, scores = index.search_batch(index.vectors(rows[there]), _NEAREST + 1)
    joined = ((near != rows[there][:, None]) & (near >= 0) & (scores >= _NEAR)).sum(axis=1)
    return {seqs[at]: min(count, _NEAREST) for at, count in zip(there.tolist(), joined.tolist(), strict=True)}
