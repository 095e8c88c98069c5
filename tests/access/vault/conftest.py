"""A vault in a folder, and one on a simulated disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.ports.disk import LocalDisk

OpenVault = Callable[..., Vault]


@pytest.fixture
def kek() -> KeyEncryptionKey:
    return KeyEncryptionKey(bytes(range(32)))


@pytest.fixture
def open_vault(tmp_path: Path, kek: KeyEncryptionKey) -> OpenVault:
    """Opens the one vault of this test once more, as another process would; with another key on request."""

    def opened(other: KeyEncryptionKey | None = None, **options: object) -> Vault:
        return Vault(Journal(LocalDisk(), str(tmp_path / "vault")), other or kek, **options)  # type: ignore[arg-type]

    return opened
