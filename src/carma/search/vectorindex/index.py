"""`VectorIndex`: the vectors of a memory, by row; exact while they are few, trained when they are many.

A search reads one `State` and never waits: not for another search, not for a write, not for a rebuild.
Writers take a lock; a rebuild works beside them on a snapshot and takes the lock only to swap, when it also
catches up with what was added and removed meanwhile.

Rejected: one FAISS index behind a lock (a rebuild would stop searches for seconds); removing from FAISS's
inverted lists (it moves what a search is reading); HNSW (a third of the queries per second at the same
recall, measured, and removals leave it with dead ends).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from carma.errors import InvalidInput
from carma.ports.disk import Disk
from carma.search.vectorindex.file import Contents, Loaded, load_contents, save_contents
from carma.search.vectorindex.flat import FlatPart
from carma.search.vectorindex.plan import plan_for
from carma.search.vectorindex.scan import Floats, Ints, Threads, one_thread, scan
from carma.search.vectorindex.state import State, long_enough, named, search_state
from carma.search.vectorindex.train import Gathered, extended, refilled, train
from carma.search.vectorindex.trained import TrainedPart
from carma.store.sealing import Sealer

__all__ = ["VectorIndex"]

Bools = NDArray[np.bool_]
LEAST_RECENT = 512
"""The flat part may hold this many vectors beside a trained part before a rebuild is due."""


class VectorIndex:
    """Vectors by row, searched by inner product (cosine, for vectors of length 1). Thread-safe.

    Args:
        dimension: length of every vector.
        exact_below: fewer vectors than this are scanned exactly, in float32; from here on `needs_rebuild`
            asks for a trained index, which finds most of the nearest (recall@10 about 0.95) and scores to
            within 1e-4.
    """

    def __init__(self, dimension: int, *, exact_below: int = 20_000) -> None:
        if dimension < 1:
            raise InvalidInput(f"a vector has at least one dimension, not {dimension}")
        self.dimension = dimension
        self.exact_below = exact_below
        self._state = State(None, FlatPart(dimension), np.zeros(0, np.int32))
        self._write = threading.Lock()
        self._rebuild = threading.Lock()
        self._threads = Threads()

    def __len__(self) -> int:
        """Vectors that are not removed."""
        state = self._state
        return len(state.flat) + (len(state.trained) if state.trained is not None else 0)

    def close(self) -> None:
        """End the threads of batches; the index can be used on."""
        self._threads.close()

    # Writing

    def add(self, rows: Ints, vectors: Floats) -> int:
        """Add vectors; they are found by every search that starts afterwards.

        Args:
            rows: shape (n,), non-negative, each once. A row that is present is left as it is.
            vectors: shape (n, d), finite, of length 1 for cosine scores.

        Returns:
            How many were added.

        Raises:
            InvalidInput: shapes that do not fit, a negative row, or a vector that is not finite.
        """
        rows, vectors = self._checked(rows, vectors)
        with self._write:
            absent = ~self.has(rows)
            if not absent.all():
                rows, vectors = rows[absent], vectors[absent]
            if len(rows) == 0:
                return 0
            state = self._state
            where = long_enough(state.where, int(rows.max()) + 1)
            first = state.flat.add(rows, vectors)
            where[rows] = -np.arange(first + 1, first + 1 + len(rows), dtype=np.int32)
            self._state = State(state.trained, state.flat, where)
            return len(rows)

    def remove(self, rows: Ints) -> int:
        """Remove rows; no search that starts afterwards returns them. Unknown rows are ignored.

        Returns:
            How many were removed.
        """
        rows = np.unique(np.asarray(rows, np.int64))
        with self._write:
            rows = rows[self.has(rows)]
            state = self._state
            places = state.where[rows].astype(np.int64)
            state.where[rows] = 0
            state.flat.remove(-places[places < 0] - 1)
            if state.trained is not None:
                state.trained.remove(places[places > 0] - 1)
            return len(rows)

    # Reading

    def has(self, rows: Ints) -> Bools:
        """Whether each row has a vector, shape (n,)."""
        rows = np.asarray(rows, np.int64)
        where = self._state.where
        known = (rows >= 0) & (rows < len(where))
        known[known] = where[rows[known]] != 0
        return known

    def vectors(self, rows: Ints) -> Floats:
        """The vectors of `rows`, shape (n, d); NaN where there is none. Float16 precision in the trained
        part.
        """
        return self._state.gather(np.asarray(rows, np.int64))

    def similarities(self, query: Floats, rows: Ints) -> Floats:
        """The inner product of `query` (d,) with the vector of each row, shape (n,); NaN where is none."""
        similarities: Floats = self.vectors(rows) @ self._queries(query)[0]
        return similarities

    def search(self, query: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        """The `k` rows nearest to one query, on the calling thread.

        Args:
            query: shape (d,).
            k: how many.
            allowed: a boolean by row; rows that it leaves out, or that lie behind its end, are not returned.

        Returns:
            Rows (int64) and inner products (float32), best first; fewer than `k` only where fewer exist.

        Raises:
            InvalidInput: a query of another shape, or `k` below 1.
        """
        queries = self._queries(query)
        state = self._state
        if allowed is None and k > 0:
            trained, view = state.trained, state.flat.view
            if trained is None:
                with one_thread():
                    positions, scores = scan(queries, view.vectors_at, view.count, k)
                return named(positions[0], scores[0], view.rows)
            if view.count == 0:
                positions, scores = np.empty((1, k), np.int64), np.empty((1, k), np.float32)
                with one_thread():
                    trained.search(queries, k, positions, scores)
                return named(positions[0], scores[0], trained.rows)
        rows, scores = self._empty(1, k)
        with one_thread():
            search_state(state, queries, allowed, rows, scores)
        found = int(np.count_nonzero(rows[0] >= 0))
        return rows[0, :found], scores[0, :found]

    def search_batch(
        self, queries: Floats, k: int, *, threads: int = 2, allowed: Bools | None = None
    ) -> tuple[Ints, Floats]:
        """The `k` rows nearest to each of many queries.

        Args:
            queries: shape (m, d).
            k: how many for each.
            threads: how many threads share the work, the calling one included.
            allowed: as for `search`.

        Returns:
            Rows (m, k), padded with -1, and inner products (m, k), padded with -inf; best first.

        Raises:
            InvalidInput: queries of another shape, or `k` below 1.
        """
        queries = self._queries(queries, single=False)
        rows, scores = self._empty(len(queries), k)
        state = self._state

        def part(start: int, stop: int) -> None:
            search_state(state, queries[start:stop], allowed, rows[start:stop], scores[start:stop])

        self._threads.run(part, len(queries), threads)
        return rows, scores

    # Rebuilding

    def needs_rebuild(self) -> bool:
        """Whether `rebuild` would make searches faster or memory smaller by a worthwhile amount."""
        state = self._state
        flat, trained = state.flat, state.trained
        if trained is None:
            return len(flat) >= self.exact_below or flat.dead > max(1024, len(flat) // 4)
        recent = flat.view.count > max(LEAST_RECENT, len(trained) // 200)
        return recent or trained.dead > len(trained.rows) // 5 or len(self) < self.exact_below // 2

    def rebuild(self, *, purge: bool = False) -> bool:
        """Build what suits the vectors there are now, and put it in place; searches and writes go on
        meanwhile.

        Below half of `exact_below` (below all of it, if nothing is trained yet) everything becomes flat. Else
        the trained part is extended by the recent vectors, or filled anew where it holds too many removed
        ones, or trained anew when it has outgrown its training. While it runs the float16 vectors are in
        memory twice.

        Args:
            purge: keep nothing of removed vectors.

        Returns:
            False if another thread is rebuilding; nothing was done.
        """
        if not self._rebuild.acquire(blocking=False):
            return False
        try:
            with self._write:
                state = self._state
                count = state.flat.view.count
                recent = state.flat.rows_alive()
                settled = state.trained.rows_alive() if state.trained is not None else np.empty(0, np.int64)
            if len(recent) + len(settled) < self.exact_below // (1 if state.trained is None else 2):
                self._flatten()
            else:
                self._replace(self._built(state, settled, recent, purge), count)
            return True
        finally:
            self._rebuild.release()

    def _built(self, state: State, settled: Ints, recent: Ints, purge: bool) -> TrainedPart:
        """A trained part over `settled` and `recent`; what is removed meanwhile may still be in it."""
        old, total = state.trained, len(settled) + len(recent)
        everything = Gathered(np.append(settled, recent), state.gather)
        if old is None or not old.trained_on / 2.5 <= total <= old.trained_on * 2.5:
            return train(everything, self.dimension, plan_for(total, self.dimension))
        if purge or old.dead > len(old.rows) // 5:
            return refilled(old, everything)
        return extended(old, Gathered(recent, state.gather))

    def _replace(self, trained: TrainedPart, count: int) -> None:
        """Put a new trained part in place of the old one and of the first `count` slots of the flat part."""
        with self._write:
            state = self._state
            flat = state.flat.since(count)
            gone = ~self.has(trained.rows) | np.isin(trained.rows, flat.rows_alive())
            trained.remove(np.flatnonzero(gone & trained.alive_mask()))
            self._publish(trained, flat)

    def _flatten(self) -> None:
        """Everything into one new flat part. It is short of `exact_below`, so writers wait for milliseconds
        only.
        """
        with self._write:
            state = self._state
            rows = state.flat.rows_alive()
            if state.trained is not None:
                rows = np.append(state.trained.rows_alive(), rows)
            flat = FlatPart(self.dimension)
            flat.add(rows, state.gather(rows))
            self._publish(None, flat)

    def _publish(self, trained: TrainedPart | None, flat: FlatPart) -> None:
        where = np.zeros(len(self._state.where), np.int32)
        if trained is not None:
            alive = np.flatnonzero(trained.alive_mask())
            where[trained.rows[alive]] = alive + 1
        view = flat.view
        where[view.rows[: view.count]] = -np.arange(1, view.count + 1, dtype=np.int32)
        self._state = State(trained, flat, where)

    # Keeping

    def save(
        self,
        disk: Disk,
        path: str,
        *,
        fingerprint: bytes,
        identify: Callable[[Ints], tuple[Ints, bytes]],
        sealer: Sealer | None = None,
    ) -> bool:
        """Write the trained part to `path` (replaced atomically), so that the next opening need not train.

        Args:
            disk: where to.
            path: the file.
            fingerprint: of the embedder, at most 32 bytes.
            identify: given rows (n,), their seqs (int64, n) and the digests of their texts (16 bytes each, n
                * 16).
            sealer: seals the file of an encrypted memory.

        Returns:
            False if nothing is trained; nothing was written.

        Raises:
            StorageError: the disk refused.
        """
        trained = self._state.trained
        if trained is None:
            return False
        save_contents(disk, path, Contents.of(trained, fingerprint, identify), sealer)
        return True

    def load(
        self,
        disk: Disk,
        path: str,
        *,
        fingerprint: bytes,
        rows_of: Callable[[Ints, NDArray[np.uint8]], Ints],
        sealer: Sealer | None = None,
    ) -> Loaded:
        """Take the trained part from `path` into this index, which must be empty.

        Args:
            disk: where from.
            path: the file that `save` wrote.
            fingerprint: as given to `save`; another one is not loaded.
            rows_of: given seqs (n,) and text digests (n, 16), the row of each that is still alive, else -1.
            sealer: as given to `save`.

        Returns:
            How many vectors were loaded; or none and the reason. It never raises for what is in the file.
        """
        contents = load_contents(disk, path, self.dimension, fingerprint, sealer)
        if not isinstance(contents, Contents):
            return Loaded(0, contents)
        with self._write:
            if len(self) > 0:
                raise InvalidInput("the index is not empty")
            rows = np.array(rows_of(contents.seqs, contents.digests), np.int64)
            _, first = np.unique(rows, return_index=True)
            once = np.zeros(len(rows), np.bool_)
            once[first] = True
            alive = once & (rows >= 0) & contents.alive
            trained = contents.part(np.where(alive, rows, -1), alive)
            size = int(rows.max(initial=-1)) + 1
            self._state = State(None, FlatPart(self.dimension), np.zeros(max(size, 1), np.int32))
            self._publish(trained, self._state.flat)
        return Loaded(len(trained), None)

    # Arguments

    def _queries(self, queries: Floats, *, single: bool = True) -> Floats:
        queries = np.ascontiguousarray(queries, np.float32)
        if single:
            if queries.shape == (self.dimension,):
                return queries[None, :]
            raise InvalidInput(f"a query has the shape ({self.dimension},), not {queries.shape}")
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InvalidInput(f"queries have the shape (m, {self.dimension}), not {queries.shape}")
        return queries

    def _checked(self, rows: Ints, vectors: Floats) -> tuple[Ints, Floats]:
        rows = np.asarray(rows, np.int64)
        vectors = np.ascontiguousarray(vectors, np.float32)
        if rows.ndim != 1 or vectors.shape != (len(rows), self.dimension):
            raise InvalidInput(f"{rows.shape} rows and vectors of shape {vectors.shape} do not fit")
        if len(rows) and rows.min() < 0:
            raise InvalidInput("a row is not negative")
        if len(np.unique(rows)) != len(rows):
            raise InvalidInput("a row is given twice")
        if not np.isfinite(vectors).all():
            raise InvalidInput("a vector is finite")
        return rows, vectors

    def _empty(self, m: int, k: int) -> tuple[Ints, Floats]:
        if k < 1:
            raise InvalidInput(f"k is at least 1, not {k}")
        return np.empty((m, k), np.int64), np.empty((m, k), np.float32)
