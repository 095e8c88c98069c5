"""Keeping vectors up to date: embedding what waits, rebuilding the index, moving to another embedder.

One thread does it in the background. It gathers new texts for a moment first, so that a command that adds one
text never loads the model; an embedder that fails is asked again after growing pauses, and meanwhile words go
on finding.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carma.embed import Embedder
from carma.embed.by_name import embedder_by_name
from carma.embed.cache import CachedEmbedder
from carma.errors import CarmaError, EmbedderError
from carma.memory.meaning import Meaning
from carma.store.store import Store

__all__ = ["Keeper"]

_GATHER_S = 0.25
"""How long new texts are gathered before they are embedded."""
_LOOK_S = 2.0
"""After so long without news it is looked whether an earlier process left something undone."""
_REBUILDING_S = 0.05
_FEW = 256
"""A search waits for pending vectors only if they are so few that they can be there in time."""
_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)


class Keeper:
    """The embedder of an open memory and what it has to do.

    threaded: work in the background; otherwise only in `flush` and before a search.
    """

    def __init__(self, store: Store, meaning: Meaning, embedder: Embedder | None, threaded: bool) -> None:
        self._store = store
        self.meaning = meaning
        self.embedder = self._cached(embedder)
        self.named: str | None = None
        """What the embedder was asked for by, where that was a name: another process finds it by that."""
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._error: CarmaError | None = None
        self._embedding = threading.Lock()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name="carma-meaning", daemon=True)
            self._thread.start()

    def _cached(self, embedder: Embedder | None) -> CachedEmbedder | None:
        return CachedEmbedder(embedder, self._store.settings.embed_cache_entries) if embedder else None

    @property
    def embed(self) -> Callable[[Sequence[str]], NDArray[np.float32]] | None:
        """Texts to vectors, through the cache; None without an embedder."""
        return self.embedder.embed if self.embedder is not None else None

    def await_pending(self) -> None:
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
            except Exception as error:
                # A bug of an embedder that the caller wrote must not end this thread: what waits is tried
                # again, and `stats` and the searches say what is wrong.
                self._error = error if isinstance(error, CarmaError) else EmbedderError(repr(error))
                self._stop.wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

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
        fresh.stand_in = self.meaning.stand_in
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
            meaning.stand_in = self.meaning.stand_in
            self._store.listen(meaning)
            old, self.meaning = self.meaning, meaning
            self.embedder = self._cached(embedder)
            self.named = wanted if isinstance(wanted, str) else None
            old.forget()
            with old.changed:
                old.changed.notify_all()
        return {"embedded": made, "kept": kept, "fragments": total}

    def save(self) -> None:
        """Save the indexes. Raises StorageError."""
        index = self.meaning.index if self.meaning.loaded else None
        while index is not None and index.needs_rebuild() and not index.rebuild():
            time.sleep(_REBUILDING_S)  # Another thread is at it.
        self.meaning.save()

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
        self.meaning.close()
