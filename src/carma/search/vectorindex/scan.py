"""Exact top-k by inner product over float32 arrays, and the threads that batches run on.

FAISS's C++ entry points are called directly: its Python wrappers cost as much as scanning 100 vectors. FAISS
releases the GIL inside, so a batch is cut into parts and each part runs on its own Python thread with OpenMP
set to one thread: OpenMP's own team would be process-wide, and would compete with searches of other threads.
`omp_set_num_threads` concerns only the calling thread, so a host program that uses FAISS itself is not
disturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_QUERIES", "Floats", "Ints", "Threads", "one_thread", "pointer", "scan"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

pointer: Callable[[NDArray[Any]], Any] = faiss.swig_ptr
"""The address of an array, for FAISS; the array must outlive the call."""

BLOCK_QUERIES = 256
"""Queries handed to FAISS at once: enough for its matrix products, few enough for small buffers."""

# FAISS multiplies matrices only where queries * dimension reaches this, and else compares one by one, which
# takes three times as long. Its own 128,000 would need blocks three times as large, with their buffers.
# It is process-wide, and only ever a matter of speed.
faiss.cvar.distance_compute_blas_threshold = 16_384


class one_thread:  # noqa: N801  # used as a function
    """OpenMP uses one thread in calls from this Python thread; restored afterwards.

    Also needed for a single query: FAISS starts its team for that too, and on a busy machine its waiting
    costs more than the search. A class, because a generator would cost a microsecond.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before: int = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        faiss.omp_set_num_threads(self._before)


def scan(queries: Floats, vectors_at: Any, count: int, k: int, selector: Any = None) -> tuple[Ints, Floats]:
    """The `k` vectors nearest to each query, by inner product, exactly.

    Args:
        queries: contiguous, shape (m, d).
        vectors_at: `pointer` of a contiguous float32 array of at least `count` rows of length d.
        count: how many of them are scanned.
        k: at least 1.
        selector: a FAISS IDSelector over positions, or None for all. Vectors that are NaN are never chosen.

    Returns:
        Positions (m, k), padded with -1, and scores (m, k), best first; the scores of padding are not
        defined.
    """
    m, d = queries.shape
    positions = np.empty((m, k), np.int64)
    scores = np.empty((m, k), np.float32)
    faiss.knn_inner_product(
        pointer(queries), vectors_at, d, m, count, k, pointer(scores), pointer(positions), selector
    )
    return positions, scores


class Threads:
    """Runs a batch in parts, on at most `threads` threads; the calling thread takes a part itself."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._size = 0

    def run(self, work: Callable[[int, int], None], count: int, threads: int) -> None:
        """Call `work(start, stop)` over `count` items, in blocks of at most `BLOCK_QUERIES`.

        Raises: whatever `work` raises.
        """
        threads = max(1, min(threads, -(-count // 2)))
        edges = [count * i // threads for i in range(threads + 1)]
        others = [
            self._executor(threads - 1).submit(_in_blocks, work, edges[i], edges[i + 1])
            for i in range(1, threads)
        ]
        try:
            _in_blocks(work, edges[0], edges[1])
        finally:
            for other in others:
                other.result()

    def close(self) -> None:
        """End the threads; idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    def _executor(self, size: int) -> ThreadPoolExecutor:
        if self._pool is None or self._size < size:
            # An outgrown pool ends by itself when its last part is done.
            self._pool = ThreadPoolExecutor(size, thread_name_prefix="carma-vectors")
            self._size = size
        return self._pool


def _in_blocks(work: Callable[[int, int], None], start: int, stop: int) -> None:
    with one_thread():
        for begin in range(start, stop, BLOCK_QUERIES):
            work(begin, min(stop, begin + BLOCK_QUERIES))
