"""Whose estate a command of `carma compliance` speaks of, and opening it.

An owner is a user of the server, by name or id, or whoever a data key belongs to. Their memories are the
seat, and what `--store` names. The memory of this user (`$CARMA_STORE`) counts only where the owner's key
encrypts it, or, to look at, where it is plain and nobody else was named: a plain memory does not say whose it
is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.cli.opening import store_path

if TYPE_CHECKING:
    from carma.access.audit.trail import AuditTrail
    from carma.access.data import DataFolder, Unlocked
    from carma.access.vault.vault import Vault
    from carma.compliance.estate import Estate
    from carma.ports.cipher import Cipher
    from carma.serve.accounts import Accounts

__all__ = ["opened_estate"]


@contextmanager
def opened_estate(
    data: Path | None, owner: str | None, stores: Sequence[Path] | None, *, erasing: bool = False
) -> Iterator[Estate]:
    """The estate of an owner. erasing: the audit log is made if there is none.

    Raises KekMissing, KekUnsafe, KekWrong, AuditUnavailable, AuditDamaged, StorageError.
    """
    from carma.access.data import data_folder
    from carma.access.journal import Journal
    from carma.access.keys.store import KeyStore
    from carma.compliance.estate import Estate
    from carma.memory.unlocking import LOCAL
    from carma.ports.disk import LocalDisk
    from carma.serve.accounts import Accounts

    folder, disk = data_folder(os.environ, data), LocalDisk()
    unlocked = _unlocked(folder)
    vault = unlocked.vault() if unlocked is not None and disk.is_dir(folder.vault) else None
    keys = None
    if unlocked is not None and disk.is_dir(folder.keys):
        keys = KeyStore(Journal(disk, folder.keys), unlocked.kek, reload=unlocked.reload)
    accounts = Accounts(disk, folder.accounts) if disk.is_dir(folder.accounts) else None
    trail = _trail(folder, unlocked, vault) if erasing or disk.is_dir(folder.audit) else None
    try:
        name = owner or os.environ.get("CARMA_OWNER") or LOCAL
        account, seat = _account(accounts, folder, name)
        id = account["id"] if account is not None else name
        given = [path.expanduser() for path in stores or ()]
        if not given and account is None:
            given = _own_store(vault, id, plain=id == LOCAL and not erasing)
        yield Estate(
            owner=id, folder=folder, memories=(*seat, *given), account=account, vault=vault, keys=keys,
            trail=trail, accounts=accounts, disk=disk,
        )  # fmt: skip
    finally:
        for part in (trail, accounts, keys, vault):
            if part is not None:
                part.close()


def _account(
    accounts: Accounts | None, folder: DataFolder, name: str
) -> tuple[dict[str, Any] | None, list[Path]]:
    """The account with a name or id, and its seat's folder; None if there is none."""
    from carma.errors import AccountNotFound

    try:
        account = accounts.find(name) if accounts is not None else None
    except AccountNotFound:
        account = None
    if account is None:
        return None, []
    return account.to_dict(), [Path(folder.seat(account.seat, account.generation))]


def _own_store(vault: Vault | None, owner: str, *, plain: bool) -> list[Path]:
    """The memory of this user, if it is the owner's."""
    from carma.errors import OwnerNotFound, Shredded, VaultWrong
    from carma.ports.disk import LocalDisk
    from carma.store.opening import known_identity

    path = store_path(None)
    identity = known_identity(LocalDisk(), os.path.abspath(path))
    if identity is None:
        return []
    if identity.encryption is None:
        return [path] if plain else []
    try:
        identity.check(vault.cipher(owner, create=False) if vault is not None else None)
    except (OwnerNotFound, Shredded, VaultWrong):
        return []
    return [path]


def _unlocked(folder: DataFolder) -> Unlocked | None:
    """The data directory with its key-encryption key; None where it has none and needs none."""
    from carma.access.data import unlock
    from carma.errors import KekMissing
    from carma.ports.disk import LocalDisk

    try:
        return unlock(folder, os.environ, create=False)
    except KekMissing:
        if folder.holds_secrets(LocalDisk()):
            raise
        return None


def _trail(folder: DataFolder, unlocked: Unlocked | None, vault: Vault | None) -> AuditTrail:
    from carma.access.audit.trail import AuditTrail

    return AuditTrail(
        folder.audit,
        kek=unlocked.kek if unlocked is not None else None,
        cipher_of=(lambda owner: _cipher(vault, owner)) if vault is not None else None,
    )


def _cipher(vault: Vault, owner: str) -> Cipher | None:
    """An owner's cipher, None if they have no data key. Raises Shredded."""
    from carma.errors import OwnerNotFound

    try:
        return vault.cipher(owner, create=False)
    except OwnerNotFound:
        return None
