"""Qdrant's local mode: a NumPy scan over vectors in memory, points pickled into SQLite one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qdrant_client import QdrantClient, models

from bench.peers.peer import Peer, Row, Vectors


class QdrantPeer(Peer):
    name = "qdrant"
    promise = "one synced SQLite transaction per point"
    syncs = True
    index = "none: exact scan in NumPy; filled in memory, since its disk mode takes about 60 points a second"

    def open(self, folder: Path, dimension: int, *, memory: bool = False) -> None:
        self._dimension = dimension
        self._client = QdrantClient(":memory:") if memory else QdrantClient(path=str(folder))
        if not self._client.collection_exists("memory"):
            space = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
            self._client.create_collection("memory", vectors_config=space)

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        payloads = [{"text": text} for text in texts]
        batch = models.Batch(ids=list(ids), vectors=vectors.tolist(), payloads=payloads)
        self._client.upsert("memory", batch)

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        points = self._client.query_points("memory", query=vector, limit=k, with_payload=False).points
        return [_plain(point.id) for point in points], [point.score for point in points]

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        points = self._client.query_points("memory", query=vector, limit=k).points
        return [_plain(point.id) for point in points], [point.payload["text"] for point in points]

    def read(self, ids: Sequence[str]) -> list[Row]:
        return self._rows(self._client.retrieve("memory", list(ids)))

    def everything(self, most: int) -> list[Row]:
        return self._rows(self._client.scroll("memory", limit=most)[0])

    def _rows(self, points: Sequence[models.Record]) -> list[Row]:
        return [Row(_plain(point.id), point.payload["text"]) for point in points]

    def close(self) -> None:
        self._client.close()


class QdrantInMemory(QdrantPeer):
    """The same engine without its disk, for the query measurements."""

    def open(self, folder: Path, dimension: int, *, memory: bool = True) -> None:
        super().open(folder, dimension, memory=memory)


def _plain(identity: object) -> str:
    return str(identity).replace("-", "")
