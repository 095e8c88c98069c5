"""The estate: everything that is held about one owner, and where it lies.

Memories, the data key, keys, the account, leaves of the audit log: each has its own place and its own code.
Here they stand side by side for one owner, so that what is shown and what is erased is the same list.
Accounts belong to the server, a layer above; they are handed in through a protocol. Rejected: finding
memories by searching the disk (a folder says which key encrypts it, not whose it is).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.leaf import parse_leaf
from carma.access.audit.trail import AuditTrail
from carma.access.data import DataFolder
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.record import StoredKey
from carma.access.keys.store import KeyStore
from carma.access.vault.vault import Vault
from carma.errors import OwnerNotFound, Shredded
from carma.memory.act_source import ActSource
from carma.memory.memory import Memory
from carma.ports.disk import Disk, LocalDisk
from carma.store.encrypting import pending_identity
from carma.store.identity import Identity
from carma.store.opening import known_identity

__all__ = ["AccountBook", "Estate"]


class AccountBook(Protocol):
    """The accounts of a server, as far as an erasure needs them."""

    def begin_leaving(self, id: str) -> object:
        """Nobody is admitted to the account any more. Raises AccountNotFound."""

    def end_leaving(self, id: str) -> None:
        """Free the seat and forget the name; nothing happens a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What one owner has in one data directory.

    owner: the name of the data key, of keys and of audit leaves; of an account, its id. memories: their
    folders. account: what the server knows of them, as JSON values. vault, keys, trail, accounts: None where
    there is none.
    """

    owner: str
    folder: DataFolder
    memories: tuple[Path, ...] = ()
    account: Mapping[str, Any] | None = None
    vault: Vault | None = None
    keys: KeyStore | None = None
    trail: AuditTrail | None = None
    accounts: AccountBook | None = None
    disk: Disk = field(default_factory=LocalDisk)

    @property
    def names(self) -> frozenset[str]:
        """Every name by which the owner may be asked for."""
        name = (self.account or {}).get("name")
        return frozenset((self.owner, name) if isinstance(name, str) else (self.owner,))

    def identity(self, path: Path) -> Identity | None:
        """Which memory lies in a folder; None if there is none. Raises StorageError, FormatTooNew."""
        folder = str(path)
        return pending_identity(self.disk, folder) or known_identity(self.disk, folder)

    def present(self) -> list[Path]:
        """The folders in which there is a memory."""
        return [path for path in self.memories if self.identity(path) is not None]

    @contextmanager
    def opened(self, path: Path, *, read_only: bool = False) -> Iterator[Memory]:
        """A memory of the owner, open within the block. Raises what `Memory.open` raises."""
        identity = self.identity(path)
        encrypted = identity is not None and identity.encryption is not None
        vault = {"vault": self.vault, "owner": self.owner} if encrypted and self.vault is not None else {}
        with Memory.open(path, create=False, read_only=read_only, **vault) as memory:  # type: ignore[arg-type]
            yield memory

    def stored_keys(self) -> list[StoredKey]:
        """The owner's keys, revoked ones too. Raises what the key store raises."""
        if self.keys is None:
            return []
        return [key for key in self.keys.keys().values() if key.owner == self.owner]

    def has_data_key(self) -> bool:
        """Whether the vault has a data key of theirs that opens. Raises VaultKeyWrong, KekWrong."""
        if self.vault is None:
            return False
        try:
            self.vault.cipher(self.owner, create=False)
        except (OwnerNotFound, Shredded):
            return False
        return True

    def audit_key(self) -> AuditKey | None:
        """The key that makes the tags of the owner's leaves, if there is one; none is made."""
        if self.has_data_key() and self.vault is not None:
            return AuditKey.of(self.vault.cipher(self.owner, create=False))
        return self.own_audit_key()

    def own_audit_key(self) -> AuditKey | None:
        """The audit key of an owner without a data key, if there is one; none is made."""
        if self.trail is None:
            return None
        try:
            return self.trail.keys.key(self.owner, create=False)
        except Shredded:
            return None

    def leaves(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The owner's leaves in the audit log, with their numbers. Raises AuditDamaged."""
        keys = [key for key in (self.audit_key(), self.own_audit_key()) if key is not None]
        tags = {key.owner(self.owner) for key in keys}
        if self.trail is None or not tags:
            return
        for number, entry in self.trail.log.reader().entries():
            try:
                leaf = parse_leaf(entry)
            except ValueError:
                continue
            if leaf.owner in tags:
                yield number, leaf.to_dict()

    def copy_waiting(self, *memories: Memory) -> None:
        """Copy to the audit log what waits in the key store and in these memories.

        Raises AuditUnavailable, AuditDamaged.
        """
        if self.trail is None:
            return
        if self.keys is not None:
            self.trail.follow(KeyEvents(self.keys, self.trail.key_of))
        sources = [ActSource(memory, self.owner, self.trail.key_of) for memory in memories]
        for source in sources:
            self.trail.follow(source)
        try:
            self.trail.sequence()
        finally:
            for source in sources:
                self.trail.forget(source.name)
