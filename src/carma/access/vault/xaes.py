"""XAES-256-GCM: AES-256-GCM whose 192-bit nonce may be drawn at random for as long as anyone writes.

The key and the first half of the nonce make a key for one message, by the counter KDF over CMAC of NIST
SP 800-108r1; that key and the second half of the nonce are AES-256-GCM's (https://c2sp.org/XAES-256-GCM,
whose vectors are the test). The CMAC input is always one block, so the KDF is two AES blocks, and both go
through one call with one key schedule, kept for the life of the object. The keys of the last few halves are
kept ready too: who seals many messages under one half (`datakey`) pays for its key once. Rejected: plain
AES-256-GCM with random nonces (its 96 bits bear 2^32 messages of one key; an owner may write more in a life),
and the KBKDFCMAC of `cryptography`, which makes its key schedule anew for each message.

XAES-256-GCM does not commit to its key: two keys can be made for which one text opens. Here a key is used
only after its commitment was compared (`datakey`).
"""

from __future__ import annotations

import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carma.ports.cipher import CipherDamaged

__all__ = ["KEY_BYTES", "NONCE_BYTES", "TAG_BYTES", "Xaes256Gcm"]

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

_HALF = 12
# 0^8 || i || "X" || 0^8 for i = 1 and 2, each followed by 96 bits of nonce.
_COUNTERS = (b"\x00\x01X\x00", b"\x00\x02X\x00")
_BLANK = bytes(4)
_KEPT = 1_024
"""Keys of message halves that are kept ready."""


class Xaes256Gcm:
    """Seals and opens with one key and explicit nonces. Safe to share between threads.

    key: 32 bytes.
    """

    __slots__ = ("_aes", "_masked", "_turn", "ready")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES, "a key of XAES-256-GCM has 32 bytes"
        # ECB is the bare block function here: it never sees a message, only the two blocks of the KDF.
        self._aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        self._turn = threading.Lock()  # The context belongs to one thread at a time.
        self.ready: dict[bytes, AESGCM] = {}
        subkey = _doubled(self._aes.update(bytes(16))).to_bytes(16)
        self._masked = int.from_bytes(subkey * 2) ^ int.from_bytes(bytes(_HALF).join((*_COUNTERS, b"")))

    def encrypt(self, nonce: bytes, data: bytes, context: bytes) -> bytes:
        """The ciphertext of `data` (as long as it) and 16 bytes of tag over it and `context`.

        nonce: 24 bytes, never used twice with this key; random ones serve.
        """
        return self._of_message(nonce).encrypt(nonce[_HALF:], data, context)

    def decrypt(self, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
        """What was encrypted. Raises CipherDamaged."""
        try:
            return self._of_message(nonce).decrypt(nonce[_HALF:], sealed, context)
        except (InvalidTag, ValueError):
            raise CipherDamaged("not sealed by this key in this context, or damaged") from None

    def message_key(self, nonce: bytes) -> bytes:
        """The 32 bytes of AES-256-GCM key that belong to `nonce` (the specification's K_x)."""
        # Both blocks are one number, so that masking them is one operation.
        half = _BLANK + nonce[:_HALF]
        blocks = (self._masked ^ int.from_bytes(half + half)).to_bytes(32)
        with self._turn:
            return self._aes.update(blocks)

    def _of_message(self, nonce: bytes) -> AESGCM:
        assert len(nonce) == NONCE_BYTES, "a nonce of XAES-256-GCM has 24 bytes"
        half = nonce[:_HALF]
        return self.ready.get(half) or self.make_ready(half)

    def make_ready(self, half: bytes) -> AESGCM:
        """AES-256-GCM for all messages whose nonces begin with these 12 bytes; it stands in `ready`."""
        found = AESGCM(self.message_key(half))
        if len(self.ready) >= _KEPT:
            self.ready.clear()
        self.ready[half] = found
        return found

    def __repr__(self) -> str:
        return "Xaes256Gcm(…)"


def _doubled(block: bytes) -> int:
    """The CMAC subkey K1 of L: L times x in GF(2^128) (NIST SP 800-38B, section 6.1).

    Both reductions are computed and one is chosen without a branch on the secret.
    """
    value = int.from_bytes(block)
    return ((value << 1) & ((1 << 128) - 1)) ^ ((value >> 127) * 0x87)
