"""Real paragraphs with their vectors, and held-out queries: made once on the machine at hand, then kept.

A corpus is a folder: `texts.jsonl` and `queries.jsonl` (one JSON string a line), `vectors.npy` and
`query_vectors.npy` (float32, L2-normalised). Nothing of it is part of the project; `python -m bench.corpus`
makes it from the documentation found on the machine (see `bench.collect`), embeds it with the packaged
MiniLM and keeps it under `bench/out/corpus`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

QUERIES = 2_000
EMBED_AT_ONCE = 2_048
BASE_TIME_MS = 0x0190_0000_0000


class CorpusMissing(Exception):
    """There is no corpus in the folder, or the machine has too little documentation to make one."""


@dataclass(frozen=True)
class Corpus:
    """The corpus in a folder; texts are read when asked for, vectors are mapped."""

    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Corpus:
        """The corpus in `folder`. Raises CorpusMissing."""
        for name in ("texts.jsonl", "queries.jsonl", "vectors.npy", "query_vectors.npy"):
            if not (folder / name).exists():
                raise CorpusMissing(
                    f"{folder / name} is missing: run `python -m bench.corpus --out {folder}`"
                )
        return cls(folder)

    @cached_property
    def texts(self) -> list[str]:
        """The paragraphs."""
        return _read_lines(self.folder / "texts.jsonl")

    @cached_property
    def queries(self) -> list[str]:
        """Paragraphs that are not among the texts."""
        return _read_lines(self.folder / "queries.jsonl")

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Shape (texts, dimension)."""
        return np.load(self.folder / "vectors.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @cached_property
    def query_vectors(self) -> npt.NDArray[np.float32]:
        """Shape (queries, dimension)."""
        return np.load(self.folder / "query_vectors.npy")  # type: ignore[no-any-return]

    @cached_property
    def digest(self) -> str:
        """Of the first vectors: stores filled from another corpus are told apart by it."""
        return hashlib.blake2b(np.ascontiguousarray(self.vectors[:500]).tobytes(), digest_size=8).hexdigest()

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return int(self.vectors.shape[1])

    def slice(self, start: int, stop: int) -> tuple[list[str], list[str], npt.NDArray[np.float32]]:
        """Ids, texts and vectors of some rows; rows past the end are synthetic (see `synthetic`)."""
        ids = [identity(row) for row in range(start, stop)]
        real = len(self.texts)
        if stop <= real:
            return ids, self.texts[start:stop], np.ascontiguousarray(self.vectors[start:stop])
        rows = np.arange(start, stop)
        texts = [
            f"{self.texts[row % real]} ({row // real})" if row >= real else self.texts[row] for row in rows
        ]
        return ids, texts, synthetic(self.vectors, start, stop)

    def nearest(self, size: int, count: int, k: int = 10) -> npt.NDArray[np.int64]:
        """The exact `k` nearest rows among the first `size`, for the first `count` queries; computed once
        and kept.
        """
        path = self.folder / f"nearest-{size}-{count}-{k}.npy"
        if path.exists():
            return np.load(path)  # type: ignore[no-any-return]
        queries = self.query_vectors[:count]
        best = np.full((count, k), -np.inf, np.float32)
        rows = np.zeros((count, k), np.int64)
        for start in range(0, size, 50_000):
            block = self.slice(start, min(size, start + 50_000))[2]
            scores = np.concatenate([best, queries @ block.T], axis=1)
            ids = np.concatenate(
                [rows, np.broadcast_to(np.arange(start, start + len(block)), (count, len(block)))], axis=1
            )
            top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            best, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(ids, top, 1)
        np.save(path, rows)
        return rows


def identity(row: int) -> str:
    """The fragment id of a row: 32 hexadecimal digits in the layout of UUID version 7, growing with the
    row.
    """
    return f"{BASE_TIME_MS + row:012x}70008000{row:012x}"


def row_of(identity: str) -> int:
    """The row that an id names."""
    return int(identity[-12:], 16)


def synthetic(vectors: npt.NDArray[np.float32], start: int, stop: int) -> npt.NDArray[np.float32]:
    """Vectors of rows `start` to `stop`: real ones first, then each real one again with noise, normalised.

    Drawn block by block of 10,000 rows with the block's number as the seed, so any slice is always the same.
    The noise (0.03 per dimension, cosine to its origin about 0.86) keeps the clusters of real text, which
    pure noise has not.
    """
    real, dimension = vectors.shape
    out = np.empty((stop - start, dimension), np.float32)
    for block in range(start // 10_000, (stop - 1) // 10_000 + 1):
        low, high = max(start, block * 10_000), min(stop, (block + 1) * 10_000)
        rows = np.arange(low, high)
        part = np.array(vectors[rows % real])
        if high > real:
            noise = np.random.default_rng(block).standard_normal((10_000, dimension), np.float32)
            part += (
                np.float32(0.03) * noise[rows - block * 10_000] * (rows >= real)[:, None].astype(np.float32)
            )
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        out[low - start : high - start] = part
    return out


def make(folder: Path, size: int, *, threads: int = 2) -> Corpus:
    """Collects, embeds and writes a corpus of `size` texts; about four minutes for 100,000 on two cores."""
    from bench.collect import collect
    from bench.embedders import make_embedder

    paragraphs = collect(size + QUERIES)
    if len(paragraphs) < size + QUERIES:
        raise CorpusMissing(
            f"This machine's documentation gave {len(paragraphs)} paragraphs; {size + QUERIES} are needed. "
            "Install more of it (man pages, info, -doc packages) or measure with a smaller --size."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("nearest-*.npy"):
        stale.unlink()
    embed: Any = make_embedder("packaged")
    for name, texts in (("query", paragraphs[:QUERIES]), ("", paragraphs[QUERIES : QUERIES + size])):
        vectors = np.lib.format.open_memmap(
            folder / (f"{name}_vectors.npy" if name else "vectors.npy"),
            "w+",
            np.float32,
            (len(texts), embed(["a"]).shape[1]),
        )
        order = np.argsort([len(text) for text in texts])
        for start in range(0, len(order), EMBED_AT_ONCE):
            rows = order[start : start + EMBED_AT_ONCE]
            vectors[rows] = embed([texts[row] for row in rows])
        vectors.flush()
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        (folder / ("queries.jsonl" if name else "texts.jsonl")).write_text(lines, encoding="utf-8")
    return Corpus.read(folder)


def _read_lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    """Makes the corpus if it is not there."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpus", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("bench/out/corpus"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    try:
        corpus = Corpus.read(arguments.out)
    except CorpusMissing:
        corpus = make(arguments.out, arguments.size)
    print(f"{len(corpus.texts)} texts in {arguments.out}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
