"""A data directory with a user on a seat and a neighbour: real vault, keys, accounts, audit log, memories."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from carma import Memory
from carma.access.audit.trail import AuditTrail
from carma.access.data import DataFolder
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.compliance.estate import Estate
from carma.errors import OwnerNotFound
from carma.models import Act, Source
from carma.ports.cipher import Cipher
from carma.ports.disk import LocalDisk
from carma.serve.accounts import Account, Accounts
from carma.testing import HashEmbedder
from tests.vault.readable import telling_text

COUNT = 12
_MADE: dict[tuple[str, int, bool], tuple[TemporaryDirectory[str], tuple[Account, list[str]]]] = {}
"""Data directories with one user, by how they were made; they go with the process."""


class House:
    """A data directory. Each `estate` opens all parts anew, as another process would."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self.folder = DataFolder(root)
        self._stack = stack

    def estate(self, name: str, *, plain: bool = False) -> Estate:
        disk, kek = LocalDisk(), KeyEncryptionKey(bytes(range(32)))
        vault = None if plain else Vault(Journal(disk, self.folder.vault), kek)
        accounts = Accounts(disk, self.folder.accounts)
        trail = AuditTrail(
            self.folder.audit, kek=kek, cipher_of=(lambda owner: _cipher(vault, owner)) if vault else None
        )
        self._stack.callback(trail.close)
        found = next((each for each in accounts.all() if name in (each.id, each.name)), None)
        estate = Estate(
            owner=found.id if found else name, folder=self.folder, vault=vault, trail=trail, disk=disk,
            keys=KeyStore(Journal(disk, self.folder.keys), kek), accounts=accounts,
        )  # fmt: skip
        if found is None:
            return estate
        return replace(estate, account=found.to_dict(), memories=(self.seat(found),))

    def seat(self, account: Account) -> Path:
        return Path(self.folder.seat(account.seat, account.generation))

    def join(self, name: str, first: int, *, plain: bool = False) -> tuple[Account, list[str]]:
        """A user with a key and a full memory; what was written. A first one is made once and copied."""
        if self.root.exists():
            return self._joined(name, first, plain)
        if (name, first, plain) not in _MADE:
            kept = TemporaryDirectory()
            with ExitStack() as stack:
                made = House(Path(kept.name) / "data", stack)._joined(name, first, plain)
            _MADE[name, first, plain] = kept, made
        kept, made = _MADE[name, first, plain]
        shutil.copytree(f"{kept.name}/data", self.root)
        return made

    def _joined(self, name: str, first: int, plain: bool) -> tuple[Account, list[str]]:
        estate = self.estate(name, plain=plain)
        assert isinstance(estate.accounts, Accounts) and estate.keys is not None
        account = estate.accounts.add(name)
        estate.keys.create(account.id, "rw")
        options = {} if plain else {"vault": estate.vault, "owner": account.id}
        with Memory.open(self.seat(account), embedder=HashEmbedder(), **options) as memory:
            said = fill(memory, account.id, first)
        return account, said


def fill(memory: Memory, account: str, first: int) -> list[str]:
    """Texts, metadata, versions, a deletion, a dream; what was written."""
    texts = [telling_text(first + at) for at in range(COUNT)]
    with memory.acting(Act(account=account, operation="fragments.add", key="carma_k", request_id="r1")):
        fragments = memory.add_many(
            [
                {
                    "text": text, "metadata": {"said": telling_text(first + 100 + at), "at": at},
                    "source": Source(path=f"notes/{at}.md") if at == 3 else None,
                }
                for at, text in enumerate(texts)
            ]
        )  # fmt: skip
    memory.update(fragments[0].id, telling_text(first + 200))
    memory.delete(fragments[1].id)
    assert memory.flush(30)
    memory.dream(in_process=True)
    return [*texts, *(telling_text(first + 100 + at) for at in range(COUNT)), telling_text(first + 200)]


def _cipher(vault: Vault | None, owner: str) -> Cipher | None:
    try:
        return vault.cipher(owner, create=False) if vault is not None else None
    except OwnerNotFound:
        return None


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty data directory."""
    with ExitStack() as stack:
        yield House(tmp_path / "data", stack)
