"""What the vault's journal holds: three kinds of record, as bytes.

    ["vault",    1, when, wrapped secret of the vault]
    ["key",      owner tag, when, key id, commitment, wrapped (data key and owner's name)]
    ["shredded", owner tag, when, key id, commitment]

The owner tag is a keyed digest of the owner's name under the vault's own secret, so the journal shows neither
who is in it nor, after a shredding, who was: the name stands only inside what the key-encryption key wraps.
The newest record of a tag counts. Everything wrapped is bound to the rest of its record. Rejected: names in
the clear (a shredded owner would stay named in every backup).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
from blake3 import blake3

from carma.access.vault.context import context
from carma.access.vault.datakey import KEY_ID_BYTES
from carma.errors import FormatTooNew

__all__ = ["Entry", "Opening", "Record", "Shredding", "owner_tag", "parse", "to_bytes"]

_VERSION = 1
_TAG_BYTES = 16
_COMMITMENT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record of a vault. wrapped: its own secret, which makes owner tags."""

    when: float
    wrapped: bytes

    @property
    def context(self) -> bytes:
        """What the wrapped bytes are bound to."""
        return context("vault", _VERSION)


@dataclass(frozen=True, slots=True)
class Entry:
    """The data key of one owner. wrapped: the key (32 bytes) and the owner's name in UTF-8."""

    tag: bytes
    when: float
    key_id: bytes
    commitment: bytes
    wrapped: bytes

    @property
    def context(self) -> bytes:
        """What the wrapped bytes are bound to."""
        return context("data key", self.tag, self.key_id, self.commitment)


@dataclass(frozen=True, slots=True)
class Shredding:
    """What is left of a data key that was destroyed. when: seconds since the epoch, UTC."""

    tag: bytes
    when: float
    key_id: bytes
    commitment: bytes


Record = Opening | Entry | Shredding


def owner_tag(secret: bytes, owner: str) -> bytes:
    """16 bytes that stand for an owner and tell nothing about the name to whoever lacks the secret."""
    return blake3(owner.encode(), key=secret).digest(length=_TAG_BYTES)


def to_bytes(record: Record) -> bytes:
    """A record for the journal."""
    if isinstance(record, Opening):
        return bytes(msgpack.packb(["vault", _VERSION, record.when, record.wrapped]))
    fields: list[Any] = ["key" if isinstance(record, Entry) else "shredded"]
    fields += [record.tag, record.when, record.key_id, record.commitment]
    return bytes(msgpack.packb([*fields, record.wrapped] if isinstance(record, Entry) else fields))


def parse(data: bytes) -> Record:
    """A record out of the journal. Raises FormatTooNew: the bytes are whole, so a newer CARMA wrote them."""
    try:
        match msgpack.unpackb(data):
            case ["vault", int(version), float(when), bytes(wrapped)] if version == _VERSION:
                return Opening(when, wrapped)
            case ["key", bytes(tag), float(when), bytes(key_id), bytes(commitment), bytes(wrapped)]:
                _check(tag, key_id, commitment)
                return Entry(tag, when, key_id, commitment, wrapped)
            case ["shredded", bytes(tag), float(when), bytes(key_id), bytes(commitment)]:
                _check(tag, key_id, commitment)
                return Shredding(tag, when, key_id, commitment)
    except (ValueError, msgpack.UnpackException):
        pass
    raise FormatTooNew("The vault holds a record that this CARMA does not know.")


def _check(tag: bytes, key_id: bytes, commitment: bytes) -> None:
    """Raises ValueError."""
    if (len(tag), len(key_id), len(commitment)) != (_TAG_BYTES, KEY_ID_BYTES, _COMMITMENT_BYTES):
        raise ValueError("a field has a wrong length")
