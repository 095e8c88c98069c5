"""`Memory.encrypt`: a plain memory becomes an encrypted one, and nothing plain is left of it.

The work is the store's (`reseal`, `encrypting`); here the parts are put together. It may be interrupted at
any moment and is called again: before the decision it begins anew, after it it goes on. Nobody else may have
the memory open meanwhile: who has, is refused from then on, but what their process holds of the plain index
would outlive its files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from carma.config import Settings
from carma.embed import Fingerprint
from carma.errors import BecameEncrypted, EncryptionUnfinished, MemoryBusy, MemoryNotFound, VaultNeeded
from carma.healing.condense import Condenser
from carma.healing.exact import Exact
from carma.memory.kept import tag_of
from carma.memory.unlocking import LOCAL
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.ports.disk import Disk, LocalDisk
from carma.ports.netfs import refuse_network_file_system
from carma.store.database import in_use
from carma.store.encrypting import finish_encrypting, pending_identity
from carma.store.identity import Identity
from carma.store.opening import known_identity
from carma.store.registry import registry_names
from carma.store.reseal import Resealed, reseal
from carma.store.store import Store, open_store

if TYPE_CHECKING:
    from carma.access.vault.vault import Vault

__all__ = ["encrypt"]


def encrypt(
    path: str,
    vault: Vault | None,
    owner: str | None,
    cipher: Cipher | None,
    *,
    leave_lost: bool,
    progress: Callable[[int, int], None] | None,
    settings: Settings,
    disk: Disk | None,
    clock: Clock | None,
    entropy: Entropy | None,
) -> dict[str, Any]:
    """Encrypt the memory in the folder `path`; see `Memory.encrypt`."""
    disk, clock, entropy = disk or LocalDisk(), clock or SystemClock(), entropy or SystemEntropy()
    real = disk.real_path(path) is not None
    folder = os.path.abspath(os.path.expanduser(path)) if real else path
    if real:
        refuse_network_file_system(folder)
    done = Resealed()
    chosen = _cipher(disk, folder, vault, owner, cipher)
    if not _is_encrypted(disk, folder, chosen):
        _refuse_if_used(disk, folder)
        try:
            store = open_store(disk, folder, settings, clock, entropy, create=False)
            try:
                done = _resealed(store, chosen, leave_lost, progress)
                store.registry.keep_log()
            finally:
                store.close()
        except (VaultNeeded, BecameEncrypted, EncryptionUnfinished):
            # Somebody else was faster; if it was with another key, this says so.
            if not _is_encrypted(disk, folder, chosen):
                raise
    finished = finish_encrypting(disk, folder, clock=clock, wait_ms=settings.turn_wait_ms)
    return {"path": folder, "key": chosen.key_id.hex(), "encrypted": finished is not None, **asdict(done)}


def _is_encrypted(disk: Disk, folder: str, cipher: Cipher) -> bool:
    """Whether the memory is encrypted by this cipher, or is decided to be. Raises VaultWrong."""
    identity = _identity(disk, folder)
    if identity.encryption is None:
        return False
    identity.check(cipher)
    return True


def _identity(disk: Disk, folder: str) -> Identity:
    identity = pending_identity(disk, folder) or known_identity(disk, folder)
    if identity is None:
        raise MemoryNotFound(f"There is no memory at {folder}.")
    return identity


def _cipher(disk: Disk, folder: str, vault: Vault | None, owner: str | None, cipher: Cipher | None) -> Cipher:
    """The cipher to encrypt with. Only a memory that is not encrypted yet may make its owner a key."""
    identity = _identity(disk, folder)
    if cipher is not None:
        return cipher
    assert vault is not None, "a vault or a cipher is given"
    return vault.cipher(owner or LOCAL, create=identity.encryption is None)


def _resealed(
    store: Store, cipher: Cipher, leave_lost: bool, progress: Callable[[int, int], None] | None
) -> Resealed:
    recorded = store.identity.embedder
    fingerprint = Fingerprint.from_dict(recorded) if recorded else None
    return reseal(
        store,
        cipher,
        Condenser(store, Exact(store).copies),
        embedder=(fingerprint.dimension, tag_of(fingerprint)) if fingerprint is not None else None,
        leave_lost=leave_lost,
        progress=progress or (lambda done, total: None),
    )


def _refuse_if_used(disk: Disk, folder: str) -> None:
    """Raise MemoryBusy if a process has the memory open."""
    for name in registry_names(disk, f"{folder}/index")[:1]:
        path = disk.real_path(f"{folder}/index/{name}")
        if path is not None and in_use(path):
            raise MemoryBusy(
                "The memory is open in this or another process.",
                hint="Nothing was changed. Close it there first: what is open keeps plain text in its files.",
            )
