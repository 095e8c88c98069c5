"""The engine of a search: candidates from vectors and words, their surroundings from the columns, one
ranking.

Words are asked in a second thread while the query is embedded; both let go of the interpreter. Whatever fails
is left out and said: a search without vectors or without words is degraded, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carma.errors import InvalidInput
from carma.search.columns import Columns
from carma.search.query import Mode, Parts, Query, Ranked, both, long
from carma.search.sources import Sources, Vectors, Words

__all__ = ["MODES", "Engine", "Mode", "Parts", "Ranked", "RankedBatch"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MODES: Final = ("hybrid", "vector", "words")


class RankedBatch(NamedTuple):
    """Rankings of many queries as columns: rows (n, k) int64, padded with -1; scores (n, k) float32, padded
    with NaN."""

    rows: Ints
    scores: Floats
    degraded: bool = False
    reasons: tuple[str, ...] = ()


class Engine:
    """Ranks fragments for queries.

    embed: texts to vectors, shape (n, d), L2-normalised; None if there is no embedder.
    vectors, words: None if the index is unavailable. pending: how many fragments wait for a vector.
    candidates: how many each index hands over, at least.
    failures: exceptions of the indexes and of the embedder that make a search degraded.
    """

    def __init__(
        self,
        columns: Columns,
        vectors: Vectors | None,
        words: Words | None,
        embed: Callable[[Sequence[str]], Floats] | None,
        *,
        pending: Callable[[], int] = lambda: 0,
        candidates: int = 100,
        failures: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        self.sources = Sources(columns, vectors, words, embed, pending, candidates, failures)

    @property
    def columns(self) -> Columns:
        return self.sources.columns

    @property
    def vectors(self) -> Vectors | None:
        return self.sources.vectors

    def close(self) -> None:
        """Ends the threads; idempotent."""
        self.sources.threads.shutdown(wait=True)

    def rank(
        self,
        text: str | None = None,
        vector: Floats | None = None,
        *,
        limit: int = 10,
        mode: Mode = "hybrid",
        visible: Bools | None = None,
        allowed: Bools | None = None,
        min_score: float | None = None,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Ranked:
        """The best rows for a query.

        vector: shape (d,), instead of the text's own or beside it (the text is then used for words only).
        visible: which rows the caller may see at all (`Columns.mask`); only these lend evidence to their
        neighbours.
        allowed: which rows may be hits (visible and passing the filter); None if every visible one may.

        Raises InvalidInput; a failure of the embedder in mode "vector", or of the words in mode "words", is
        degraded.
        """
        _check(text, vector, mode, limit, diversity)
        return Query(self.sources, text, vector, limit, mode, visible, allowed, diversity > 0).run(
            min_score, diversity, explain
        )

    def rank_batch(
        self,
        queries: Sequence[str] | Floats,
        *,
        limit: int = 10,
        mode: Mode = "vector",
        visible: Bools | None = None,
        allowed: Bools | None = None,
    ) -> RankedBatch:
        """Rankings of many queries (texts, or vectors of shape (n, d)) as columns."""
        if mode != "vector":
            return self._one_by_one(queries, limit, mode, visible, allowed)
        reasons: list[str] = []
        vectors: Floats | None
        if isinstance(queries, np.ndarray):
            vectors = np.ascontiguousarray(queries, np.float32)
            if vectors.ndim != 2:
                raise InvalidInput(f"queries have shape {vectors.shape}; expected (queries, dimension)")
        else:
            vectors = self.sources.embedded(queries, reasons)
        count = len(queries)
        _check("", None, mode, limit, 0.0)
        rows, scores = np.full((count, limit), -1, np.int64), np.full((count, limit), np.nan, np.float32)
        if vectors is not None and self.sources.vectors is not None and count:
            seen = both(visible, allowed)
            columns = self.sources.columns
            found, cosines = self.sources.vectors.search_batch(
                vectors, limit, allowed=long(seen, len(columns))
            )
            alive = columns.alive
            known = (found >= 0) & (found < len(alive))
            known[known] = alive[found[known]]
            found, cosines = np.where(known, found, -1), np.where(known, cosines, np.nan)
            order = np.lexsort((-found, -cosines))  # The newer of two equals first, what is not there last.
            rows[:, : found.shape[1]] = np.take_along_axis(found, order, 1)
            scores[:, : found.shape[1]] = np.take_along_axis(cosines, order, 1)
        reasons += self.sources.waiting()
        return RankedBatch(rows, scores, bool(reasons), tuple(reasons))

    def _one_by_one(
        self,
        queries: Sequence[str] | Floats,
        limit: int,
        mode: Mode,
        visible: Bools | None,
        allowed: Bools | None,
    ) -> RankedBatch:
        if isinstance(queries, np.ndarray):
            raise InvalidInput(f'mode "{mode}" needs the texts of the queries, not vectors')
        rows, scores = (
            np.full((len(queries), limit), -1, np.int64),
            np.full((len(queries), limit), np.nan, np.float32),
        )
        reasons: dict[str, None] = {}
        vectors = self.sources.embedded(queries, []) if mode == "hybrid" and len(queries) else None
        for i, text in enumerate(queries):
            vector = None if vectors is None else vectors[i]
            ranked = self.rank(text, vector, limit=limit, mode=mode, visible=visible, allowed=allowed)
            rows[i, : len(ranked.rows)], scores[i, : len(ranked.rows)] = ranked.rows, ranked.scores
            reasons.update(dict.fromkeys(ranked.reasons))
        return RankedBatch(rows, scores, bool(reasons), tuple(reasons))


def _check(text: str | None, vector: Floats | None, mode: str, limit: int, diversity: float) -> None:
    if mode not in MODES:
        raise InvalidInput(f"mode {mode!r} is not one of {', '.join(MODES)}")
    if limit < 1:
        raise InvalidInput(f"limit is {limit}; it must be at least 1")
    if not 0.0 <= diversity <= 1.0:
        raise InvalidInput(f"diversity is {diversity}; it must lie between 0 and 1")
    if text is None and (vector is None or mode == "words"):
        raise InvalidInput("a search needs a query" + (" text" if mode == "words" else " or a vector"))
    if vector is not None and (np.ndim(vector) != 1 or not np.isfinite(vector).all()):
        raise InvalidInput(
            f"the vector has shape {np.shape(vector)}; expected finite numbers of shape (dimension,)"
        )
