"""FAISS alone, with the very index that CARMA trains: the limit. Rows and vectors only; nothing durable,
nothing checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.peers.peer import Peer, Vectors
from carma.config import Settings
from carma.search.vectorindex.plan import plan_for
from carma.search.vectorindex.train import Gathered, train


class FaissPeer(Peer):
    name = "faiss"
    promise = "nothing: memory only"
    syncs = False
    index = "flat below 20,000; above, the index CARMA trains, searched with the same probes and candidates"

    def open(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._dimension = dimension
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._parts: list[Vectors] = []
        self._index: Any = None
        self._parameters: Any = None
        if (folder / "index.faiss").exists():
            self._index = faiss.read_index(str(folder / "index.faiss"))
            self._ids, self._texts, probes, factor = json.loads((folder / "rest.json").read_text())
            self._search_with(probes, factor)

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        self._ids.extend(ids)
        self._texts.extend(texts)
        self._parts.append(np.ascontiguousarray(vectors))

    def settle(self) -> None:
        vectors = np.concatenate(self._parts)
        self._parts.clear()
        probes, factor = 0, 0.0
        if len(vectors) < Settings().exact_below:
            self._index = faiss.IndexFlatIP(self._dimension)
            self._index.add(vectors)
        else:
            plan = plan_for(len(vectors), self._dimension)
            part = train(Gathered(np.arange(len(vectors)), vectors.__getitem__), self._dimension, plan)
            self._part = part  # it owns what the index below refers to
            self._index = faiss.IndexRefine(part.base, part.store)
            self._ids = [self._ids[row] for row in part.rows]
            self._texts = [self._texts[row] for row in part.rows]
            probes, factor = plan.probes_for(10, 1.0), plan.factor_for(10)
        self._search_with(probes, factor)
        faiss.write_index(self._index, str(self._folder / "index.faiss"))
        rest = json.dumps([self._ids, self._texts, probes, factor])
        (self._folder / "rest.json").write_text(rest)

    def _search_with(self, probes: int, factor: float) -> None:
        if probes:
            base = faiss.downcast_index(self._index.base_index)
            inner = faiss.SearchParametersIVF(nprobe=probes)
            if isinstance(base, faiss.IndexPreTransform):
                inner = faiss.SearchParametersPreTransform(index_params=inner)
            self._parameters = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        scores, rows = self._index.search(vector[None], k, params=self._parameters)
        return [self._ids[row] for row in rows[0].tolist()], scores[0].tolist()

    def query_many(self, vectors: Vectors, k: int) -> Any:
        return self._index.search(vectors, k, params=self._parameters)

    def ids_at(self, answers: Any, number: int) -> Sequence[str]:
        return [self._ids[row] for row in answers[1][number].tolist()]

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        rows = self._index.search(vector[None], k, params=self._parameters)[1][0].tolist()
        return [self._ids[row] for row in rows], [self._texts[row] for row in rows]

    def close(self) -> None:
        self._index = None
