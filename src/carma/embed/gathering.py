"""Queries that come at once are embedded at once.

The idea is that of a group commit: while one call runs, those that come wait, and the next call takes all of
them. A short text costs a model mostly the reading of its weights, and eight texts in one call read them
once: a quarter to a third less time for each. Whoever comes alone waits for nobody. Large batches go their
own way, and so does every caller once a common call has failed: an error goes to whoever caused it.
Rejected: a timer that gathers for some milliseconds (whoever comes alone would pay it), a thread of its own
(two more switches for each query).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from carma.embed.port import Embedder, Fingerprint, Vectors
from carma.errors import EmbedderError, InvalidInput

__all__ = ["GatheringEmbedder"]

_FEW = 4
"""A call with more texts than this is a batch already."""


class _Asked:
    """One caller's texts, and what came of them."""

    __slots__ = ("failed", "leads", "texts", "turn", "vectors")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.vectors: Vectors | None = None
        self.failed = False
        self.leads = False
        self.turn = threading.Event()


class GatheringEmbedder:
    """Wraps `embedder`, whose vector of a text must not depend on the texts beside it; itself an embedder.

    most: so many texts go into one call. Raises InvalidInput when it is below 1.
    """

    def __init__(self, embedder: Embedder, most: int = 16) -> None:
        if most < 1:
            raise InvalidInput(f"most must be at least 1, not {most}")
        self._embedder = embedder
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Asked] = []
        self._busy = False

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the wrapped embedder."""
        return self._embedder.fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`."""
        if not 0 < len(texts) <= min(_FEW, self._most):
            return self._embedder.embed(texts)
        asked = _Asked(texts)
        with self._lock:
            self._waiting.append(asked)
            if not self._busy:
                self._busy = asked.leads = True
        if not asked.leads:
            asked.turn.wait()
        if asked.leads:
            try:
                self._answer(self._taken())
            finally:
                self._hand_over()
        if asked.failed or asked.vectors is None:
            return self._embedder.embed(texts)
        return asked.vectors

    def _taken(self) -> list[_Asked]:
        """Those who wait, as many as go into one call; whoever leads was the first of them."""
        with self._lock:
            count = room = 0
            for each in self._waiting:
                room += len(each.texts)
                if room > self._most:
                    break
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _answer(self, taken: Sequence[_Asked]) -> None:
        """Embed the texts of all who were taken along, and let them go."""
        try:
            vectors = self._embedder.embed([text for each in taken for text in each.texts])
        except EmbedderError:
            for each in taken:
                each.failed = True
        else:
            ends = np.cumsum([len(each.texts) for each in taken])
            for each, rows in zip(taken, np.split(vectors, ends[:-1]), strict=True):
                each.vectors = rows
        finally:
            for each in taken:
                each.turn.set()

    def _hand_over(self) -> None:
        """Let the next who waits lead."""
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.set()
