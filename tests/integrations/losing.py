"""Losing fragments beyond what parity gives back: their readers get blanks."""

from __future__ import annotations

from pathlib import Path

from carma.config import Settings
from carma.memory.memory import Memory
from carma.testing.embedder import HashEmbedder

NO_COPIES = Settings(short_copies=False)
"""No short copies: what parity does not give back is lost."""


def opened(folder: Path) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(), settings=NO_COPIES)


def lose_all(folder: Path) -> None:
    """Every segment of a memory at rest, and its parity; the index still knows what was there."""
    for path in [*folder.glob("segments/c*"), *folder.glob("parity/*")]:
        path.unlink()
