"""Which bits are flipped: seeded, spread evenly over all bytes of one kind of file.

A store's files are taken by kind (its data file, its index, its copy), because a store may cut one kind into
many files: CARMA at rest has up to twenty segments. The rejected way, a fixed number per file, would try such
a store twenty times where another is tried once.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["KINDS", "Flip", "choose", "flip", "kind_of", "sizes"]

KINDS: dict[str, dict[str, str]] = {
    "carma": {
        "segments": "segments/*",
        "mirror": "mirror/*",
        "parity": "parity/*",
        "registry": "index/registry-*",
        "vectors": "index/vectors-*",
        "memory.json": "memory.json",
    },
    "chroma": {
        "chroma.sqlite3": "chroma.sqlite3",
        "HNSW data_level0.bin": "*/data_level0.bin",
        "HNSW link_lists.bin": "*/link_lists.bin",
        "HNSW length.bin": "*/length.bin",
        "HNSW header.bin": "*/header.bin",
        "HNSW index_metadata": "*/index_metadata*",
    },
    "lancedb": {
        "data file": "*/data/*.lance",
        "manifests": "*/_versions/*.manifest",
        "version hint": "*/_versions/*.json",
        "transactions": "*/_transactions/*",
    },
    "qdrant": {"storage.sqlite": "*/storage.sqlite", "meta.json": "meta.json"},
    "mem0": {"docstore": "faiss/*.json", "FAISS index": "faiss/*.faiss", "history.db": "history.db"},
    "langgraph": {"store.db": "store.db"},
}
"""Per store: a name for each kind of file and the pattern of its paths (the first that fits counts)."""
NOT_DATA = ("turn", "index/turn", "reserve", ".lock")
"""Files that hold a lock, a hint or room and no data."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit. path: relative to the store; bit: 0 is the lowest of the byte at `offset`."""

    kind: str
    path: str
    offset: int
    bit: int


def kind_of(store: str, path: str) -> str | None:
    """The kind of a file; its own path where no pattern fits; None if it holds no data."""
    if path in NOT_DATA:
        return None
    return next((kind for kind, pattern in KINDS.get(store, {}).items() if fnmatch(path, pattern)), path)


def sizes(folder: Path) -> dict[str, int]:
    """The length in bytes of each file below a folder, by its relative path with forward slashes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(files)}


def choose(store: str, files: Mapping[str, int], each: int, seed: int) -> list[Flip]:
    """`each` different bits per kind of file (all, if it has fewer), every bit as likely as another.

    They are ordered by kind, path and place. The draw of one kind does not depend on the other kinds.
    """
    kinds: dict[str, list[str]] = {}
    for path in sorted(files):
        kind = kind_of(store, path)
        if kind is not None and files[path]:
            kinds.setdefault(kind, []).append(path)
    flips = []
    for kind in sorted(kinds, key=lambda kind: list(KINDS.get(store, {}) | kinds).index(kind)):
        bits = 8 * sum(files[path] for path in kinds[kind])
        draw = random.Random(f"{seed} {store} {kind}")
        places = sorted(draw.sample(range(bits), min(each, bits)))
        flips += [_at(kind, kinds[kind], files, place) for place in places]
    return flips


def flip(folder: Path, one: Flip) -> None:
    """Flips the bit in the file below `folder`; a second call undoes it."""
    with (folder / one.path).open("r+b") as file:
        file.seek(one.offset)
        value = file.read(1)[0] ^ (1 << one.bit)
        file.seek(one.offset)
        file.write(bytes([value]))


def _at(kind: str, paths: list[str], files: Mapping[str, int], place: int) -> Flip:
    """The bit number `place` of the files, one behind the other."""
    for path in paths:
        if place < 8 * files[path]:
            return Flip(kind, path, place // 8, place % 8)
        place -= 8 * files[path]
    raise AssertionError("the place lies beyond the files")
