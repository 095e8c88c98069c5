"""The file of the key-encryption key: made once, readable by its owner alone, refused otherwise.

It is one JSON object. Its `kind` says what protects the 32 bytes in it: nothing but the file's mode
(`plain`), a passphrase by Argon2id (`passphrase`), or a key service that never gives its own key away
(`service`). The parameters of Argon2id are constants here and not in the file, so nobody can weaken them
there: 64 MiB, 3 passes, 4 lanes (RFC 9106, section 4, second choice). `key_id` is derived from the key and
proves it.

Rejected: the key of Argon2id as the key-encryption key itself (another passphrase would mean wrapping all
secrets anew).
"""

from __future__ import annotations

import base64
import json
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from carma.access.vault.context import context
from carma.access.vault.privatefile import create_private, read_private
from carma.access.vault.xaes import KEY_BYTES, NONCE_BYTES, Xaes256Gcm
from carma.errors import KekMissing, KekWrong
from carma.ports.cipher import CipherDamaged

__all__ = ["KeyService", "Protection", "read_key_file", "stretched", "write_key_file"]

_FORMAT = "carma key-encryption key 1"
_SALT_BYTES = 16


class KeyService(Protocol):
    """A key management service: it seals and opens small secrets under a key that stays with it."""

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """`secret` (32 bytes) sealed together with `context`. Raises KekMissing if it cannot be asked."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed in `context`. Raises KekMissing if it cannot be asked, KekWrong if it refuses."""


class Protection:
    """What protects the key inside its file: a passphrase, a key service, or else only the file's mode."""

    __slots__ = ("passphrase", "service")

    def __init__(self, *, passphrase: str | None = None, service: KeyService | None = None) -> None:
        assert passphrase is None or service is None, "a passphrase or a service, not both"
        self.passphrase = passphrase
        self.service = service

    @property
    def kind(self) -> str:
        if self.passphrase is not None:
            return "passphrase"
        return "plain" if self.service is None else "service"

    def __repr__(self) -> str:
        return f"Protection({self.kind})"


def write_key_file(path: Path, secret: bytes, key_id: bytes, protection: Protection) -> None:
    """Make the file, mode 0600, durably; its folder too (0700).

    Raises FileExistsError if there is one, StorageError, and what the key service raises.
    """
    value = {"format": _FORMAT, "kind": protection.kind, "key_id": key_id.hex()}
    value |= _protected(secret, key_id, protection)
    data = (json.dumps(value, indent=1) + "\n").encode()
    create_private(path, data)


def read_key_file(path: Path, protection: Protection) -> tuple[bytes, bytes]:
    """The key (32 bytes) and the id that the file claims for it.

    Raises KekMissing (no file, or it needs a passphrase or service that was not given), KekUnsafe (others may
    read it), KekWrong (wrong passphrase, or damaged).
    """
    value = _parsed(path, read_private(path))
    kind, key_id = _field(path, value, "kind"), _bytes(path, value, "key_id", bytes.fromhex)
    if kind == "plain":
        return _bytes(path, value, "key"), key_id
    if kind != protection.kind:
        needs = {"passphrase": "its passphrase", "service": "its key service"}.get(kind, "a newer CARMA")
        hint = "Set CARMA_KEK_PASSPHRASE, or name a file with CARMA_KEK_FILE that needs none."
        raise KekMissing(
            f"The key file {path} cannot be opened without {needs}.",
            hint=hint if kind == "passphrase" else None,
        )
    try:
        if protection.service is not None:
            return protection.service.open(_bytes(path, value, "sealed"), _bound(key_id)), key_id
        return _opened(path, value, protection.passphrase or "", key_id), key_id
    except CipherDamaged:
        raise KekWrong(f"The passphrase is wrong, or the key file {path} is damaged.") from None


def stretched(passphrase: str, salt: bytes) -> bytes:
    """32 bytes from a passphrase by Argon2id (RFC 9106): 64 MiB, 3 passes, 4 lanes; about 0.1 s.

    The passphrase is taken in Unicode's form NFC, so that every keyboard types the same bytes (RFC 8265).
    """
    typed = unicodedata.normalize("NFC", passphrase).encode()
    argon = Argon2id(salt=salt, length=KEY_BYTES, iterations=3, lanes=4, memory_cost=64 * 2**10)
    return argon.derive(typed)


def _protected(secret: bytes, key_id: bytes, protection: Protection) -> dict[str, str]:
    """The fields of the file that hold the key."""
    if protection.service is not None:
        return {"sealed": _text(protection.service.seal(secret, _bound(key_id)))}
    if protection.passphrase is None:
        return {"key": _text(secret)}
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    aead = Xaes256Gcm(stretched(protection.passphrase, salt))
    sealed = aead.encrypt(nonce, secret, _bound(key_id))
    return {"salt": _text(salt), "nonce": _text(nonce), "sealed": _text(sealed)}


def _opened(path: Path, value: Mapping[str, object], passphrase: str, key_id: bytes) -> bytes:
    """The key out of a file that a passphrase protects. Raises CipherDamaged, KekWrong."""
    salt, nonce = _bytes(path, value, "salt"), _bytes(path, value, "nonce")
    if len(salt) != _SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise _damaged(path)
    return Xaes256Gcm(stretched(passphrase, salt)).decrypt(
        nonce, _bytes(path, value, "sealed"), _bound(key_id)
    )


def _bound(key_id: bytes) -> bytes:
    return context("key-encryption key", key_id)


def _parsed(path: Path, data: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise KekWrong(f"{path} is not a key file of this CARMA.")
    return value


def _field(path: Path, value: Mapping[str, object], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _damaged(path)
    return found


def _bytes(
    path: Path, value: Mapping[str, object], name: str, decode: Callable[[str], bytes] | None = None
) -> bytes:
    try:
        return (decode or _from_text)(_field(path, value, name))
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> KekWrong:
    return KekWrong(f"The key file {path} is damaged.", hint="Move it away, then `carma vault recover`.")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_text(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
