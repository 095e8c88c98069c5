"""One owner's damaged audit key is that owner's trouble, not everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from carma.access.audit.sequencer import Waiting
from carma.access.audit.trail import AuditTrail
from carma.access.data import DataFolder
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import VaultKeyWrong
from carma.ports.disk import LocalDisk
from carma.serve.audit import AuditBook

KEK = KeyEncryptionKey(bytes(range(32)))


class _Broken:
    """A memory whose acts cannot be told, because its owner's key is damaged."""

    name = "memory of eve"

    def waiting(self, after: int) -> Iterator[Waiting]:
        raise VaultKeyWrong("A wrapped key is damaged.")

    def copied(self, upto: int) -> None:
        raise AssertionError("nothing of it was copied")


def test_an_owner_sees_their_entries_though_anothers_cannot_be_copied(tmp_path: Path) -> None:
    """The page is read and proven; the error is told where the log is looked after."""
    folder = DataFolder(tmp_path / "data")
    keys = KeyStore(Journal(LocalDisk(), folder.keys), KEK)
    with AuditTrail(folder.audit, kek=KEK) as trail:
        book = AuditBook(trail, keys)
        trail.follow(_Broken())
        keys.create("ada", "r")
        page = book.page("ada", 10, None)
        assert [entry.leaf["operation"] for entry in page.entries] == ["keys.create"]
        with pytest.raises(VaultKeyWrong):
            book.copy()
