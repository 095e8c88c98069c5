"""Encrypted memories: by a stand-in cipher where the store is the subject, by a real vault where keys are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.config import Settings
from carma.memory.memory import Memory
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, StandInCipher

Open = Callable[..., Memory]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A vault beside the memories of a test."""
    return Vault(Journal(LocalDisk(), str(tmp_path / "data" / "vault")), KeyEncryptionKey(bytes(range(32))))


@pytest.fixture
def open_memory(tmp_path: Path) -> Iterator[Open]:
    """Opens memories below the test's folder, encrypted unless told otherwise, and closes what is left."""
    opened: list[Memory] = []

    def open_(name: str = "memory", **options: object) -> Memory:
        options.setdefault("embedder", HashEmbedder())
        if options.get("vault") is None:
            options.setdefault("cipher", StandInCipher())
        memory = Memory.open(tmp_path / name, **options)  # type: ignore[arg-type]
        opened.append(memory)
        return memory

    yield open_
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    """An empty encrypted memory."""
    return open_memory()


@pytest.fixture
def settings() -> Settings:
    """Small bounds, so that a small test reaches them."""
    return Settings(segment_bytes=16 * 2**10, turn_wait_ms=2_000, linger_s=0.0)
