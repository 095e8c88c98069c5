"""LanceDB, embedded, with an IVF_HNSW_SQ index (the quickest of its kinds here at this recall) and its own
word index.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("LANCE_LOG", "error")

import lancedb
import pyarrow as pa
from lancedb.rerankers import RRFReranker

from bench.peers.peer import Peer, Row, Vectors


class LancePeer(Peer):
    name = "lancedb"
    promise = "files written and renamed, never synced: an acknowledged write may be lost when power fails"
    syncs = False
    efforts: ClassVar[tuple[Any, ...]] = ((5, None), (20, None), (5, 2), (20, 2), (20, 5), (50, 10))
    index = "IVF_HNSW_SQ, nprobes and refine_factor tuned"

    def open(self, folder: Path, dimension: int) -> None:
        self._dimension = dimension
        self._schema = pa.schema(
            [
                ("id", pa.string()),
                ("text", pa.string()),
                ("vector", pa.list_(pa.float32(), dimension)),
            ]
        )
        self._database = lancedb.connect(str(folder))
        self._table = self._database.create_table("memory", schema=self._schema, exist_ok=True)
        self._effort: tuple[int, int | None] = self.efforts[-1]
        self._reranker = RRFReranker()

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self._dimension)
        self._table.add(pa.table([pa.array(ids), pa.array(texts), column], schema=self._schema))

    def load(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        for start in range(0, len(ids), 10_000):
            stop = start + 10_000
            self.add(ids[start:stop], texts[start:stop], vectors[start:stop])

    def settle(self) -> None:
        if self._table.count_rows() >= 5_000:
            self._table.create_index(metric="cosine", index_type="IVF_HNSW_SQ", vector_column_name="vector")
        self._table.create_fts_index("text", replace=True)

    def set_effort(self, effort: Any) -> None:
        self._effort = effort

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        found = self._search(vector, k, ["id", "_distance"]).to_arrow()
        return found.column("id").to_pylist(), found.column("_distance").to_pylist()

    def query_many(self, vectors: Vectors, k: int) -> Sequence[Sequence[str]]:
        found = self._search(vectors, k, ["id", "_distance", "query_index"]).to_arrow()
        answers: list[list[str]] = [[] for _ in range(len(vectors))]
        for which, identity in zip(found["query_index"].to_pylist(), found["id"].to_pylist(), strict=True):
            answers[which].append(identity)
        return answers

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        found = self._search(vector, k, ["id", "text", "_distance"]).to_arrow()
        return found.column("id").to_pylist(), found.column("text").to_pylist()

    def query_text(self, text: str, k: int) -> Sequence[str]:
        assert self.embed is not None
        probes, refine = self._effort
        search = self._table.search(query_type="hybrid").vector(self.embed([text])[0]).text(text)
        search = search.distance_type("cosine").nprobes(probes).rerank(self._reranker).limit(k)
        if refine:
            search = search.refine_factor(refine)
        ids: Sequence[str] = search.to_arrow().column("id").to_pylist()
        return ids

    def read(self, ids: Sequence[str]) -> list[Row]:
        wanted = ", ".join(f"'{identity}'" for identity in ids)
        search = self._table.search().where(f"id IN ({wanted})").select(["id", "text"]).limit(len(ids) + 1)
        return self._rows(search.to_arrow())

    def everything(self, most: int) -> list[Row]:
        return self._rows(self._table.search().select(["id", "text"]).limit(most).to_arrow())

    def _rows(self, table: pa.Table) -> list[Row]:
        return [Row(row["id"], row["text"]) for row in table.to_pylist()]

    def _search(self, vectors: Vectors, k: int, columns: list[str]) -> Any:
        probes, refine = self._effort
        search = self._table.search(vectors).distance_type("cosine").nprobes(probes).limit(k).select(columns)
        return search.refine_factor(refine) if refine else search

    def close(self) -> None:
        del self._table
        del self._database
