"""LangGraph's SqliteStore with its sqlite-vec index (an exact scan in SQL).

The store takes texts and embeds them itself; given vectors reach it through an embedding function that looks
them up. It wants a SQLite that can load extensions, which `pysqlite3` brings along.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pysqlite3
from langgraph.store.base import PutOp
from langgraph.store.sqlite import SqliteStore

from bench.peers.peer import Peer, Row, Vectors

SPACE = ("memory",)


class LangGraphPeer(Peer):
    name = "langgraph"
    promise = "one SQLite transaction per call, synced"
    syncs = True
    index = "none: exact scan by sqlite-vec"

    def open(self, folder: Path, dimension: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, list[float]] = {}
        connection = pysqlite3.connect(
            str(folder / "store.db"), check_same_thread=False, isolation_level=None
        )
        index = {"dims": dimension, "embed": self._vectors, "fields": ["text"]}
        self._store = SqliteStore(connection, index=index)
        self._store.setup()

    def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        plain = [_text(text) for text in texts]
        missing = [text for text in plain if text not in self._known]
        if missing:
            assert self.embed is not None
            found = dict(zip(missing, self.embed(missing).tolist(), strict=True))
        else:
            found = {}
        return [found.get(text) or self._known[text] for text in plain]

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        self._known.update(zip(texts, vectors.tolist(), strict=True))
        self.add_texts(ids, texts)
        for text in texts:
            self._known.pop(text, None)

    def add_texts(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self._store.batch([PutOp(SPACE, key, {"text": text}) for key, text in zip(ids, texts, strict=True)])

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        found = self._search(vector, k)
        return [item.key for item in found], [item.score for item in found]

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        found = self._search(vector, k)
        return [item.key for item in found], [item.value["text"] for item in found]

    def query_text(self, text: str, k: int) -> Sequence[str]:
        return [item.key for item in self._store.search(SPACE, query=text, limit=k)]

    def _search(self, vector: Vectors, k: int) -> list:  # type: ignore[type-arg]
        self._known["query"] = vector.tolist()
        return self._store.search(SPACE, query="query", limit=k)

    def read(self, ids: Sequence[str]) -> list[Row]:
        found = [self._store.get(SPACE, key) for key in ids]
        return [Row(item.key, item.value["text"]) for item in found if item is not None]

    def everything(self, most: int) -> list[Row]:
        return [Row(item.key, item.value["text"]) for item in self._store.search(SPACE, limit=most)]

    def close(self) -> None:
        self._store.conn.close()


def _text(given: str) -> str:
    """The text itself: the store hands a whole value over as JSON where a field is not found."""
    if given.startswith('{"text":'):
        text: str = json.loads(given)["text"]
        return text
    return given
