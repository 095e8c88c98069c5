"""What sealed bytes are bound to, and keys made out of keys: two small rules that the whole vault uses.

A context is a list of fields, each with its length in front, so that no two lists make the same bytes: not
("ab", "c") and ("a", "bc"), and not a number and the text of its digits. A key has one use; every use takes
a key of its own from HKDF-SHA256 (RFC 5869), named by a label. Rejected: joining fields by a separator,
which is right until a field holds it.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

__all__ = ["context", "derived"]

_NUMBER = b"\x00\x00\x00\x08i"
_LABEL = b"carma/1/"


def context(*fields: bytes | str | int) -> bytes:
    """The fields as bytes that no other list of fields has.

    Each field is its length (4 bytes, big-endian), a letter for its type (b, s in UTF-8, i as 8 bytes, signed
    and big-endian) and itself. A field is shorter than 2^32 bytes, a number fits in 64 bits.
    """
    parts: list[bytes] = []
    for field in fields:
        if isinstance(field, int):
            parts += (_NUMBER, field.to_bytes(8, signed=True))
        elif isinstance(field, str):
            encoded = field.encode()
            parts += (len(encoded).to_bytes(4), b"s", encoded)
        else:
            parts += (len(field).to_bytes(4), b"b", field)
    return b"".join(parts)


def derived(key: bytes, label: str, length: int = 32) -> bytes:
    """`length` bytes of key for the use named by `label`; no other label gives anything about them.

    key: 32 uniformly random bytes, so HKDF's first step (extract) is left out (RFC 5869, section 3.3).
    """
    return HKDFExpand(SHA256(), length, _LABEL + label.encode()).derive(key)
