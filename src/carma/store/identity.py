"""What a memory is: `memory.json`, which is repeated in the first record of every segment.

The file is small and is read by people; its digest shows damage. If it is lost or damaged, the newest MEMORY
record of the segments restores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from blake3 import blake3

from carma.errors import FormatTooNew, NotEncrypted, VaultNeeded, VaultWrong
from carma.ports.cipher import Cipher
from carma.ports.disk import Disk, write_whole
from carma.store.payload import pack_map, unpack_map

__all__ = [
    "MEMORY_FORMAT", "Identity", "identity_bytes", "parse_identity", "read_identity", "refuse_newer",
    "write_identity",
]  # fmt: skip

MEMORY_FORMAT = 2
"""The newest format that is read: 2 is that of encrypted memories, 1 that of all others."""
_ENCRYPTED = 2
_FILE = "memory.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Format, store id, time of creation and the embedder that filled the memory.

    embedder: a fingerprint as a mapping (name, dimension, digest), None until the first one is known.
    encryption: `key` and `commitment` of the owner's data key in hexadecimal; None: it is not encrypted.
    revision: grows with each change, so that the newest of several copies is known.
    """

    id: str
    created: float
    format: int = 1
    revision: int = 1
    embedder: Mapping[str, Any] | None = None
    policies: Mapping[str, Any] = field(default_factory=dict)
    encryption: Mapping[str, str] | None = None

    def members(self) -> dict[str, Any]:
        """What stands in memory.json, without its digest. A memory that is not encrypted says nothing of
        it.
        """
        members = asdict(self)
        if self.encryption is None:
            del members["encryption"]
        return members

    def payload(self) -> bytes:
        """Payload of a MEMORY record."""
        return pack_map(self.members())

    @classmethod
    def from_payload(cls, payload: bytes) -> Identity:
        """The identity in a MEMORY record. Raises FormatTooNew."""
        return cls.from_dict(unpack_map(payload))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Identity:
        """Raises FormatTooNew, KeyError, TypeError."""
        if value["format"] > MEMORY_FORMAT:
            raise FormatTooNew(
                f"This memory has format {value['format']}; this CARMA reads up to {MEMORY_FORMAT}."
            )
        return cls(
            id=value["id"],
            created=value["created"],
            format=value["format"],
            revision=value["revision"],
            embedder=value["embedder"],
            policies=value["policies"],
            encryption=_key_of(value["encryption"]) if value["format"] >= _ENCRYPTED else None,
        )

    def with_embedder(self, fingerprint: Mapping[str, Any]) -> Identity:
        """The same memory, filled by another embedder."""
        return replace(self, embedder=dict(fingerprint), revision=self.revision + 1)

    def sealed_by(self, cipher: Cipher) -> Identity:
        """The same memory, encrypted by this cipher."""
        return replace(self, format=_ENCRYPTED, encryption=_named(cipher), revision=self.revision + 1)

    def check(self, cipher: Cipher | None) -> None:
        """Raise unless this is the cipher that encrypts the memory, or none does and none is given.

        Raises VaultNeeded, VaultWrong, NotEncrypted.
        """
        if cipher is None:
            if self.encryption is not None:
                raise VaultNeeded("This memory is encrypted, and no vault was given.")
        elif self.encryption is None:
            raise NotEncrypted("This memory is not encrypted, and a vault was given.")
        elif dict(self.encryption) != _named(cipher):
            raise VaultWrong(
                f"This memory is encrypted by the data key {self.encryption.get('key')}, "
                f"not by {cipher.key_id.hex()}."
            )


def _named(cipher: Cipher) -> dict[str, str]:
    """How a memory names the data key that encrypts it."""
    return {"key": cipher.key_id.hex(), "commitment": cipher.commitment.hex()}


def _key_of(value: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value[name]) for name in ("key", "commitment")}


def _digest(value: Mapping[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake3(canonical.encode()).hexdigest()


def identity_bytes(identity: Identity) -> bytes:
    """What stands in `memory.json`."""
    value = identity.members()
    return json.dumps(value | {"digest": _digest(value)}, indent=2, sort_keys=True).encode() + b"\n"


def parse_identity(data: bytes) -> Identity | None:
    """The identity in the bytes of a `memory.json`; None if they are damaged. Raises FormatTooNew."""
    value = _parsed(data)
    try:
        digest = value.pop("digest", None)
        return Identity.from_dict(value) if digest == _digest(value) else None
    except (ValueError, KeyError, TypeError):
        return None


def read_identity(disk: Disk, folder: str) -> Identity | None:
    """The identity in `memory.json`; None if the file is missing or damaged. Raises FormatTooNew,
    StorageError.
    """
    return parse_identity(_read(disk, folder))


def refuse_newer(disk: Disk, folder: str) -> None:
    """Raise FormatTooNew if a `memory.json` that we cannot prove says that it is newer.

    A newer format may digest in another way. Only asked where no segment says what the memory is: then
    believing the number changes nothing, and one flipped bit in it cannot lock anybody out.
    """
    claimed = _parsed(_read(disk, folder)).get("format")
    if isinstance(claimed, int) and claimed > MEMORY_FORMAT:
        raise FormatTooNew(f"This memory has format {claimed}; this CARMA reads up to {MEMORY_FORMAT}.")


def _read(disk: Disk, folder: str) -> bytes:
    """The bytes of `memory.json`; none if there is no such file."""
    try:
        file = disk.open(f"{folder}/{_FILE}")
    except FileNotFoundError:
        return b""
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def _parsed(data: bytes) -> dict[str, Any]:
    """The map in the bytes of a `memory.json`; empty if there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_identity(disk: Disk, folder: str, identity: Identity) -> None:
    """Replace `memory.json`, atomically and durably."""
    temporary = f"{folder}/{_FILE}.new"
    write_whole(disk, temporary, identity_bytes(identity))
    disk.rename(temporary, f"{folder}/{_FILE}")
    disk.sync_dir(folder)
