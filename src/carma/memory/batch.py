"""The answer to many queries: columns, and hits that are read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from carma.models import SearchResult

__all__ = ["SearchBatch"]


class SearchBatch(Sequence[SearchResult]):
    """Results of `search_many`, one per query.

    scores: float32, shape (queries, limit), best first, NaN where there was nothing more to find.
    degraded, reasons: as in a `SearchResult`, for the whole batch.
    Reading `batch[i]` proves and reads the hits of query i, each time anew.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        reasons: tuple[str, ...],
        ids: Callable[[NDArray[np.int64]], list[str]],
        texts: Callable[[NDArray[np.int64]], list[str | None]],
        result: Callable[[NDArray[np.int64], NDArray[np.float32], tuple[str, ...]], SearchResult],
    ) -> None:
        self.scores = scores
        self.reasons = reasons
        self._rows = rows
        self._ids = ids
        self._texts = texts
        self._result = result

    @property
    def degraded(self) -> bool:
        """Whether an index was unavailable or vectors were pending."""
        return bool(self.reasons)

    def ids(self, index: int) -> list[str]:
        """Ids of the hits of one query, best first, without reading them."""
        rows = self._rows[index]
        return self._ids(rows[rows >= 0])

    def texts(self, index: int) -> list[str | None]:
        """Texts of the hits of one query, best first, proven; None where a text is blank."""
        rows = self._rows[index]
        return self._texts(rows[rows >= 0])

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[SearchResult]: ...
    def __getitem__(self, index: int | slice) -> SearchResult | list[SearchResult]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rows = self._rows[index]
        found = rows >= 0
        return self._result(rows[found], self.scores[index][found], self.reasons)

    def __iter__(self) -> Iterator[SearchResult]:
        return (self[i] for i in range(len(self)))
