"""Finding: from a query to proven hits, and the threads that keep vectors up to date."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from carma.embed import Embedder
from carma.embed.by_name import embedder_by_name
from carma.embed.cache import CachedEmbedder
from carma.errors import CarmaError, EmbedderError, InvalidInput
from carma.memory.batch import SearchBatch
from carma.memory.browse import Scope
from carma.memory.ids import id_bytes
from carma.memory.meaning import Meaning
from carma.memory.reading import Reader
from carma.models import Fragment, Hit, HitParts, SearchResult
from carma.search.engine import MODES, Engine, Mode, Ranked
from carma.search.wordindex import WordIndex
from carma.store.record import RecordDamaged
from carma.store.registry import RegistryDamaged
from carma.store.store import Store

__all__ = ["Finder", "SearchBatch"]

Bools = NDArray[np.bool_]
_FAILURES = (CarmaError, RegistryDamaged, apsw.Error)
_GATHER_S = 0.25
"""How long new texts are gathered before they are embedded: a command that adds one text never loads the
model.
"""
_LOOK_S = 2.0
_FEW = 256
"""A search waits for pending vectors only if they are so few that they can be there in time."""
_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)


class Finder:
    """Search over one open memory. `threaded`: embed and rebuild in the background; otherwise only in
    `flush`.
    """

    def __init__(
        self, store: Store, reader: Reader, meaning: Meaning, embedder: Embedder | None, threaded: bool
    ) -> None:
        self._store = store
        self._reader = reader
        self.meaning = meaning
        self.embedder = (
            CachedEmbedder(embedder, store.settings.embed_cache_entries) if embedder is not None else None
        )
        self._engine: Engine | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._error: CarmaError | None = None
        self._filters: dict[tuple[str, int], Bools] = {}
        self._embedding = threading.Lock()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name="carma-meaning", daemon=True)
            self._thread.start()

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
            self._await_pending()
        ranked = self._current().rank(
            query,
            np.asarray(vector, np.float32).reshape(-1) if vector is not None else None,
            limit=limit,
            mode=self._mode(mode),
            visible=self._visible(scope),
            allowed=self._allowed(scope, under),
            min_score=min_score,
            diversity=diversity,
            explain=explain,
        )
        reasons = (*ranked.reasons, *self._moved())
        hits, unread = self._hits(ranked)
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
            found = self._one_vector(queries[0], limit, scope, under)
            if found is not None:
                return found
        if not isinstance(queries, np.ndarray):
            queries = [self._query(query) or "" for query in queries]
        if mode != "words":
            self._await_pending()
        batch = self._current().rank_batch(
            queries,
            limit=limit,
            mode=self._mode(mode),
            visible=self._visible(scope),
            allowed=self._allowed(scope, under),
        )
        reasons = (*batch.reasons, *self._moved())
        return self._batch(batch.rows, batch.scores, reasons)

    def _batch(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], reasons: tuple[str, ...]
    ) -> SearchBatch:
        return SearchBatch(rows, scores, reasons, self.meaning.columns.ids, self._texts, self._result)

    def _one_vector(
        self, vector: NDArray[np.float32], limit: int, scope: Scope, under: str | None
    ) -> SearchBatch | None:
        """One vector without any restriction, straight from the index; None where there is more to think of.

        This is the call that agents make most, and a batch's bookkeeping costs as much as the search itself.
        """
        meaning = self.meaning
        meaning.need()
        index = meaning.index
        restricted = under is not None or meaning.columns.expiring or not scope.is_all()
        if index is None or restricted or meaning.pending() or meaning.moved_away:
            return None
        rows, scores = index.search(vector, limit)
        if len(rows) < limit:
            return None
        return self._batch(rows[None], scores[None], ())

    def _texts(self, rows: NDArray[np.int64]) -> list[str | None]:
        columns, read, out = self.meaning.columns, self._store.read_text, list[str | None]()
        seqs = columns.seqs
        for row in rows.tolist():
            try:
                out.append(read(int(seqs[row]), *columns.location(row)))
            except RecordDamaged:
                out.append(None)
        return out

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
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], reasons: tuple[str, ...]
    ) -> SearchResult:
        begun = time.perf_counter()
        hits, unread = self._hits(Ranked(rows, scores.astype(np.float64)))
        if unread:
            reasons = (*reasons, f"{unread} of the hits could not be read and are blank.")
        took_ms = (time.perf_counter() - begun) * 1000
        return SearchResult(hits=hits, degraded=bool(reasons), reasons=reasons, took_ms=took_ms)

    def _hits(self, ranked: Ranked) -> tuple[tuple[Hit, ...], int]:
        """Read and prove the hits; how many of them are blank."""
        columns, parts = self.meaning.columns, ranked.parts
        hits = []
        unread = 0
        seqs = columns.seqs
        for at, (row, score) in enumerate(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)):
            fragment = self._reader.at(int(seqs[row]), *columns.location(row))
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
        engine = self._engine
        if engine is None or engine.columns is not meaning.columns or engine.vectors is not meaning.index:
            if engine is not None:
                engine.close()
            engine = self._engine = Engine(
                meaning.columns,
                meaning.index,
                _Words(self._store),
                self.embedder.embed if self.embedder is not None else None,
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

    def _visible(self, scope: Scope) -> Bools | None:
        return self.meaning.columns.mask(
            user=scope.user, agent=scope.agent, session=scope.session, now=self._store.clock.now()
        )

    def _allowed(self, scope: Scope, under: str | None) -> Bools | None:
        """Which rows pass the filter and lie below `under`; None for all."""
        allowed = self._filtered(scope.where) if scope.where is not None else None
        if under is not None:
            below = self.meaning.columns.under(id_bytes(under))
            allowed = below if allowed is None else below & allowed[: len(below)]
        return allowed

    def _filtered(self, where: Mapping[str, Any]) -> Bools:
        key = (json.dumps(where, sort_keys=True, default=repr), self._store.last_seq)
        found = self._filters.get(key)
        if found is None:
            condition, bindings = Scope(where=where).condition()
            self._store.settle()
            rows = self._store.registry.rows(
                f"SELECT seq FROM fragments WHERE live AND {condition}", bindings
            )
            columns = self.meaning.columns
            found = np.zeros(len(columns), np.bool_)
            known = columns.row_of(np.fromiter((row[0] for row in rows), np.int64, len(rows)))
            found[known[known >= 0]] = True
            if len(self._filters) >= 32:
                self._filters.clear()
            self._filters[key] = found
        return found

    def _moved(self) -> tuple[str, ...]:
        if not self.meaning.moved_away:
            return ()
        return ("Another process moved this memory to another embedder; open it again to search by meaning.",)

    # Keeping up

    def _await_pending(self) -> None:
        """Give a few pending vectors the time to arrive, within the bound."""
        self.meaning.need()
        waiting = self.meaning.pending()
        if not waiting or waiting > _FEW or self._error is not None or self.embedder is None:
            return
        if self._thread is None:
            self._embed_waiting()
            return
        self._wake.set()
        deadline = time.monotonic() + self._store.settings.embed_wait_ms / 1000
        with self.meaning.changed:
            while (
                self.meaning.pending() and (left := deadline - time.monotonic()) > 0 and self._error is None
            ):
                self.meaning.changed.wait(left)

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until nothing waits for a vector; False if time ran out. Raises EmbedderError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._error = None
        self.meaning.need()
        while self.meaning.pending() and self.embedder is not None:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._embed_waiting()
        self.meaning.write_vectors()
        return True

    def _embed_waiting(self) -> None:
        """Embed one batch. Raises EmbedderError, StorageError."""
        assert self.embedder is not None
        with self._embedding:
            batch = self.meaning.next_texts(self._store.settings.embed_batch)
            if batch:
                seqs, digests, texts = zip(*batch, strict=True)
                self.meaning.embedded(seqs, digests, self.embedder.embed(texts))
                self.meaning.write_vectors()

    def _work(self) -> None:
        """The thread: embed what waits, write given vectors, rebuild the index when it asks for it."""
        failures = 0
        while not self._stop.is_set():
            self._await_work(self.meaning)
            if self._stop.wait(0.0 if self._wake.is_set() else _GATHER_S):
                return
            self._wake.clear()
            try:
                self.meaning.write_vectors()
                while self.meaning.pending() and self.embedder is not None and not self._stop.is_set():
                    self._embed_waiting()
                index = self.meaning.index
                if index is not None and index.needs_rebuild() and not self._stop.is_set():
                    index.rebuild()
                self._error, failures = None, 0
            except EmbedderError as error:
                self._error = error
                self._stop.wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
            except (CarmaError, RegistryDamaged):
                # A full disk or a memory that is being closed: the vectors stay in memory and are made again
                # later.
                self._stop.wait(1.0)

    def _await_work(self, meaning: Meaning) -> None:
        """Wait until there is something to do; after a while look for what an earlier process left."""
        with meaning.changed:
            meaning.changed.wait_for(lambda: meaning is not self.meaning or self._has_work(), _LOOK_S)

    def _has_work(self) -> bool:
        if self._stop.is_set() or self.meaning.has_unwritten():
            return True
        waits = self.meaning.pending() > 0 and self.embedder is not None
        index = self.meaning.index if self.meaning.loaded else None
        return waits or (index is not None and index.needs_rebuild())

    def reembed(self, wanted: Embedder | str, progress: Callable[[int, int], None] | None) -> dict[str, int]:
        """Make vectors by another embedder beside the old ones, then change over."""
        embedder = embedder_by_name(wanted) if isinstance(wanted, str) else wanted
        fingerprint = embedder.fingerprint
        fresh = Meaning(self._store, fingerprint)
        total = fresh.columns.live
        made = 0
        kept = total - fresh.pending()
        while batch := fresh.next_texts(self._store.settings.embed_batch):
            seqs, digests, texts = zip(*batch, strict=True)
            fresh.embedded(seqs, digests, embedder.embed(texts))
            fresh.write_vectors()
            made += len(batch)
            if progress is not None:
                progress(kept + made, total)
        with self._embedding:
            self._store.set_identity(self._store.identity.with_embedder(fingerprint.to_dict()))
            # Whatever was written meanwhile is found missing when it loads, and embedded like any new text.
            meaning = Meaning(self._store, fingerprint)
            self._store.listen(meaning)
            old, self.meaning = self.meaning, meaning
            self.embedder = CachedEmbedder(embedder, self._store.settings.embed_cache_entries)
            old.forget()
            with old.changed:
                old.changed.notify_all()
        return {"embedded": made, "kept": kept, "fragments": total}

    def save(self) -> None:
        """Save the indexes. Raises StorageError."""
        if self.meaning.loaded and self.meaning.index is not None and self.meaning.index.needs_rebuild():
            self.meaning.index.rebuild()
        self.meaning.save()

    def purge(self) -> None:
        """Leave no vector of what was deleted."""
        self._filters.clear()
        self.meaning.purge()

    def freshness(self) -> dict[str, Any]:
        """How complete the vectors are, and what the embedder last said if it failed."""
        return {**self.meaning.freshness(), "error": self._error.message if self._error else None}

    def close(self) -> None:
        """Stop the thread and keep what was made."""
        self._stop.set()
        with self.meaning.changed:
            self.meaning.changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.close()
        self.meaning.close()


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
