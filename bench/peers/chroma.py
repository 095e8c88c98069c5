"""Chroma, persistent client, HNSW in cosine space with its default construction settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import chromadb
from chromadb.config import Settings

from bench.peers.peer import Peer, Row, Vectors


class ChromaPeer(Peer):
    name = "chroma"
    promise = "one SQLite transaction per call, synced; the HNSW file is written every 1,000 vectors"
    syncs = True
    efforts: ClassVar[tuple[Any, ...]] = (10, 20, 30, 40, 70, 100, 200)
    space: ClassVar[dict[str, Any]] = {"space": "cosine"}
    index = "HNSW, M 16, ef_construction 100 (its defaults), ef_search tuned"

    def open(self, folder: Path, dimension: int) -> None:
        self._client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        self._collection = self._client.get_or_create_collection(
            "memory",
            embedding_function=None,
            configuration={"hnsw": self.space},
        )

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        self._collection.add(ids=list(ids), documents=list(texts), embeddings=vectors)

    def set_effort(self, effort: Any) -> None:
        # Takes effect only if it comes before the first query of a process.
        self._collection.modify(configuration={"hnsw": {"ef_search": effort}})

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        found = self._collection.query(query_embeddings=vector[None], n_results=k, include=["distances"])
        return found["ids"][0], found["distances"][0]

    def query_many(self, vectors: Vectors, k: int) -> Sequence[Sequence[str]]:
        ids: Sequence[Sequence[str]] = self._collection.query(
            query_embeddings=vectors, n_results=k, include=["distances"]
        )["ids"]
        return ids

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        found = self._collection.query(query_embeddings=vector[None], n_results=k, include=["documents"])
        return found["ids"][0], found["documents"][0]

    def read(self, ids: Sequence[str]) -> list[Row]:
        return self._rows(self._collection.get(ids=list(ids), include=["documents"]))

    def everything(self, most: int) -> list[Row]:
        return self._rows(self._collection.get(include=["documents"], limit=most))

    def _rows(self, found: Any) -> list[Row]:
        return [Row(*row) for row in zip(found["ids"], found["documents"], strict=True)]

    def close(self) -> None:
        del self._collection
        del self._client


class ChromaWritten(ChromaPeer):
    """Writes its HNSW file every 100 vectors, and so has one with 500; the default is every 1,000."""

    space: ClassVar[dict[str, Any]] = {"space": "cosine", "batch_size": 50, "sync_threshold": 100}
