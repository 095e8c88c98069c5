"""What a search draws on: columns, vectors, words, an embedder; and what it says when one of them is
missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carma.search.columns import Columns
from carma.search.wordindex import Found

__all__ = ["Sources", "Vectors", "Words", "done"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Vectors(Protocol):
    """What the engine needs of a vector index; vectors are found by row."""

    def search(self, query: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        """Rows and cosines of the nearest, best first; fewer than `k`, or -1, where there are no more."""

    def search_batch(self, queries: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        """The same for many queries: shapes (n, k), padded with row -1."""

    def vectors(self, rows: Ints) -> Floats:
        """Vectors of rows, shape (m, d), NaN or zero where there is none."""


class Words(Protocol):
    """What the engine needs of a word index; `WordIndex` is the real one."""

    def search(self, text: str, limit: int, *, total: int, allowed: Ints | None = None) -> Found: ...


class Sources:
    """The parts of an engine, and how many candidates each index hands over."""

    def __init__(
        self,
        columns: Columns,
        vectors: Vectors | None,
        words: Words | None,
        embed: Callable[[Sequence[str]], Floats] | None,
        pending: Callable[[], int],
        candidates: int,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self.columns = columns
        self.vectors = vectors
        self.words = words
        self.embed = embed
        self.pending = pending
        self.candidates = candidates
        self.failures = failures
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="carma-words")

    def begin(self, work: Callable[[], Found]) -> Future[Found]:
        """Starts work in another thread; does it at once if the engine was closed meanwhile."""
        try:
            return self.threads.submit(work)
        except RuntimeError:
            return done(work)

    def embedded(self, texts: Sequence[str], reasons: list[str]) -> Floats | None:
        """Vectors of texts, shape (n, d); or None, and a reason more."""
        if self.vectors is None:
            reasons.append("The vector index is unavailable: nothing was searched by meaning.")
            return None
        if self.embed is None:
            reasons.append("There is no embedder: nothing was searched by meaning.")
            return None
        try:
            return np.ascontiguousarray(self.embed(texts), np.float32)
        except self.failures as error:
            reasons.append(f"The query could not be embedded ({error}): nothing was searched by meaning.")
            return None

    def waiting(self) -> list[str]:
        """A reason if some fragments have no vector yet."""
        count = self.pending()
        if not count:
            return []
        some = "1 fragment has" if count == 1 else f"{count} fragments have"
        return [f"{some} no vector yet and can be found by words only."]


def done(work: Callable[[], Found]) -> Future[Found]:
    """Work done here and now, as a future."""
    future: Future[Found] = Future()
    try:
        future.set_result(work())
    except Exception as error:  # whoever asks the future for its result gets it
        future.set_exception(error)
    return future
