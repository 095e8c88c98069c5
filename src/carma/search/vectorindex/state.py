"""What one search of a vector index sees, and the search itself: both parts, merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from carma.search.vectorindex.flat import FlatPart
from carma.search.vectorindex.scan import Floats, Ints, scan
from carma.search.vectorindex.trained import TrainedPart

__all__ = ["State", "long_enough", "named", "padded", "search_state"]

Bools = NDArray[np.bool_]
_Item = TypeVar("_Item", bound=np.generic)


@dataclass(frozen=True, slots=True)
class State:
    """What a search sees.

    `where` says of each row: 0 nowhere, p + 1 trained position p, -s - 1 flat slot s.
    """

    trained: TrainedPart | None
    flat: FlatPart
    where: NDArray[np.int32]

    def gather(self, rows: Ints) -> Floats:
        """The vectors of `rows`, NaN where there is none; shape (n, d)."""
        vectors = np.full((len(rows), self.flat.dimension), np.nan, np.float32)
        known = (rows >= 0) & (rows < len(self.where))
        places = np.where(known, self.where[np.where(known, rows, 0)], 0) if len(self.where) else known * 0
        in_flat, in_trained = places < 0, places > 0
        vectors[in_flat] = self.flat.view.vectors[-places[in_flat] - 1]
        if self.trained is not None:
            vectors[in_trained] = self.trained.vectors(places[in_trained] - 1)
        return vectors


def search_state(state: State, queries: Floats, allowed: Bools | None, rows: Ints, scores: Floats) -> None:
    """Search both parts and write the best of both into `rows` and `scores`, padded."""
    m, k = rows.shape
    trained, view = state.trained, state.flat.view
    wide = None if allowed is None else long_enough(np.asarray(allowed, np.bool_), len(state.where))
    found: list[tuple[Ints, Floats]] = []
    if trained is not None:
        positions, values = np.empty((m, k), np.int64), np.empty((m, k), np.float32)
        if wide is None:
            trained.search(queries, k, positions, values)
        else:
            trained.search_allowed(queries, k, wide[trained.rows], (positions, values))
        found.append(padded(positions, values, trained.rows))
    if view.count or trained is None:
        selector = None if wide is None else view.selector(wide)
        positions, values = scan(queries, view.vectors_at, view.count, k, selector)
        found.append(padded(positions, values, view.rows))
    if len(found) == 1:
        rows[:], scores[:] = found[0]
        return
    both_rows = np.concatenate([part[0] for part in found], axis=1)
    both_scores = np.concatenate([part[1] for part in found], axis=1)
    best = np.argsort(-both_scores, axis=1, kind="stable")[:, :k]
    rows[:] = np.take_along_axis(both_rows, best, axis=1)
    scores[:] = np.take_along_axis(both_scores, best, axis=1)


def named(positions: Ints, scores: Floats, rows: Ints) -> tuple[Ints, Floats]:
    """The rows at `positions` (k,) without the padding at the end."""
    if positions[-1] < 0:
        found = int(np.count_nonzero(positions >= 0))
        positions, scores = positions[:found], scores[:found]
    return rows[positions], scores


def padded(positions: Ints, scores: Floats, rows: Ints) -> tuple[Ints, Floats]:
    """The rows at `positions` (m, k), with -1 and -inf where there is none."""
    missing = positions < 0
    if not missing.any():
        return rows[positions], scores
    scores[missing] = -np.inf
    return np.where(missing, -1, rows[np.where(missing, 0, positions)] if len(rows) else -1), scores


def long_enough(array: NDArray[_Item], length: int) -> NDArray[_Item]:
    """`array`, or a copy of it with zeros (False) behind its end, half as long again."""
    if len(array) >= length:
        return array
    longer = np.zeros(max(length, len(array) * 3 // 2), array.dtype)
    longer[: len(array)] = array
    return longer
