"""The flat part: float32 vectors in one array, scanned exactly.

Readers take a `FlatView` and need no lock: vectors are only ever written behind the count that a view holds,
and growing makes new arrays. A removed vector is overwritten with NaN, which no comparison prefers: it is out
of every search at once, also of those that run on an older view of the same array, and costs no filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from carma.search.vectorindex.scan import Floats, Ints, pointer

__all__ = ["FlatPart", "FlatView"]


@dataclass(frozen=True, slots=True)
class FlatView:
    """What a search sees of a flat part: `count` vectors and their rows."""

    vectors: Floats
    rows: Ints
    count: int
    vectors_at: Any

    def selector(self, allowed: np.ndarray) -> Any:
        """The FAISS selector of the slots whose rows are allowed."""
        return faiss.IDSelectorBitmap(np.packbits(allowed[self.rows[: self.count]], bitorder="little"))


class FlatPart:
    """A growing array of vectors; one writer at a time, held off by the caller's lock."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._vectors: Floats = np.empty((0, dimension), np.float32)
        self._rows: Ints = np.empty(0, np.int64)
        self.dead = 0
        """Slots whose vector was removed."""
        self.view = FlatView(self._vectors, self._rows, 0, pointer(self._vectors))

    def __len__(self) -> int:
        """Vectors that are not removed."""
        return self.view.count - self.dead

    def add(self, rows: Ints, vectors: Floats) -> int:
        """Append; return the slot of the first."""
        start, stop = self.view.count, self.view.count + len(rows)
        if stop > len(self._rows):
            self._grow(stop)
        self._vectors[start:stop] = vectors
        self._rows[start:stop] = rows
        self.view = FlatView(self._vectors, self._rows, stop, pointer(self._vectors))
        return start

    def remove(self, slots: Ints) -> None:
        """Overwrite the vectors of slots that are in use."""
        self._vectors[slots] = np.nan
        self.dead += len(slots)

    def since(self, count: int) -> FlatPart:
        """A new part with the slots from `count` on that are not removed."""
        newer = FlatPart(self.dimension)
        slots = self._slots_alive(count)
        newer.add(self._rows[slots], self._vectors[slots])
        return newer

    def rows_alive(self) -> Ints:
        """The rows that are not removed, in the order of their slots."""
        return self._rows[self._slots_alive(0)]

    def _slots_alive(self, start: int) -> Ints:
        return start + np.flatnonzero(~np.isnan(self._vectors[start : self.view.count, 0]))

    def _grow(self, needed: int) -> None:
        # Untouched memory is not resident, so the half that is ahead costs nothing until it is used.
        size = max(needed, 256, len(self._rows) * 3 // 2)
        vectors = np.empty((size, self.dimension), np.float32)
        rows = np.empty(size, np.int64)
        count = self.view.count
        vectors[:count], rows[:count] = self._vectors[:count], self._rows[:count]
        self._vectors, self._rows = vectors, rows
