"""Looking for what somebody wrote in files that should not show it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAST_TERM = 5
PIECE = 8
"""Any so many bytes of a text in a row count as a part of it."""


def telling_text(number: int) -> str:
    """A text of words that stand in no other file of a memory, different for each number."""
    chance = random.Random(number)
    letters = "aeioubcdfghklmnprstvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randrange(5, 12))) for _ in range(12)]
    return f"{words[0].capitalize()} {' '.join(words[1:])} {chance.randrange(10**9, 10**10)}."


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def found_in(files: dict[str, bytes], texts: Iterable[str]) -> list[tuple[str, bytes]]:
    """Where a term of a text, or a piece of it, stands in a file, as it is written or in lower case."""
    wanted: dict[bytes, set[bytes]] = {}
    for text in texts:
        for variant in (text, text.lower()):
            raw = variant.encode()
            words = [word for word in raw.replace(b".", b" ").split() if len(word) >= LEAST_TERM]
            for each in (*words, *(raw[at : at + PIECE] for at in range(len(raw) - PIECE + 1))):
                wanted.setdefault(each[:LEAST_TERM], set()).add(each)
    starts = np.array([_number(start) for start in wanted], np.uint64)
    return [
        (name, each)
        for name, data in files.items()
        for at in _places(data, starts)
        for each in wanted[data[at : at + LEAST_TERM]]
        if data.startswith(each, at)
    ]


def _number(start: bytes) -> int:
    return int.from_bytes(start, "little")


def _places(data: bytes, starts: NDArray[np.uint64]) -> list[int]:
    """Where one of these five bytes begins."""
    raw = np.frombuffer(data, np.uint8).astype(np.uint64)
    if len(raw) < LEAST_TERM:
        return []
    count = len(raw) - LEAST_TERM + 1
    windows = sum((raw[at : at + count] << np.uint64(8 * at) for at in range(1, LEAST_TERM)), raw[:count])
    return np.flatnonzero(np.isin(windows, starts)).tolist()  # type: ignore[no-any-return]
