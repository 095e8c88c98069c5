"""Finding: from a query to proven hits."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from carma.errors import CarmaError, InvalidInput
from carma.memory.batch import SearchBatch
from carma.memory.browse import Scope
from carma.memory.ids import id_bytes
from carma.memory.keeping import Keeper
from carma.memory.meaning import Meaning
from carma.memory.reading import Reader
from carma.models import Fragment, Hit, HitParts, SearchResult
from carma.search.columns import Columns
from carma.search.engine import MODES, Engine, Mode, Ranked
from carma.search.wordindex import WordIndex
from carma.store.registry import RegistryDamaged
from carma.store.store import Store

__all__ = ["Finder"]

Bools = NDArray[np.bool_]
_FAILURES = (CarmaError, RegistryDamaged, apsw.Error)
_LOSSES = """
SELECT EXISTS (SELECT 1 FROM blanks) OR EXISTS (SELECT 1 FROM reconstructions WHERE NOT exact)
OR EXISTS (SELECT 1 FROM fragments WHERE live AND seq NOT IN (SELECT rowid FROM words))
"""
"""What nobody has read since the registry was built is known by name, and has no words."""
_WORDS_LOST = "No text that is left has these words, and some are lost: these are the nearest by meaning."


class Finder:
    """Search over one open memory, by the vectors and the embedder that `keeper` keeps up to date."""

    def __init__(self, store: Store, reader: Reader, keeper: Keeper) -> None:
        self._store = store
        self._reader = reader
        self._keeper = keeper
        self._engine: Engine | None = None
        self._losses = (-1, False)
        self._filters: dict[tuple[str, int], tuple[Columns, Bools]] = {}

    @property
    def meaning(self) -> Meaning:
        """The columns and vectors of now: another object after the memory has moved to another embedder."""
        return self._keeper.meaning

    # Searching

    def search(
        self,
        query: str | None,
        vector: Any,
        limit: int,
        mode: str,
        scope: Scope,
        under: str | None,
        min_score: float | None,
        diversity: float,
        explain: bool,
    ) -> SearchResult:
        """One query, its hits proven."""
        begun = time.perf_counter()
        query = self._query(query)
        if mode != "words":
            self._keeper.await_pending()
        with np.errstate(over="ignore"):  # What is too large for 32 bits becomes infinite, and is refused.
            asked = np.asarray(vector, np.float32).reshape(-1) if vector is not None else None
        reasons: tuple[str, ...] = ()
        near = None
        if mode == "vector" and min_score is None and not diversity and not explain:
            near = self._nearest(self._known_vector(query) if asked is None else asked, limit, scope, under)
        if near is not None:
            columns, ranked = near
        else:
            engine = self._current()
            columns = engine.columns
            rank = partial(
                engine.rank,
                query,
                asked,
                limit=limit,
                visible=self._visible(columns, scope),
                allowed=self._allowed(columns, scope, under),
                diversity=diversity,
                explain=explain,
            )
            ranked = rank(mode=self._mode(mode), min_score=min_score)
            if mode == "words" and min_score is None and not len(ranked.rows) and self._has_losses():
                reasons = (*ranked.reasons, _WORDS_LOST)
                ranked = rank(mode="vector")
        reasons = (*reasons, *ranked.reasons, *self._moved())
        hits, unread = self._hits(columns, ranked)
        if unread:
            reasons = (*reasons, f"{unread} of the hits could not be read and are blank.")
        took_ms = (time.perf_counter() - begun) * 1000
        return SearchResult(hits=hits, degraded=bool(reasons), reasons=reasons, took_ms=took_ms)

    def search_many(
        self,
        queries: Sequence[str] | NDArray[np.float32],
        limit: int,
        mode: str,
        scope: Scope,
        under: str | None,
    ) -> SearchBatch:
        """Many queries, as columns."""
        if mode == "vector" and isinstance(queries, np.ndarray) and queries.shape[:-1] == (1,):
            found = self._nearest(queries[0], limit, scope, under)
            if found is not None:
                columns, ranked = found
                return self._batch(columns, ranked.rows[None], ranked.scores.astype(np.float32)[None], ())
        if not isinstance(queries, np.ndarray):
            queries = [self._query(query) or "" for query in queries]
        if mode != "words":
            self._keeper.await_pending()
        engine = self._current()
        columns = engine.columns
        batch = engine.rank_batch(
            queries,
            limit=limit,
            mode=self._mode(mode),
            visible=self._visible(columns, scope),
            allowed=self._allowed(columns, scope, under),
        )
        reasons = (*batch.reasons, *self._moved())
        return self._batch(columns, batch.rows, batch.scores, reasons)

    def _batch(
        self,
        columns: Columns,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        reasons: tuple[str, ...],
    ) -> SearchBatch:
        texts, result = partial(self._texts, columns), partial(self._result, columns)
        return SearchBatch(rows, scores, reasons, columns.ids, texts, result)

    def _known_vector(self, query: str | None) -> NDArray[np.float32] | None:
        """The vector of a query that was embedded lately; None where it would have to be made."""
        embedder = self._keeper.embedder
        if embedder is None or query is None or query not in embedder:
            return None
        vector: NDArray[np.float32] = embedder.embed([query])[0]
        return vector

    def _nearest(
        self, vector: NDArray[np.float32] | None, limit: int, scope: Scope, under: str | None
    ) -> tuple[Columns, Ranked] | None:
        """What `Engine.rank` gives for one vector without any restriction, straight from the index, and the
        columns that its rows belong to; None where there is more to think of.

        This is the call that agents make most, and the bookkeeping of a ranking costs as much as the search.
        """
        meaning = self.meaning
        columns, index = meaning.view
        restricted = under is not None or columns.expiring or not scope.is_all()
        if vector is None or index is None or restricted or meaning.pending() or meaning.moved_away:
            return None
        if limit < 1 or not np.isfinite(vector).all():
            return None
        rows, scores = index.search(vector, limit)
        alive = columns.alive
        if len(rows) < limit or int(rows.max()) >= len(alive) or not alive[rows].all():
            return None
        if (scores[1:] == scores[:-1]).any():
            return None  # Of two equals the newer comes first.
        return columns, Ranked(rows, scores.astype(np.float64))

    def _texts(self, columns: Columns, rows: NDArray[np.int64]) -> list[str | None]:
        read = self._reader.text_at
        return [read(*place) for place in columns.places(rows)]

    def current(self, id: bytes) -> Fragment | None:
        """The newest version of a fragment by the columns, without the registry; None if they cannot tell."""
        meaning = self.meaning
        if not meaning.loaded:
            return None
        columns = meaning.columns
        row = columns.find(id)
        if row < 0 or columns.expires[row] <= self._store.clock.now():
            return None
        return self._reader.at(int(columns.seqs[row]), *columns.location(row))

    def _result(
        self,
        columns: Columns,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        reasons: tuple[str, ...],
    ) -> SearchResult:
        begun = time.perf_counter()
        hits, unread = self._hits(columns, Ranked(rows, scores.astype(np.float64)))
        if unread:
            reasons = (*reasons, f"{unread} of the hits could not be read and are blank.")
        took_ms = (time.perf_counter() - begun) * 1000
        return SearchResult(hits=hits, degraded=bool(reasons), reasons=reasons, took_ms=took_ms)

    def _hits(self, columns: Columns, ranked: Ranked) -> tuple[tuple[Hit, ...], int]:
        """Read and prove the hits, which are rows of these columns; how many of them are blank."""
        parts = ranked.parts
        hits = []
        unread = 0
        read = self._reader.at
        for at, (place, score) in enumerate(
            zip(columns.places(ranked.rows), ranked.scores.tolist(), strict=True)
        ):
            fragment = read(*place)
            unread += fragment.state == "blank"
            shown = (
                HitParts(**{name: _number(getattr(parts, name)[at]) for name in parts._fields})
                if parts
                else None
            )
            hits.append(Hit(fragment=fragment, score=score, parts=shown))
        return tuple(hits), unread

    def _current(self) -> Engine:
        """The engine over the columns and the index as they are now."""
        meaning = self.meaning
        columns, index = meaning.view
        engine = self._engine
        if engine is None or engine.columns is not columns or engine.vectors is not index:
            if engine is not None:
                engine.close()
            engine = self._engine = Engine(
                columns,
                index,
                _Words(self._store),
                self._keeper.embed,
                pending=meaning.pending,
                candidates=self._store.settings.candidates,
                failures=_FAILURES,
            )
        return engine

    def _query(self, query: str | None) -> str | None:
        if query is None:
            return None
        if isinstance(query, str) and not query.strip():
            raise InvalidInput("The query is empty.")
        if not isinstance(query, str):
            raise InvalidInput(f"The query is a {type(query).__name__}, not a string.")
        return query[: self._store.settings.query_chars].encode("utf-8", "replace").decode()

    def _mode(self, mode: str) -> Mode:
        if mode not in MODES:
            raise InvalidInput(f"mode is {mode!r}; it is one of {', '.join(MODES)}.")
        return mode  # type: ignore[return-value]

    def _visible(self, columns: Columns, scope: Scope) -> Bools | None:
        return columns.mask(
            user=scope.user, agent=scope.agent, session=scope.session, now=self._store.clock.now()
        )

    def _allowed(self, columns: Columns, scope: Scope, under: str | None) -> Bools | None:
        """Which rows pass the filter and lie below `under`; None for all."""
        allowed = self._filtered(columns, scope.where) if scope.where is not None else None
        if under is not None:
            below = columns.under(id_bytes(under))
            allowed = below if allowed is None else below & allowed[: len(below)]
        return allowed

    def _filtered(self, columns: Columns, where: Mapping[str, Any]) -> Bools:
        key = (json.dumps(where, sort_keys=True, default=repr), self._store.last_seq)
        known, found = self._filters.get(key, (None, None))
        if found is None or known is not columns:
            condition, bindings = Scope(where=where).condition()
            self._store.settle()
            rows = self._store.registry.rows(
                f"SELECT seq FROM fragments WHERE live AND {condition}", bindings
            )
            found = np.zeros(len(columns), np.bool_)
            passed = columns.row_of(np.fromiter((row[0] for row in rows), np.int64, len(rows)))
            found[passed[passed >= 0]] = True
            if len(self._filters) >= 32:
                self._filters.clear()
            self._filters[key] = columns, found
        return found

    def _has_losses(self) -> bool:
        """Whether a text is lost, or only retold, as far as the registry knows. Asked once for each state of
        the log: where nothing is lost it looks at every fragment.
        """
        seq, found = self._losses
        if seq != self._store.last_seq:
            self._store.settle()
            seq = self._store.last_seq
            found = bool(self._store.rows(_LOSSES)[0][0])
            self._losses = seq, found
        return found

    def _moved(self) -> tuple[str, ...]:
        if not self.meaning.moved_away:
            return ()
        return ("Another process moved this memory to another embedder; open it again to search by meaning.",)

    def close(self) -> None:
        """End the threads of the engine."""
        if self._engine is not None:
            self._engine.close()


class _Words:
    """The word index over whatever registry the store has now, brought up to date before it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = WordIndex(lambda: store.registry.reader())

    def search(self, text: str, limit: int, *, total: int, allowed: NDArray[np.int64] | None = None) -> Any:
        self._store.settle()
        try:
            return self._index.search(text, limit, total=total, allowed=allowed)
        except RegistryDamaged:
            self._store.mend_registry()
            return self._index.search(text, limit, total=total, allowed=allowed)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
