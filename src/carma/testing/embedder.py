"""A deterministic embedder without a model, for tests and simulations: texts that share words lie close.
 The idea: feature hashing (Weinberger et al. 2009, arXiv 0902.2206). Every word, and its first five letters
as a crude stem, adds +1 or -1 at a place chosen by the word's BLAKE3, so the same text has the same vector in
every process. Rejected: Python's `hash`, which is salted per process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import blake3
import numpy as np

from carma.embed.port import Fingerprint, Vectors
from carma.errors import InvalidInput

__all__ = ["HashEmbedder"]

_WORD = re.compile(r"\w+")
_STEM_LETTERS = 5


class HashEmbedder:
    """Bag-of-words hashing into `dimension` numbers (at least 2); knows words, not their meaning."""

    def __init__(self, dimension: int = 64) -> None:
        if dimension < 2:
            raise InvalidInput(f"dimension must be at least 2, not {dimension}")
        self._fingerprint = Fingerprint("hash", dimension, f"hash-1-{dimension}")

    @property
    def fingerprint(self) -> Fingerprint:
        """`hash`, the dimension, and an id with the version of the scheme."""
        return self._fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`. A text without words gets the first unit vector."""
        dimension = self._fingerprint.dimension
        vectors = np.zeros((len(texts), dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(text.lower()):
                for feature in (word, word[:_STEM_LETTERS] + "*"):
                    place, sign = _place(feature)
                    row[place % dimension] += sign
            if not row.any():
                row[0] = 1.0
            row /= np.linalg.norm(row)
        return vectors


@lru_cache(maxsize=65_536)
def _place(feature: str) -> tuple[int, float]:
    digest = blake3.blake3(feature.encode("utf-8", "surrogatepass")).digest(length=8)
    return int.from_bytes(digest[:7], "little"), 1.0 if digest[7] & 1 else -1.0
