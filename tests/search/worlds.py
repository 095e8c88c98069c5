"""Small memories for the tests of the search: columns, vectors and words over the same fragments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from carma.search.columns import Columns, Entry
from carma.search.wordindex import WordIndex
from carma.store.schema import SCHEMA

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def fragment_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Vectors:
    """An exact vector index over rows; rows without a vector are NaN."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix.astype(np.float32)

    def search(self, query: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        cosines = self.matrix @ query
        good = ~np.isnan(cosines)
        if allowed is not None:
            good &= allowed
        rows = np.flatnonzero(good)
        rows = rows[np.argsort(-cosines[rows], kind="stable")][:k]
        return rows.astype(np.int64), cosines[rows]

    def search_batch(self, queries: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), np.nan, np.float32)
        for i, query in enumerate(queries):
            found, cosines = self.search(query, k, allowed=allowed)
            rows[i, : len(found)], scores[i, : len(found)] = found, cosines
        return rows, scores

    def similarities(self, query: Floats, rows: Ints) -> Floats:
        return np.asarray(self.matrix[rows] @ query)

    def vectors(self, rows: Ints) -> Floats:
        return np.asarray(self.matrix[rows])


class Registry:
    """The registry's real schema, in memory."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.execute(SCHEMA)

    @contextlib.contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        yield self.db

    def write(self, seq: int, text: str) -> None:
        self.db.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (seq, text))


def bag(text: str) -> Floats:
    """A vector of a text: one direction per word it has, so that texts that share words are close."""
    vector = np.zeros(512, np.float32)
    for word in text.lower().replace("?", " ").replace(".", " ").split():
        vector[sum(word.encode()) * 31 % 512] += 1.0
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def embed(texts: Sequence[str]) -> Floats:
    return np.stack([bag(text) for text in texts])


class World:
    """Fragments with parents, as (text, number of the parent or None); numbered from 1."""

    def __init__(self, *fragments: tuple[str, int | None]) -> None:
        self.columns = Columns()
        self.registry = Registry()
        self.texts = [text for text, _ in fragments]
        self.columns.append(
            [
                Entry(seq, fragment_id(seq), fragment_id(parent) if parent else None, float(seq))
                for seq, (_, parent) in enumerate(fragments, 1)
            ]
        )
        for seq, text in enumerate(self.texts, 1):
            self.registry.write(seq, text)
        self.vectors = Vectors(embed(self.texts) if self.texts else np.empty((0, 512), np.float32))
        self.words = WordIndex(self.registry.reader)
