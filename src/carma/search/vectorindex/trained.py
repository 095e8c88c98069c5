"""The trained part: an inverted file with 4-bit product codes (FAISS "fast scan"), re-ranked with float16
vectors.

A search scans the codes of the nearest inverted lists, takes the best candidates and compares those with the
float16 vectors; its scores are inner products to within 1e-4. The part never changes while it is searched,
but for one bit per vector: `alive`. FAISS asks it for every vector that would become a candidate, so a
removed one is out at once and does not take the place of another.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from carma.search.vectorindex.plan import Plan
from carma.search.vectorindex.scan import Floats, Ints, pointer

__all__ = ["TrainedPart", "codes_of", "float16_store"]

Bytes = NDArray[np.uint8]


def float16_store(dimension: int, count: int = 0) -> Any:
    """A FAISS store of float16 vectors with room for `count`; `codes_of` it are to be filled."""
    store = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    if count:
        store.codes.resize(count * store.code_size)
        store.ntotal = count
    return store


def codes_of(store: Any) -> Bytes:
    """The memory in which a store keeps its vectors, as bytes; the store must outlive it and stay as long as
    it is.
    """
    codes: Bytes = faiss.rev_swig_ptr(store.codes.data(), store.codes.size())
    return codes


class TrainedPart:
    """A trained index over `rows`; only `remove` changes it, under the caller's lock.

    Args:
        base: the FAISS index that finds candidates: inverted lists behind a projection.
        store: the float16 vectors, in the same order.
        rows: the row of every position, shape (n,).
        plan: how it is searched.
        trained_on: how many vectors there were when it was trained.
        alive: a bit per position, or None for all.
    """

    def __init__(
        self, base: Any, store: Any, rows: Ints, plan: Plan, trained_on: int, alive: Bytes | None = None
    ) -> None:
        assert base.ntotal == store.ntotal == len(rows), (base.ntotal, store.ntotal, len(rows))
        self.base = base
        self.store = store
        self.rows = rows
        self.plan = plan
        self.trained_on = trained_on
        self.alive: Bytes = (
            np.packbits(np.ones(len(rows), bool), bitorder="little") if alive is None else alive
        )
        self.dead = len(rows) - int(np.bitwise_count(self.alive).sum())
        self._refine = faiss.IndexRefine(base, store)
        self._alive_selector = faiss.IDSelectorBitmap(self.alive)
        self._parameters: dict[int, Any] = {}
        self.codes = codes_of(store)

    def __len__(self) -> int:
        """Vectors that are not removed."""
        return len(self.rows) - self.dead

    def remove(self, positions: Ints) -> None:
        """Clear the bit of positions that are alive."""
        np.bitwise_and.at(self.alive, positions >> 3, ~(np.uint8(1) << (positions & 7).astype(np.uint8)))
        self.dead += len(positions)

    def alive_mask(self) -> NDArray[np.bool_]:
        """Whether each position is alive, shape (n,)."""
        return np.unpackbits(self.alive, count=len(self.rows), bitorder="little").view(np.bool_)

    def rows_alive(self) -> Ints:
        """The rows that are not removed, in the order of their positions."""
        return self.rows[self.alive_mask()]

    def vectors(self, positions: Ints) -> Floats:
        """The vectors at `positions`, shape (n, d), as float32."""
        halves = self.codes.view(np.float16).reshape(len(self.rows), self.store.d)
        return halves[positions].astype(np.float32)

    def search(self, queries: Floats, k: int, positions: Ints, scores: Floats) -> None:
        """Write the `k` nearest of each query into the contiguous arrays; positions are padded with -1."""
        parameters = self._parameters.get(k) or self._remember(k)
        self._refine.search_c(
            len(queries), pointer(queries), k, pointer(scores), pointer(positions), parameters
        )
        short = positions[0, -1] < 0 if len(positions) == 1 else positions[:, -1].min() < 0
        if short and len(self) > 0:
            self._complete(queries, k, self._alive_selector, positions, scores)

    def search_allowed(
        self, queries: Floats, k: int, allowed: NDArray[np.bool_], out: tuple[Ints, Floats]
    ) -> None:
        """As `search`, over the positions that `allowed` (shape (n,)) names and that are alive."""
        positions, scores = out
        chosen = np.packbits(allowed, bitorder="little") & self.alive
        count = int(np.bitwise_count(chosen).sum())
        selector = faiss.IDSelectorBitmap(chosen)
        if count <= self.plan.exact_at_most(len(self.rows)):
            self._exact(queries, k, selector, positions, scores)
            return
        parameters = self._make_parameters(k, selector, count / len(self.rows))
        self._refine.search_c(
            len(queries), pointer(queries), k, pointer(scores), pointer(positions), parameters
        )
        if positions[:, -1].min() < 0:
            self._complete(queries, k, selector, positions, scores)

    def _complete(self, queries: Floats, k: int, selector: Any, positions: Ints, scores: Floats) -> None:
        """Search exactly for the queries whose inverted lists held fewer than `k` results."""
        short = np.flatnonzero(positions[:, -1] < 0)
        found, values = np.empty((len(short), k), np.int64), np.empty((len(short), k), np.float32)
        self._exact(np.ascontiguousarray(queries[short]), k, selector, found, values)
        positions[short], scores[short] = found, values

    def _exact(self, queries: Floats, k: int, selector: Any, positions: Ints, scores: Floats) -> None:
        parameters = faiss.SearchParameters(sel=selector)
        self.store.search_c(
            len(queries), pointer(queries), k, pointer(scores), pointer(positions), parameters
        )

    def _remember(self, k: int) -> Any:
        if len(self._parameters) >= 64:
            self._parameters = {}
        parameters = self._make_parameters(k, self._alive_selector, 1.0)
        self._parameters[k] = parameters
        return parameters

    def _make_parameters(self, k: int, selector: Any, share: float) -> Any:
        lists = faiss.SearchParametersIVF(sel=selector, nprobe=self.plan.probes_for(k, share))
        projected = faiss.SearchParametersPreTransform(index_params=lists)
        return faiss.IndexRefineSearchParameters(
            k_factor=self.plan.factor_for(k), base_index_params=projected
        )
