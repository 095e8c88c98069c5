"""One query on its way: candidates, pool, scores, order."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carma.search.diversity import diversify
from carma.search.fuse import Pool, fuse
from carma.search.sources import Sources, done
from carma.search.wordindex import Found

__all__ = ["Mode", "Parts", "Query", "Ranked", "both", "long"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mode = Literal["hybrid", "vector", "words"]

DIVERSE_AMONG: Final = 200
"""Candidates that diversity chooses among, at least; five times the limit if that is more."""
SIBLINGS_OF: Final = 100
"""The siblings of so many candidates of each index join the pool: those of the best."""
HIDDEN_FEW: Final = 100
"""If no more fragments than these are hidden, by having expired mostly, they are taken out afterwards."""


class Parts(NamedTuple):
    """The parts of the scores, one array each, as long as the ranking; NaN where a part did not see the
    fragment."""

    vector: NDArray[np.float64]
    words: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    context: NDArray[np.float64]


class Ranked(NamedTuple):
    """Rows best first and their scores; the parts if they were asked for; what was missing."""

    rows: Ints
    scores: NDArray[np.float64]
    parts: Parts | None = None
    degraded: bool = False
    reasons: tuple[str, ...] = ()


class Near(NamedTuple):
    """Rows that one index found, best first, and their cosine or BM25."""

    rows: Ints
    scores: NDArray[np.float64]


class Query:
    """One query on its way: candidates, pool, scores, hits."""

    def __init__(
        self,
        sources: Sources,
        text: str | None,
        vector: Floats | None,
        limit: int,
        mode: Mode,
        visible: Bools | None,
        allowed: Bools | None,
        diverse: bool = False,
    ) -> None:
        self.sources = sources
        self.columns = sources.columns
        self.size = len(sources.columns)
        self.text, self.vector, self.limit, self.mode = text, vector, limit, mode
        self.visible = long(visible, self.size)
        self.hits = long(both(visible, allowed), self.size)
        self.reasons: list[str] = []
        # A ranking by cosine alone needs no more candidates than hits, unless it chooses among them.
        alone = mode == "vector" and not diverse
        self.many = limit if alone else max(sources.candidates, 2 * limit)
        self.filter = self.hits
        if self.hits is not None:
            hidden = int(np.count_nonzero(sources.columns.alive[: self.size] & ~self.hits))
            if (
                0 <= hidden <= HIDDEN_FEW
            ):  # asking for so many more is exact, and cheaper than asking for each
                self.many += hidden
                self.filter = None

    def run(self, min_score: float | None, diversity: float, explain: bool) -> Ranked:
        asked: Future[Found] | None = None
        if self.mode != "vector" and self.text and self.text.strip():
            if self.sources.words is None:
                self.reasons.append("The word index is unavailable: nothing was searched by words.")
            elif self.mode == "words" or self.vector is not None:
                asked = done(self._ask_words)
            else:
                asked = self.sources.begin(self._ask_words)
        if self.mode != "words":
            self._make_vector()
        by_vector = self._by_vector()
        by_words = self._by_words(asked)
        rows, scores, parts = self._score(by_vector, by_words)
        order = self._order(rows, scores, min_score, diversity)
        shown = Parts(*(part[order] for part in parts)) if explain else None
        return Ranked(rows[order], scores[order], shown, bool(self.reasons), tuple(self.reasons))

    # Candidates

    def _make_vector(self) -> None:
        if self.vector is None and self.text is not None:
            found = self.sources.embedded([self.text], self.reasons)
            self.vector = found[0] if found is not None else None
        elif self.vector is not None:
            self.vector = np.ascontiguousarray(self.vector, np.float32)
            if self.sources.vectors is None:
                self.reasons.append("The vector index is unavailable: nothing was searched by meaning.")
        self.reasons += self.sources.waiting()

    def _by_vector(self) -> Near:
        if self.mode == "words" or self.vector is None or self.sources.vectors is None:
            return Near(np.empty(0, np.int64), np.empty(0))
        rows, cosines = self.sources.vectors.search(self.vector, self.many, allowed=self.filter)
        known = self._may_be_hits(rows)
        return Near(np.asarray(rows[known], np.int64), np.asarray(cosines[known], np.float64))

    def _may_be_hits(self, rows: Ints) -> Bools:
        """Which rows an index may have found: alive, and not hidden."""
        alive = self.columns.alive
        known = (rows >= 0) & (rows < min(self.size, len(alive)))
        known[known] = alive[rows[known]]
        if self.hits is not None:
            known[known] = self.hits[rows[known]]
        return np.asarray(known)

    def _ask_words(self) -> Found:
        assert self.sources.words is not None
        assert self.text is not None
        allowed = None if self.filter is None else self.columns.seqs[: self.size][self.filter]
        return self.sources.words.search(self.text, self.many, total=self.columns.live, allowed=allowed)

    def _by_words(self, asked: Future[Found] | None) -> Near:
        if asked is not None:
            try:
                found = asked.result()
            except self.sources.failures as error:
                self.reasons.append(f"The word index failed ({error}): nothing was searched by words.")
            else:
                rows = self.columns.row_of(found.seqs)
                known = self._may_be_hits(rows)
                return Near(rows[known], found.scores[known])
        return Near(np.empty(0, np.int64), np.empty(0))

    # Scores

    def _score(self, by_vector: Near, by_words: Near) -> tuple[Ints, NDArray[np.float64], Parts]:
        if self.mode == "words":
            nothing = np.full(len(by_words.rows), np.nan)
            return by_words.rows, by_words.scores, Parts(nothing, by_words.scores, nothing, nothing)
        if self.mode == "vector":
            nothing = np.full(len(by_vector.rows), np.nan)
            return by_vector.rows, by_vector.scores, Parts(by_vector.scores, nothing, nothing, nothing)
        columns = self.columns
        rows = self._pool(by_vector.rows, by_words.rows)
        cosine = self._cosines(rows, by_vector)
        words = np.full(len(rows), np.nan)
        words[np.searchsorted(rows, by_words.rows)] = by_words.scores
        before, after, parent = (
            _places(rows, near(rows)) for near in (columns.before, columns.after, columns.parents)
        )
        fused = fuse(Pool(cosine, words, before, after, parent, columns.groups(rows)))
        keep = slice(None) if self.hits is None else self.hits[rows]
        parts = Parts(cosine[keep], words[keep], fused.neighbours[keep], fused.context[keep])
        return rows[keep], fused.scores[keep], parts

    def _pool(self, by_vector: Ints, by_words: Ints) -> Ints:
        """Candidates, their siblings beside and their parents; ascending, each once, all of them visible."""
        columns = self.columns
        best = np.concatenate((by_vector[:SIBLINGS_OF], by_words[:SIBLINGS_OF]))
        beside = np.concatenate((columns.before(best), columns.after(best), columns.parents(best)))
        beside = beside[(beside >= 0) & (beside < self.size)]
        if self.visible is not None:
            beside = beside[self.visible[beside]]
        return np.unique(np.concatenate((by_vector, by_words, beside)))

    def _cosines(self, rows: Ints, known: Near) -> NDArray[np.float64]:
        """Cosine of the query to each row of the pool: those the index gave, and the others from their
        vectors."""
        cosines = np.full(len(rows), np.nan)
        if self.vector is None or self.sources.vectors is None:
            return cosines
        cosines[np.searchsorted(rows, known.rows)] = known.scores
        others = np.flatnonzero(np.isnan(cosines))
        vectors = self.sources.vectors.vectors(rows[others])
        # Not a matrix product: that would wake the threads of the linear algebra library, for so little.
        cosines[others] = np.einsum("ij,j->i", vectors, self.vector)
        return cosines

    # Hits

    def _order(
        self, rows: Ints, scores: NDArray[np.float64], min_score: float | None, diversity: float
    ) -> NDArray[np.int64]:
        """Places of the hits, best first; the newer of two equals first."""
        order = np.lexsort((-rows, -scores))
        good = ~np.isnan(scores[order])
        if min_score is not None:
            good &= scores[order] >= min_score
        order = order[good]
        if diversity > 0.0 and self.sources.vectors is not None:
            order = order[: max(DIVERSE_AMONG, 5 * self.limit)]
            vectors = np.nan_to_num(self.sources.vectors.vectors(rows[order]))
            return np.asarray(order[diversify(scores[order], vectors, self.limit, diversity)])
        return order[: self.limit]


def both(visible: Bools | None, allowed: Bools | None) -> Bools | None:
    if visible is None or allowed is None:
        return allowed if visible is None else visible
    size = min(len(visible), len(allowed))
    return visible[:size] & allowed[:size]


def long(mask: Bools | None, size: int) -> Bools | None:
    """A mask for `size` rows: rows that were written after it was made are not in it."""
    if mask is None or len(mask) == size:
        return mask
    longer = np.zeros(size, np.bool_)
    longer[: len(mask)] = mask[:size]
    return longer


def _places(rows: Ints, wanted: Ints) -> Ints:
    """The place of each wanted row among ascending rows, -1 where it is not among them."""
    if not len(rows):
        return wanted
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[at] == wanted, at, -1)
