"""A key management service in this process: for tests of what is sealed by one."""

from __future__ import annotations

import os

from carma.access.vault.xaes import NONCE_BYTES, Xaes256Gcm
from carma.errors import KekMissing, KekWrong
from carma.ports.cipher import CipherDamaged

__all__ = ["LocalKeyService"]


class LocalKeyService:
    """Implements `carma.access.vault.keyfile.KeyService` with a key of 32 bytes.

    reachable: set it to False, and every call fails as if the network were gone.
    """

    def __init__(self, key: bytes) -> None:
        self._aead = Xaes256Gcm(key)
        self.reachable = True

    def seal(self, secret: bytes, context: bytes) -> bytes:
        self._ask()
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        self._ask()
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (CipherDamaged, AssertionError):
            raise KekWrong("The key service does not open this key.") from None

    def _ask(self) -> None:
        if not self.reachable:
            raise KekMissing("The key service cannot be reached.")
