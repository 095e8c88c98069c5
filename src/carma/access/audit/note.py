"""Signed notes and the keys that sign them, as C2SP signed-note and tlog-cosignature define them.

A note is a text, an empty line, and lines with signatures; each names its key and carries four bytes of the
key's digest. Three kinds of signatures are used here: Ed25519 over the text (type 1, by the log), and the
timestamped cosignatures of a checkpoint by Ed25519 (type 4) and by ML-DSA-44 (type 6, FIPS 204), which also
resists quantum computers. Parsing is strict and bounded, because notes come from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

__all__ = [
    "COSIGNED", "ED25519", "ML_DSA_44", "NOTE_BYTES", "Note", "Signature", "Verifier", "is_key_name",
    "parse_note", "parse_signatures", "sign_ed25519", "sign_ml_dsa_44", "vkey_lines",
]  # fmt: skip

ED25519, COSIGNED, ML_DSA_44 = 1, 4, 6
"""Types of signatures: over the note, the same with a time, and ML-DSA-44 with a time."""
NOTE_BYTES = 262_144
"""The longest note that is read: 64 signatures by ML-DSA-44."""

_MOST_SIGNATURES = 64
_PUBLIC_BYTES = {ED25519: 32, COSIGNED: 32, ML_DSA_44: 1312}
_SIGNATURE_BYTES = {ED25519: 64, COSIGNED: 8 + 64, ML_DSA_44: 8 + 2420}
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]{1,255}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_HEX_ID = re.compile(r"[0-9a-f]{8}")


class Signature(NamedTuple):
    """One line behind a note: the name of the key, 4 bytes of its digest, and the signature."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """The line as it stands in a note, with its line end."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


class Note(NamedTuple):
    """A text (it ends with a line end) and the signatures behind it, not yet checked."""

    text: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """The note as it is written."""
        return (self.text + "\n" + "".join(each.line() for each in self.signatures)).encode()

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        """The note with more signatures; of one key the later one counts."""
        kept = {(each.name, each.key_id): each for each in (*self.signatures, *more)}
        return self._replace(signatures=tuple(kept.values()))


class Verifier(NamedTuple):
    """A public key: its name, the type of its signatures, and its bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of the SHA-256 of name, type and key (signed-note)."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as one word: `<name>+<key id>+<base64 of type and key>`."""
        packed = base64.b64encode(bytes((self.kind,)) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{packed}"

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """The key that a word names. Raises ValueError."""
        parts = vkey.strip().split("+", 2)
        if len(parts) != 3 or not is_key_name(parts[0]) or not _HEX_ID.fullmatch(parts[1]):
            raise ValueError("not a key of the form name+id+base64")
        packed = _decoded(parts[2])
        found = cls(parts[0], packed[0] if packed else 0, packed[1:])
        if _PUBLIC_BYTES.get(found.kind) != len(found.public):
            raise ValueError("a key of an unknown type, or of a wrong length")
        if found.key_id.hex() != parts[1]:
            raise ValueError("the key does not have the id that stands before it")
        return found

    def wrote(self, signature: Signature) -> bool:
        """Whether a signature says that it is by this key."""
        return signature.name == self.name and signature.key_id == self.key_id

    def accepts(self, signature: Signature, message: bytes) -> bool:
        """Whether the signature (without a time before it) is this key's over `message`."""
        data = signature.data
        if len(data) != _SIGNATURE_BYTES[self.kind]:
            return False
        try:
            if self.kind == ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(data[8:], message)
            else:
                start = 8 if self.kind == COSIGNED else 0
                Ed25519PublicKey.from_public_bytes(self.public).verify(data[start:], message)
        except (InvalidSignature, ValueError):
            return False
        return True


def sign_ed25519(key: Ed25519PrivateKey, name: str, kind: int, message: bytes, seconds: int = 0) -> Signature:
    """A signature of type 1 or 4 over `message`; type 4 carries `seconds`."""
    verifier = Verifier(name, kind, key.public_key().public_bytes_raw())
    when = struct.pack(">Q", seconds) if kind == COSIGNED else b""
    return Signature(name, verifier.key_id, when + key.sign(message))


def sign_ml_dsa_44(key: MLDSA44PrivateKey, name: str, message: bytes, seconds: int) -> Signature:
    """A signature of type 6 over `message`, which holds `seconds`."""
    verifier = Verifier(name, ML_DSA_44, key.public_key().public_bytes_raw())
    return Signature(name, verifier.key_id, struct.pack(">Q", seconds) + key.sign(message))


def parse_note(data: bytes) -> Note:
    """The note that `data` holds, without checking a signature. Raises ValueError."""
    if len(data) > NOTE_BYTES:
        raise ValueError("too long for a note")
    text = _text(data)
    body, separator, rest = text.rpartition("\n\n")
    if not separator or not rest:
        raise ValueError("a note without signatures")
    return Note(body + "\n", parse_signatures(rest.encode()))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Lines with signatures. Raises ValueError."""
    if len(data) > NOTE_BYTES:
        raise ValueError("too many signatures")
    text = _text(data)
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    lines = text[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise ValueError("too many signatures")
    return tuple(map(_signature, lines))


def _signature(line: str) -> Signature:
    name, space, packed = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_key_name(name):
        raise ValueError("not a line with a signature")
    data = _decoded(packed)
    if len(data) < 5:
        raise ValueError("a signature that is too short")
    return Signature(name, data[:4], data[4:])


def is_key_name(name: str) -> bool:
    """Whether a text may name a key: no spaces and no plus, and not longer than 255 bytes."""
    return bool(_NAME.fullmatch(name)) and name.isprintable() and len(name.encode()) <= 255


def vkey_lines(data: bytes) -> list[Verifier]:
    """The keys that stand in a file, one a line; empty lines and those that begin with # say nothing.

    Raises ValueError.
    """
    lines = (line.strip() for line in _text(data).split("\n"))
    return [Verifier.parse(line) for line in lines if line and not line.startswith("#")]


def _text(data: bytes) -> str:
    text = data.decode("utf-8")
    if _CONTROL.search(text):
        raise ValueError("a control character in a note")
    return text


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data
