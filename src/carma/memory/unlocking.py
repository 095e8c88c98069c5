"""From a vault and an owner to the cipher of a memory, without touching either where they do not fit.

A new memory gets the owner's cipher, and the owner a data key if they have none. One that is there is looked
at first: it says by which data key it is encrypted, and no key is made for a name that was mistyped. While it
is open every verb sees to it that the vault was asked in the last 10 ms whether the key was shredded
meanwhile, which costs a look at its files.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from carma.errors import InvalidInput, NotEncrypted, OwnerNotFound, Shredded, VaultWrong
from carma.ports.cipher import Cipher
from carma.ports.disk import Disk
from carma.store.encrypting import finish_encrypting, pending_identity
from carma.store.opening import known_identity

if TYPE_CHECKING:
    from carma.access.vault.vault import Vault

__all__ = ["LOCAL", "Unlocking"]

_ASK_S = 0.01
LOCAL = "local"
"""The owner of an encrypted memory where none is named."""


class Unlocking:
    """What opens a memory: a vault and an owner, a cipher, or nothing. Raises InvalidInput."""

    def __init__(
        self, vault: Vault | None = None, owner: str | None = None, cipher: Cipher | None = None
    ) -> None:
        if cipher is not None and (vault is not None or owner is not None):
            raise InvalidInput("Give a cipher, or a vault and an owner, not both.")
        if vault is None and owner is not None:
            raise InvalidInput("An owner was given, and no vault that keeps their data key.")
        self._vault = vault
        self._owner = owner if owner is not None else LOCAL
        self._cipher = cipher
        self._ask_at = 0.0
        self._ended = 0

    def cipher(self, disk: Disk, folder: str, *, create: bool) -> Cipher | None:
        """The cipher for the memory in `folder`; None if nothing was given, or there is no memory to open.

        create: a memory, and its owner's data key, may be made.
        Raises NotEncrypted, VaultWrong, Shredded, and what the vault raises.
        """
        if self._vault is None:
            return self._cipher
        identity = pending_identity(disk, folder) or known_identity(disk, folder)
        if identity is None:
            return self._vault.cipher(self._owner, create=True) if create else None
        if identity.encryption is None:
            raise NotEncrypted("This memory is not encrypted, and a vault was given.")
        try:
            found = self._vault.cipher(self._owner, create=False)
        except OwnerNotFound as error:
            raise VaultWrong(
                f"The vault has no data key of {self._owner!r}, and this memory is encrypted."
            ) from error
        identity.check(found)
        return found

    def finish(self, disk: Disk, folder: str, cipher: Cipher | None, wait_ms: int) -> None:
        """Go on with an encryption of the memory that was interrupted. Raises MemoryBusy, StorageError."""
        identity = pending_identity(disk, folder)
        if identity is not None and cipher is not None and disk.writable(folder):
            identity.check(cipher)
            finish_encrypting(disk, folder, wait_ms=wait_ms)

    def check(self) -> None:
        """Raise Shredded if the owner's key was destroyed: through this vault at once, through another at the
        latest 10 ms after it was.
        """
        if self._vault is None:
            return
        now, ended = time.monotonic(), self._vault.ended
        if now < self._ask_at and ended == self._ended:
            return
        if self._vault.shredding(self._owner) is not None:
            raise Shredded(f"The data key of {self._owner!r} was destroyed while the memory was open.")
        self._ask_at, self._ended = now + _ASK_S, ended
