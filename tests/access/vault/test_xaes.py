"""XAES-256-GCM is what its specification says it is (https://c2sp.org/XAES-256-GCM, test vectors)."""

from __future__ import annotations

import sys
import threading

import pytest
from cryptography.hazmat.primitives.hashes import SHAKE128, XOFHash
from hypothesis import given
from hypothesis import strategies as st

from carma.access.vault.xaes import Xaes256Gcm
from carma.ports.cipher import CipherDamaged

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
ONE = (
    b"\x01" * 32,
    b"",
    "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
    "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
)
THREE = (
    b"\x03" * 32,
    b"c2sp.org/XAES-256-GCM",
    "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
    "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
)


@pytest.mark.parametrize(("key", "context", "derived", "sealed"), [ONE, THREE], ids=["msb0", "msb1"])
def test_the_vectors_of_the_specification_hold(key: bytes, context: bytes, derived: str, sealed: str) -> None:
    """The two vectors, one for each way the CMAC subkey is reduced: derived key, ciphertext, plaintext."""
    aead = Xaes256Gcm(key)
    assert aead.message_key(NONCE).hex() == derived
    assert aead.encrypt(NONCE, b"XAES-256-GCM", context).hex() == sealed
    assert aead.decrypt(NONCE, bytes.fromhex(sealed), context) == b"XAES-256-GCM"


def _accumulated(rounds: int) -> str:
    """The hash of `rounds` ciphertexts over inputs from SHAKE-128, as the specification draws them."""
    stream, total = XOFHash(SHAKE128(sys.maxsize)), XOFHash(SHAKE128(sys.maxsize))
    for _ in range(rounds):
        aead, nonce = Xaes256Gcm(stream.squeeze(32)), stream.squeeze(24)
        data, context = (stream.squeeze(length) if (length := stream.squeeze(1)[0]) else b"" for _ in "dc")
        sealed = aead.encrypt(nonce, data, context)
        assert aead.decrypt(nonce, sealed, context) == data
        total.update(sealed)
    return total.squeeze(32).hex()


def test_ten_thousand_accumulated_random_vectors_hold() -> None:
    """The specification's accumulated test over 10,000 keys, nonces, texts and contexts."""
    assert _accumulated(10_000) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


@pytest.mark.nightly
def test_a_million_accumulated_random_vectors_hold() -> None:
    """The specification's accumulated test over 1,000,000 of them."""
    assert _accumulated(1_000_000) == "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15"


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.binary(max_size=100))
def test_what_is_encrypted_can_be_decrypted(key: bytes, data: bytes, context: bytes) -> None:
    """A round trip gives the data back, 16 bytes longer in between."""
    aead = Xaes256Gcm(key)
    sealed = aead.encrypt(NONCE, data, context)
    assert len(sealed) == len(data) + 16
    assert aead.decrypt(NONCE, sealed, context) == data


def test_every_flipped_bit_is_refused() -> None:
    """No bit of ciphertext, tag, nonce or context can be flipped."""
    aead = Xaes256Gcm(bytes(32))
    parts = [NONCE, aead.encrypt(NONCE, b"text", b"where"), b"where"]
    for at, part in enumerate(parts):
        for bit in range(len(part) * 8):
            wrong = bytearray(part)
            wrong[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CipherDamaged):
                aead.decrypt(*[*parts[:at], bytes(wrong), *parts[at + 1 :]])


def test_threads_may_share_a_key() -> None:
    """Eight threads that seal and open with one object never meet each other's message keys."""
    aead = Xaes256Gcm(bytes(range(32)))
    wrong: list[int] = []

    def work(who: int) -> None:
        for number in range(300):
            nonce = bytes([who]) * 12 + number.to_bytes(12)
            if aead.decrypt(nonce, aead.encrypt(nonce, nonce, b""), b"") != nonce:
                wrong.append(who)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
