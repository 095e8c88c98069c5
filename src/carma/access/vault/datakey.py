"""The cipher of one owner: what their data key seals, names and proves.

One data key of 32 random bytes makes everything: the key of XAES-256-GCM, the key of BLAKE3, the key's public
name, its commitment, and a key for any further use, each by HKDF under a label of its own. So destroying one
key takes all of it. Sealed bytes are a random nonce (24 bytes), the ciphertext and the tag (16); nothing in
them selects an algorithm. The digest is keyed: a bare hash of a short text would confirm whoever guesses it.

The commitment is HKDF-SHA256 of the key: nobody finds two keys of one commitment without a collision of
SHA-256. XAES-256-GCM alone would let someone who chooses the key make bytes that open to two different
texts (Len, Grubbs, Ristenpart: Partitioning Oracle Attacks, 2021); here a key that does not match its
commitment is refused before it opens anything. Rejected: a commitment in every sealed piece (32 bytes for
each of millions).
"""

from __future__ import annotations

import hmac
from typing import NoReturn

from blake3 import blake3
from cryptography.exceptions import InvalidTag

from carma.access.vault.context import derived
from carma.access.vault.nonces import HALF_BYTES, Nonces
from carma.access.vault.xaes import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Xaes256Gcm
from carma.ports.cipher import CipherDamaged
from carma.ports.clock import Entropy, SystemEntropy

__all__ = ["KEY_ID_BYTES", "DataKeyCipher", "commitment_of", "key_id_of", "new_data_key"]

KEY_ID_BYTES = 16
_OVERHEAD = NONCE_BYTES + TAG_BYTES


def new_data_key(entropy: Entropy) -> bytes:
    """32 random bytes."""
    return entropy.bytes(KEY_BYTES)


def key_id_of(key: bytes) -> bytes:
    """16 bytes that name a data key; public."""
    return derived(key, "data key id", KEY_ID_BYTES)


def commitment_of(key: bytes) -> bytes:
    """32 bytes that fit one data key only; public."""
    return derived(key, "data key commitment")


class DataKeyCipher:
    """Implements `carma.ports.cipher.Cipher` with one owner's data key. Safe to share between threads.

    key: 32 bytes. commitment: what is stored of it; another key raises CipherDamaged here, before it is used.
    """

    __slots__ = ("_aead", "_digest_key", "_key", "_nonces", "_ready", "commitment", "key_id")

    overhead = _OVERHEAD

    def __init__(
        self, key: bytes, commitment: bytes | None = None, *, entropy: Entropy | None = None
    ) -> None:
        assert len(key) == KEY_BYTES, "a data key has 32 bytes"
        self.commitment = commitment_of(key)
        if commitment is not None and not hmac.compare_digest(commitment, self.commitment):
            raise CipherDamaged("the data key does not match its commitment")
        self.key_id = key_id_of(key)
        self._key = key
        self._aead = Xaes256Gcm(derived(key, "seal"))
        self._ready = self._aead.ready  # Many small records are opened: not a call too many.
        self._digest_key = derived(key, "digest")
        self._nonces = Nonces(entropy or SystemEntropy())

    def seal(self, data: bytes, context: bytes) -> bytes:
        """`data` encrypted and authenticated together with `context`: 40 bytes longer than `data`."""
        nonce = self._nonces.draw()
        return nonce + self._aead.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The bytes that were sealed in `context`. Raises CipherDamaged."""
        if len(sealed) < _OVERHEAD:
            raise CipherDamaged("shorter than anything sealed")
        half = sealed[:HALF_BYTES]
        gcm = self._ready.get(half) or self._aead.make_ready(half)
        try:
            return gcm.decrypt(sealed[HALF_BYTES:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CipherDamaged("not sealed by this key in this context, or damaged") from None

    def digest(self, data: bytes) -> bytes:
        """32 bytes of BLAKE3 over `data` under a key of the owner's."""
        return blake3(data, key=self._digest_key).digest()

    def subkey(self, label: str) -> bytes:
        """32 bytes for one other use, named by `label`."""
        return derived(self._key, f"use/{label}")

    def hand_over(self) -> bytes:
        """The data key itself, for a process of our own that is to have this cipher too.

        Only through a pipe that nobody else reads: never on a command line, in an environment, or in a file.
        """
        return self._key

    def __repr__(self) -> str:
        return f"DataKeyCipher({self.key_id.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a data key is not pickled")
