"""The border to encryption: what seals one owner's bytes before they reach a disk.

The store knows no keys. It is handed a cipher, or none, and seals with it whatever would show what the owner
wrote. The real one is `carma.access.vault.datakey`; `carma.testing` has one for tests. Rejected: encrypting
whole files below the store (one flipped bit would cost a file, and parity could not prove a record without
the key).
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Cipher", "CipherDamaged"]


class CipherDamaged(Exception):
    """The bytes were not sealed by this key in this context, or they are damaged."""


class Cipher(Protocol):
    """Seals and opens the bytes of one owner. Safe to share between threads."""

    @property
    def key_id(self) -> bytes:
        """16 bytes that name the key; public."""

    @property
    def commitment(self) -> bytes:
        """32 bytes that bind `key_id` to one key; public."""

    @property
    def overhead(self) -> int:
        """How many bytes longer sealed bytes are than plain ones."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """`data` encrypted and authenticated together with `context`, which is not stored."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The bytes that were sealed in `context`. Raises CipherDamaged."""

    def digest(self, data: bytes) -> bytes:
        """32 bytes of keyed BLAKE3 over `data`: equal for equal data, no help in guessing it."""

    def subkey(self, label: str) -> bytes:
        """A key of 32 bytes for one other use, named by `label`."""
