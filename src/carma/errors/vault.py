"""What can be wrong with encryption: the key-encryption key, data keys, sealed files."""

from __future__ import annotations

from carma.errors.base import CarmaError
from carma.errors.memory import ArchiveDamaged, MemoryClosed

__all__ = [
    "BecameEncrypted",
    "EncryptionUnfinished",
    "IdentityWrong",
    "KekMissing",
    "KekUnsafe",
    "KekWrong",
    "NotEncrypted",
    "OwnerNotFound",
    "SealedDamaged",
    "SealedTruncated",
    "Shredded",
    "VaultKeyWrong",
    "VaultNeeded",
    "VaultWrong",
]


class BecameEncrypted(MemoryClosed):
    """Another process has encrypted the memory since this one opened it."""

    code = "became-encrypted"
    exit_code = 38
    default_hint = "Nothing was written. Open it again, with the vault and the owner."


class SealedDamaged(ArchiveDamaged):
    """A sealed file is not what was sealed: bits changed, pieces moved, or bytes added."""

    code = "sealed-damaged"
    default_hint = "Nothing of it was kept. Fetch the file again from where it was written."


class SealedTruncated(ArchiveDamaged):
    """A sealed file ends before its end."""

    code = "sealed-truncated"
    default_hint = "Nothing of it was kept. Fetch the whole file; its end is missing."


class KekMissing(CarmaError):
    """Secrets are wrapped, and the key-encryption key that wrapped them is not there."""

    code = "kek-missing"
    status = 503
    exit_code = 30
    default_hint = "Put its file back, or restore it from the recovery code with `carma vault recover`."


class KekUnsafe(CarmaError):
    """The key-encryption key lies where others can read it, or where it would be copied with the data."""

    code = "kek-unsafe"
    status = 503
    exit_code = 30
    default_hint = "Keep it outside the data directory, in a file of yours that nobody else may read (0600)."


class VaultKeyWrong(CarmaError):
    """Wrapped bytes do not open: another key, another use, or damage."""

    code = "vault-key-wrong"
    status = 503
    exit_code = 31
    default_hint = "Nothing was changed. Run `carma vault status` to see which keys are damaged."


class KekWrong(VaultKeyWrong):
    """The secrets here were wrapped by another key-encryption key."""

    code = "kek-wrong"
    default_hint = "Nothing was changed. Name the right one with CARMA_KEK_FILE, or `carma vault recover`."


class OwnerNotFound(CarmaError):
    """The vault has no data key of this owner, and was not asked to make one."""

    code = "owner-not-found"
    status = 404
    exit_code = 3
    default_hint = "Check the name with `carma vault owners`."


class Shredded(CarmaError):
    """The owner's data key was destroyed: nothing of theirs can be read again, by anybody."""

    code = "shredded"
    status = 410
    exit_code = 32
    default_hint = "There is no way back. `carma vault readmit` gives the name a new key for new data."


class VaultNeeded(CarmaError):
    """The memory is encrypted, and no vault was given to open it with."""

    code = "vault-needed"
    status = 403
    exit_code = 35
    default_hint = "Nothing was touched. Give `--vault` with the owner's name, or Memory.open(vault=…)."


class VaultWrong(CarmaError):
    """The memory is encrypted by another data key: another owner's, or one of another vault."""

    code = "vault-wrong"
    status = 403
    exit_code = 36
    default_hint = "Nothing was touched. Name its owner (`--owner`) and the vault's folder (`--data`)."


class NotEncrypted(CarmaError):
    """A vault was given, and the memory is not encrypted."""

    code = "not-encrypted"
    status = 409
    exit_code = 37
    default_hint = "Nothing was touched. Open it without a vault, or run `carma vault encrypt` first."


class EncryptionUnfinished(CarmaError):
    """Turning the memory into an encrypted one was interrupted after it had been decided."""

    code = "encryption-unfinished"
    status = 503
    exit_code = 38
    default_hint = "Nothing is lost. Open it once where it may be written, with the vault and the owner."


class IdentityWrong(CarmaError):
    """A file was sealed for another recipient."""

    code = "identity-wrong"
    status = 422
    exit_code = 33
    default_hint = "Name the identity file whose recipient it was sealed for (`--identity FILE`)."
