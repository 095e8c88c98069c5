"""mem0 with `infer=False` and its FAISS vector store (a flat index, exact, in cosine space); no language
model is called.

mem0 has no call that takes vectors, so `add` hands them to the vector store that its `add` would call.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("MEM0_TELEMETRY", "False")
os.environ.setdefault("OPENAI_API_KEY", "unused")
os.environ.setdefault("MEM0_DIR", os.path.join(tempfile.gettempdir(), "carma-bench-mem0"))

from mem0 import Memory
from mem0.embeddings.base import EmbeddingBase

from bench.peers.peer import Embed, Peer, Row, Vectors

logging.getLogger("mem0").setLevel(logging.ERROR)
USER = "bench"


class Mem0Peer(Peer):
    name = "mem0"
    promise = "index and texts rewritten whole at every call, not synced; only its SQLite history is synced"
    syncs = False
    index = "FAISS flat, exact"

    def open(self, folder: Path, dimension: int) -> None:
        store = {
            "path": str(folder / "faiss"),
            "collection_name": "memory",
            "embedding_model_dims": dimension,
            "distance_strategy": "cosine",
        }
        self._memory = Memory.from_config(
            {
                "vector_store": {"provider": "faiss", "config": store},
                "history_db_path": str(folder / "history.db"),
            }
        )
        self._memory.embedding_model = _Embedding(self)

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        payloads = [{"data": text, "user_id": USER} for text in texts]
        self._memory.vector_store.insert(vectors.tolist(), payloads, list(ids))

    def load(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        self.add(ids, texts, vectors)

    def add_texts(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        for identity, text in zip(ids, texts, strict=True):
            self._memory.add(text, user_id=USER, infer=False, metadata={"key": identity})

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        found = self._memory.vector_store.search(query="", vectors=vector, top_k=k)
        return [hit.id for hit in found], [hit.score for hit in found]

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        found = self._memory.vector_store.search(query="", vectors=vector, top_k=k)
        return [hit.id for hit in found], [hit.payload["data"] for hit in found]

    def query_text(self, text: str, k: int) -> Sequence[str]:
        found = self._memory.search(text, filters={"user_id": USER}, top_k=k, threshold=0.0)["results"]
        return [(hit.get("metadata") or {}).get("key", hit["id"]) for hit in found]

    def read(self, ids: Sequence[str]) -> list[Row]:
        found = [self._memory.get(identity) for identity in ids]
        return [Row(item["id"], item["memory"]) for item in found if item is not None]

    def everything(self, most: int) -> list[Row]:
        found = self._memory.get_all(filters={"user_id": USER}, top_k=most)["results"]
        return [Row(item["id"], item["memory"]) for item in found]

    def close(self) -> None:
        self._memory.db.close()


class _Embedding(EmbeddingBase):  # type: ignore[misc]
    """The embedder of the measurement, in mem0's own interface."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(None)
        self._peer = peer

    def embed(self, text: str, memory_action: Any = None) -> list[float]:
        embed: Embed | None = self._peer.embed
        assert embed is not None
        vector: list[float] = np.asarray(embed([text])[0]).tolist()
        return vector
