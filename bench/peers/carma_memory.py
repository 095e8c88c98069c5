"""CARMA as it ships, through `carma.memory.Memory`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.peers.peer import Peer, Row, Vectors
from carma import AsyncMemory, Memory
from carma.config import Settings
from carma.errors import FragmentNotFound


class CarmaPeer(Peer):
    name = "carma"
    promise = (
        "record in segment and mirror, both synced (group commit), findable by words and by the given vector"
    )
    syncs = True
    settings: ClassVar[Settings] = Settings()
    index = (
        "exact below 20,000; above, inverted lists, 4-bit product codes, exact re-rank, scan of what is newer"
    )

    def open(self, folder: Path, dimension: int) -> None:
        self.memory = Memory.open(folder, settings=self.settings)

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        self.memory.add_many(
            {"id": identity, "text": text, "vector": vector}
            for identity, text, vector in zip(ids, texts, vectors, strict=True)
        )

    def add_from_tasks(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, writers: int
    ) -> None:
        """The rows, added one at a time by `writers` asyncio tasks that share them evenly."""
        memory = AsyncMemory(self.memory)

        async def write(rows: range) -> None:
            for row in rows:
                await memory.add(texts[row], id=ids[row], vector=vectors[row])

        async def everyone() -> None:
            await asyncio.gather(*(write(range(first, len(ids), writers)) for first in range(writers)))

        asyncio.run(everyone())

    def add_texts(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self.memory.add_many(
            {"id": identity, "text": text} for identity, text in zip(ids, texts, strict=True)
        )

    def await_searchable(self) -> None:
        if not self.memory.flush(600):
            raise TimeoutError("flush did not end within 600 s")

    def settle(self) -> None:
        self.await_searchable()
        self.memory.rest()

    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        found = self.memory.search_many(vector[None], limit=k)
        return found.ids(0), found.scores[0]

    def query_many(self, vectors: Vectors, k: int) -> Any:
        return self.memory.search_many(vectors, limit=k)

    def ids_at(self, answers: Any, number: int) -> Sequence[str]:
        ids: Sequence[str] = answers.ids(number)
        return ids

    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        found = self.memory.search_many(vector[None], limit=k)
        texts = [text for text in found.texts(0) if text is not None]
        if len(texts) != k:
            raise AssertionError("a fragment was not intact")
        return found.ids(0), texts

    def query_text(self, text: str, k: int) -> Sequence[str]:
        result = self.memory.search(text, limit=k)
        if result.degraded:
            raise AssertionError(f"degraded: {result.reasons}")
        return [hit.id for hit in result.hits]

    def read(self, ids: Sequence[str]) -> list[Row]:
        rows = []
        for identity in ids:
            try:
                found = self.memory.get(identity)
            except FragmentNotFound:
                continue
            rows.append(Row(found.id, found.text, found.state))
        return rows

    def everything(self, most: int) -> list[Row]:
        return [Row(each.id, each.text, each.state) for each in self.memory.list(limit=most)]

    def find(self, vector: Vectors, k: int) -> tuple[list[Row], bool]:
        found = self.memory.search(vector=vector, mode="vector", limit=k)
        return [Row(hit.id, hit.text, hit.state) for hit in found], found.degraded

    def complaints(self) -> list[str]:
        return [f"{finding['subject']}: {finding['what']}" for finding in self.memory.doctor()]

    def heal(self) -> dict[str, Any] | None:
        seen = self.memory.scan(deep=True)
        return {"scan": seen.to_dict(), "dream": self.memory.dream().to_dict()}

    def close(self) -> None:
        self.memory.close()


class CarmaAtRest(CarmaPeer):
    """Without the files that, once replaced, stay ten minutes for other readers: no more than a memory keeps
    for good.
    """

    settings: ClassVar[Settings] = Settings(linger_s=0.0)

    def await_searchable(self) -> None:
        super().await_searchable()
        self.memory.rest()  # Spreads the log.
        self.memory.rest()  # Removes what was spread.
