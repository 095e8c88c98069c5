"""A memory with a fast, deterministic embedder, for tests whose subject is not the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carma.config import Settings
from carma.memory.memory import Memory
from carma.testing.embedder import HashEmbedder

Open = Callable[..., Memory]


@pytest.fixture
def open_memory(tmp_path: Path) -> Iterator[Open]:
    """Opens memories below the test's folder and closes what the test left open."""
    opened: list[Memory] = []

    def open_(name: str = "memory", **options: object) -> Memory:
        options.setdefault("embedder", HashEmbedder())
        memory = Memory.open(tmp_path / name, **options)  # type: ignore[arg-type]
        opened.append(memory)
        return memory

    yield open_
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    """An empty memory."""
    return open_memory()


@pytest.fixture
def settings() -> Settings:
    """Small bounds, so that a small test reaches them."""
    return Settings(segment_bytes=16 * 2**10, turn_wait_ms=2_000, linger_s=0.0)
