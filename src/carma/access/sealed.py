"""Sealed bodies: a request that only the server can open, and an answer that only the asker can.

For whoever does not want to trust what ends the TLS connection on the way. The request is sealed by HPKE
(RFC 9180) with X25519 and ML-KEM-768 together, so it stays closed as long as either of them holds, to a key
that the client has pinned beside its root key. Inside lies a fresh key, and the answer is sealed by that.
Nothing is kept between requests. The request is bound to its method and target and to the key that it is sent
with, the answer to its request and status. Who sends is proven by the attempt key, whose tag covers the
digest of the sealed bytes. Without the sender in it, somebody with a key of their own could store what they
took off the wire in their own memory, and read it there.

Both halves stand in this file, so that they cannot grow apart. Rejected: a session of keys (state to lose),
TLS client certificates (they end where TLS ends).

    request   HPKE(format 1 | answer key 32 | length of media 1 | media | body)
    answer    nonce 12 | AES-256-GCM(length of media 1 | media | body) | tag 16
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carma.access.vault.context import context
from carma.errors import InvalidInput, SealedDamaged
from carma.ports.clock import Entropy

__all__ = [
    "PRIVATE_BYTES", "SEALED_MEDIA", "Opened", "SealingKey", "SealingPublicKey", "open_answer",
    "open_request", "seal_answer", "seal_request",
]  # fmt: skip

SEALED_MEDIA = "application/carma-sealed"
PRIVATE_BYTES = 96

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_FORMAT = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_SEED_BYTES = 64
_MLKEM_BYTES = 1184
_X25519_BYTES = 32
_REQUEST, _ANSWER = "carma sealed request 1", "carma sealed answer 1"


class SealingPublicKey:
    """The public key of a server. text: base64url, 1,622 characters; fingerprint: 16 digits of SHA-256."""

    __slots__ = ("_key", "fingerprint", "text")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _MLKEM_BYTES + _X25519_BYTES:
            raise InvalidInput("A server key has 1,216 bytes.")
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_BYTES])
        except ValueError as error:
            raise InvalidInput("The server key is damaged.") from error
        x25519 = X25519PublicKey.from_public_bytes(raw[_MLKEM_BYTES:])
        self._key = hpke.MLKEM768X25519PublicKey(mlkem, x25519)
        self.text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        self.fingerprint = hashlib.sha256(raw).hexdigest()[:16]

    @classmethod
    def of_text(cls, text: str) -> SealingPublicKey:
        """The key that `text` shows. Raises InvalidInput."""
        try:
            return cls(base64.urlsafe_b64decode(text.strip() + "=" * (-len(text.strip()) % 4)))
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("The server key is not base64.") from error

    def __repr__(self) -> str:
        return f"SealingPublicKey({self.fingerprint})"


class SealingKey:
    """The private key of a server. raw: 96 random bytes, secret; never printed or pickled."""

    __slots__ = ("_key", "public")

    def __init__(self, raw: bytes) -> None:
        assert len(raw) == PRIVATE_BYTES
        mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(raw[_SEED_BYTES:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = SealingPublicKey(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return f"SealingKey({self.public.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealing key is not pickled")


class Opened(NamedTuple):
    """What was in a sealed request. digest: SHA-256 of the sealed bytes, to which the answer is bound."""

    body: bytes
    media: str
    answer_key: bytes
    digest: bytes


def seal_request(
    body: bytes, media: str, key: SealingPublicKey, method: str, target: str, sender: str, entropy: Entropy
) -> tuple[bytes, bytes]:
    """A request's body, sealed, and the key that will open its answer.

    target: raw path and query. sender: the fingerprint of the key that the request is sent with.
    """
    answer_key = entropy.bytes(_KEY_BYTES)
    plain = _FORMAT + answer_key + _packed(body, media)
    return _SUITE.encrypt(plain, key._key, context(_REQUEST, method, target, sender)), answer_key


def open_request(sealed: bytes, key: SealingKey, method: str, target: str, sender: str) -> Opened:
    """What was sealed to this key for this method and target, by this sender. Raises SealedDamaged."""
    try:
        plain = _SUITE.decrypt(sealed, key._key, context(_REQUEST, method, target, sender))
    except (InvalidTag, ValueError) as error:
        raise SealedDamaged("The body is not sealed to this server for this request.") from error
    if plain[:1] != _FORMAT or len(plain) < 2 + _KEY_BYTES:
        raise SealedDamaged("The sealed body has a format that is not known here.")
    body, media = _unpacked(plain[1 + _KEY_BYTES :])
    return Opened(body, media, plain[1 : 1 + _KEY_BYTES], hashlib.sha256(sealed).digest())


def seal_answer(
    body: bytes, media: str, answer_key: bytes, request_digest: bytes, status: int, entropy: Entropy
) -> bytes:
    """An answer's body, sealed by the key that came with the request."""
    nonce = entropy.bytes(_NONCE_BYTES)
    bound = context(_ANSWER, request_digest, status)
    return nonce + AESGCM(answer_key).encrypt(nonce, _packed(body, media), bound)


def open_answer(sealed: bytes, answer_key: bytes, sealed_request: bytes, status: int) -> tuple[bytes, str]:
    """The body of an answer and its media type. Raises SealedDamaged."""
    bound = context(_ANSWER, hashlib.sha256(sealed_request).digest(), status)
    try:
        plain = AESGCM(answer_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise SealedDamaged("The answer is not sealed for this request.") from error
    return _unpacked(plain)


def _packed(body: bytes, media: str) -> bytes:
    name = media.encode()
    assert len(name) < 256
    return bytes([len(name)]) + name + body


def _unpacked(plain: bytes) -> tuple[bytes, str]:
    end = 1 + plain[0] if plain else 0
    try:
        return plain[end:], plain[1:end].decode()
    except UnicodeDecodeError as error:
        raise SealedDamaged("The media type of the sealed body is not text.") from error
