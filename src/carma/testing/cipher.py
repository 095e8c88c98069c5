"""A cipher for tests of what is sealed: plain AES-256-GCM, with nonces from any entropy.

It keeps every promise of the port but one: its nonces have 96 bits, which is too few for a real owner's life.
With a seeded entropy one seed replays one run, sealed bytes included. The real one is
`carma.access.vault.datakey`.
"""

from __future__ import annotations

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carma.ports.cipher import CipherDamaged
from carma.ports.clock import Entropy
from carma.testing.clocks import SeededEntropy

__all__ = ["StandInCipher"]

_NONCE = 12
_TAG = 16


class StandInCipher:
    """Implements `carma.ports.cipher.Cipher`. name: two of one name have the same key."""

    overhead = _NONCE + _TAG

    def __init__(self, name: str = "owner", entropy: Entropy | None = None) -> None:
        self._key = blake3(name.encode(), derive_key_context="carma.testing cipher").digest()
        self._aead = AESGCM(self.subkey("seal"))
        self._digest_key = self.subkey("digest")
        self._entropy = entropy or SeededEntropy(int.from_bytes(self._key[:4], "little"))
        self.key_id = self.subkey("name")[:16]
        self.commitment = self.subkey("commitment")

    def seal(self, data: bytes, context: bytes) -> bytes:
        """`data`, encrypted and authenticated with `context`."""
        nonce = self._entropy.bytes(_NONCE)
        return nonce + self._aead.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The bytes that were sealed in `context`. Raises CipherDamaged."""
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except (InvalidTag, ValueError):
            raise CipherDamaged("not sealed by this key in this context") from None

    def digest(self, data: bytes) -> bytes:
        """32 bytes of keyed BLAKE3."""
        return blake3(data, key=self._digest_key).digest()

    def subkey(self, label: str) -> bytes:
        """32 bytes for one other use."""
        return blake3(label.encode(), key=self._key).digest()
