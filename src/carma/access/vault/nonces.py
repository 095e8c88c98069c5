"""Nonces for XAES-256-GCM: random, and cheap for who seals much.

The first half of a nonce makes the key of AES-256-GCM, and making it takes longer than sealing a short text.
So the half is drawn anew after 65,536 messages, and the other half for each: two of so many collide with a
chance of 2^-65. Rejected: counting the second half (two processes after a fork would count the same).
"""

from __future__ import annotations

from carma.access.vault.xaes import NONCE_BYTES
from carma.ports.clock import Entropy

__all__ = ["HALF_BYTES", "MESSAGES", "Nonces"]

HALF_BYTES = NONCE_BYTES // 2
MESSAGES = 1 << 16
"""Sealed under one first half."""


class Nonces:
    """Draws nonces of 24 bytes. Safe to share between threads, and after a fork."""

    __slots__ = ("_drawn", "_entropy", "_half")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._half, self._drawn = b"", MESSAGES

    def draw(self) -> bytes:
        """The next one."""
        if self._drawn >= MESSAGES:
            self._half, self._drawn = self._entropy.bytes(HALF_BYTES), 0
        self._drawn += 1  # Threads may lose a count; a few messages more do no harm.
        return self._half + self._entropy.bytes(HALF_BYTES)
