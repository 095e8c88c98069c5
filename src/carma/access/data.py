"""The data directory: where keys, vault, audit log, accounts and seats lie, and how its secrets are unlocked.

The key-encryption key lies outside of it. The first thing that needs one makes it (`unlock` with `create`),
and hands the recovery code to whoever can show it. If any journal here holds anything, a missing key is
refused and never replaced. Rejected: a setting for each folder (they belong together in backups).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from carma.access.frames import HEAD, encode
from carma.access.journal import Journal
from carma.access.vault.context import context
from carma.access.vault.kek import KekSource, KeyEncryptionKey, kek_source, load_kek, load_or_create_kek
from carma.access.vault.vault import Vault
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk, LocalDisk

__all__ = ["SEALING_CONTEXT", "DataFolder", "Unlocked", "data_folder", "unlock"]

SEALING_CONTEXT = context("carma server sealing key", 1)
"""What the server's key for sealed bodies is wrapped for."""

_JOURNALS = ("keys", "vault", "accounts", "sealing")
_EMPTY_BYTES = len(encode([HEAD], 1, 1, 0))
"""The length of a journal's file without a record."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside a data directory; none of them need exist."""

    root: Path

    @property
    def keys(self) -> str:
        """The journal of keys."""
        return str(self.root / "keys")

    @property
    def vault(self) -> str:
        """The journal of wrapped data keys."""
        return str(self.root / "vault")

    @property
    def audit(self) -> str:
        """The audit log: tiles and checkpoints."""
        return str(self.root / "audit")

    @property
    def accounts(self) -> str:
        """The journal of accounts and seats."""
        return str(self.root / "accounts")

    @property
    def sealing(self) -> str:
        """The journal of the server's key for sealed bodies, wrapped."""
        return str(self.root / "sealing")

    def seat(self, number: int, generation: int) -> str:
        """The memory on one seat; another generation is another owner's."""
        return str(self.root / "seats" / f"{number:04d}-{generation}")

    def holds_secrets(self, disk: Disk) -> bool:
        """Whether a journal here holds anything, so that an earlier key must have wrapped it."""
        return any(
            (disk.size(f"{self.root}/{name}/{file}") or 0) > _EMPTY_BYTES
            for name in _JOURNALS
            for file in disk.listdir(f"{self.root}/{name}")
            if file.endswith(".log")
        )


def data_folder(environ: Mapping[str, str], given: Path | None = None) -> DataFolder:
    """The data directory: the one given, else CARMA_DATA, else `$XDG_DATA_HOME/carma` (`~/.local/share`)."""
    named = given or environ.get("CARMA_DATA")
    share = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return DataFolder(Path(named or f"{share}/carma").expanduser())


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A data directory with its key-encryption key.

    recovery_code: if the key was made just now; to be shown once. reload: gives the key anew.
    """

    folder: DataFolder
    disk: Disk
    source: KekSource
    kek: KeyEncryptionKey
    recovery_code: str | None
    reload: Callable[[], KeyEncryptionKey]

    def vault(self, *, clock: Clock | None = None, entropy: Entropy | None = None) -> Vault:
        """The vault of this data directory."""
        journal = Journal(self.disk, self.folder.vault, clock=clock)
        return Vault(journal, self.kek, reload=self.reload, clock=clock, entropy=entropy)


def unlock(
    folder: DataFolder,
    environ: Mapping[str, str],
    *,
    create: bool = True,
    passphrase: str | None = None,
    disk: Disk | None = None,
) -> Unlocked:
    """Find the key-encryption key of a data directory (`kek_source` says where), or make the first one.

    create: make one if there is none and nothing here was wrapped yet.
    Raises KekMissing, KekUnsafe, KekWrong, StorageError.
    """
    disk = disk or LocalDisk()
    source = kek_source(environ, outside=(folder.root,), passphrase=passphrase)
    wrapped = folder.holds_secrets(disk)
    kek, code = load_or_create_kek(source, something_is_wrapped=wrapped or not create)
    return Unlocked(folder, disk, source, kek, code, lambda: load_kek(source))
