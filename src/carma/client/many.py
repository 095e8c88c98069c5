"""Many reads at once: `get_many` and `search_many` are a request for each, so many at a time and no more.

Answers come in the order of what was asked; of several errors the first in that order is raised, and what was
not sent then is not sent any more. Rejected: an operation of the server for it (it has 17, and a request that
holds a seat for a thousand searches keeps everybody else of that seat waiting).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from carma.errors import InvalidInput
from carma.models import SearchResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from carma.memory.batch import SearchBatch

__all__ = ["batch_of", "each_later", "each_now", "searches"]

T = TypeVar("T")
R = TypeVar("R")


def each_now(call: Callable[[T], R], things: Iterable[T], at_once: int) -> list[R]:
    """The call for each thing, by so many threads at most."""
    wanted = list(things)
    if len(wanted) < 2:
        return [call(each) for each in wanted]
    with ThreadPoolExecutor(min(at_once, len(wanted)), "carma-client") as pool:
        futures = [pool.submit(call, each) for each in wanted]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


async def each_later(call: Callable[[T], Awaitable[R]], things: Iterable[T], at_once: int) -> list[R]:
    """The call for each thing, so many at a time."""
    turn = asyncio.Semaphore(at_once)

    async def one(thing: T) -> R:
        async with turn:
            return await call(thing)

    tasks = [asyncio.ensure_future(one(each)) for each in things]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def searches(queries: Any, mode: str) -> list[dict[str, Any]]:
    """What each query asks, as arguments of `search`. Raises InvalidInput."""
    if not hasattr(queries, "shape"):
        return [{"query": each, "mode": mode} for each in queries]
    if mode != "vector":
        raise InvalidInput(f'mode "{mode}" needs the texts of the queries, not vectors')
    if len(queries.shape) != 2:
        raise InvalidInput("Vectors of queries are an array of shape (queries, dimension).")
    return [{"vector": each, "mode": mode} for each in queries]


def batch_of(results: Sequence[SearchResult], limit: int) -> SearchBatch:
    """Results as `Memory.search_many` gives them; what was found is here already."""
    import numpy as np

    from carma.memory.batch import SearchBatch

    hits = [hit for result in results for hit in result.hits]
    rows = np.full((len(results), limit), -1, np.int64)
    scores = np.full((len(results), limit), np.nan, np.float32)
    begin = 0
    for at, result in enumerate(results):
        count = len(result.hits)
        rows[at, :count] = range(begin, begin + count)
        scores[at, :count] = [hit.score for hit in result.hits]
        begin += count

    def ids(found: NDArray[np.int64]) -> list[str]:
        return [hits[row].fragment.id for row in found]

    def texts(found: NDArray[np.int64]) -> list[str | None]:
        return [None if hits[row].state == "blank" else hits[row].text for row in found]

    def result_of(found: NDArray[np.int64], _: NDArray[np.float32], reasons: tuple[str, ...]) -> SearchResult:
        shown = tuple(hits[row] for row in found)
        return SearchResult(hits=shown, degraded=bool(reasons), reasons=reasons, took_ms=0.0)

    reasons = tuple(dict.fromkeys(reason for result in results for reason in result.reasons))
    return SearchBatch(rows, scores, reasons, ids, texts, result_of)
