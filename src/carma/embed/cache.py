"""A bounded cache of embeddings in front of any embedder: a text seen lately is not embedded again.
 The idea: least recently used goes first, and the key is the BLAKE3 of the text, so that a long text costs 32
bytes and not its length. The embedder is called outside the lock; two threads asking for the same new text
may both embed it, which is cheaper than making everybody wait. Rejected: `functools.lru_cache`, which cannot
see into a batch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import blake3
import numpy as np

from carma.embed.port import Embedder, Fingerprint, Vectors
from carma.errors import InvalidInput

__all__ = ["CachedEmbedder"]


class CachedEmbedder:
    """Wraps `embedder` with a least-recently-used cache of at most `entries` vectors; itself an embedder.

    `hits` and `misses` count texts, not calls; a text repeated inside one call is one miss and then hits.
    Raises InvalidInput when `entries` is below 1.
    """

    def __init__(self, embedder: Embedder, entries: int = 4096) -> None:
        if entries < 1:
            raise InvalidInput(f"entries must be at least 1, not {entries}")
        self._embedder = embedder
        self._entries = entries
        self._lock = threading.Lock()
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._vectors

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the wrapped embedder."""
        return self._embedder.fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`; only texts not in the cache reach the wrapped embedder, each once."""
        keys = [_key(text) for text in texts]
        known = self._look_up(keys)
        missing: dict[bytes, str] = {
            key: text for key, text in zip(keys, texts, strict=True) if key not in known
        }
        if missing:
            fresh = self._embedder.embed(list(missing.values()))
            known.update((key, row.copy()) for key, row in zip(missing, fresh, strict=True))
            self._keep(missing, known)
        with self._lock:
            self.misses += len(missing)
            self.hits += len(keys) - len(missing)
        if not keys:
            return np.empty((0, self.fingerprint.dimension), np.float32)
        return np.stack([known[key] for key in keys])

    def clear(self) -> None:
        """Forget every vector; the counters stay. Called when a text must be purged."""
        with self._lock:
            self._vectors.clear()

    def forget(self, text: str) -> None:
        """Forget the vector of one text, if it is there."""
        with self._lock:
            self._vectors.pop(_key(text), None)

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        with self._lock:
            for key in keys:
                vector = self._vectors.get(key)
                if vector is not None:
                    self._vectors.move_to_end(key)
                    found[key] = vector
        return found

    def _keep(self, keys: dict[bytes, str], known: dict[bytes, Vectors]) -> None:
        with self._lock:
            for key in keys:
                self._vectors[key] = known[key]
                self._vectors.move_to_end(key)
            while len(self._vectors) > self._entries:
                self._vectors.popitem(last=False)


def _key(text: str) -> bytes:
    return blake3.blake3(text.encode("utf-8", "surrogatepass")).digest()
