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

from carma.errors import FormatTooNew
from carma.ports.disk import Disk, write_whole
from carma.store.payload import pack_map, unpack_map

__all__ = ["MEMORY_FORMAT", "Identity", "read_identity", "refuse_newer", "write_identity"]

MEMORY_FORMAT = 1
_FILE = "memory.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Format, store id, time of creation and the embedder that filled the memory.

    embedder: a fingerprint as a mapping (name, dimension, digest), None until the first one is known.
    revision: grows with each change, so that the newest of several copies is known.
    """

    id: str
    created: float
    format: int = MEMORY_FORMAT
    revision: int = 1
    embedder: Mapping[str, Any] | None = None
    policies: Mapping[str, Any] = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        """What stands in memory.json, without its digest."""
        return asdict(self)

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
        )

    def with_embedder(self, fingerprint: Mapping[str, Any]) -> Identity:
        """The same memory, filled by another embedder."""
        return replace(self, embedder=dict(fingerprint), revision=self.revision + 1)


def _digest(value: Mapping[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake3(canonical.encode()).hexdigest()


def read_identity(disk: Disk, folder: str) -> Identity | None:
    """The identity in `memory.json`; None if the file is missing or damaged. Raises FormatTooNew,
    StorageError.
    """
    value = _read(disk, folder)
    try:
        digest = value.pop("digest", None)
        return Identity.from_dict(value) if digest == _digest(value) else None
    except (ValueError, KeyError, TypeError):
        return None


def refuse_newer(disk: Disk, folder: str) -> None:
    """Raise FormatTooNew if a `memory.json` that we cannot prove says that it is newer.

    A newer format may digest in another way. Only asked where no segment says what the memory is: then
    believing the number changes nothing, and one flipped bit in it cannot lock anybody out.
    """
    claimed = _read(disk, folder).get("format")
    if isinstance(claimed, int) and claimed > MEMORY_FORMAT:
        raise FormatTooNew(f"This memory has format {claimed}; this CARMA reads up to {MEMORY_FORMAT}.")


def _read(disk: Disk, folder: str) -> dict[str, Any]:
    """The map in `memory.json`; empty if there is none."""
    try:
        file = disk.open(f"{folder}/{_FILE}")
    except FileNotFoundError:
        return {}
    try:
        value = json.loads(file.pread(file.size(), 0))
    except (ValueError, RecursionError):
        return {}
    finally:
        file.close()
    return value if isinstance(value, dict) else {}


def write_identity(disk: Disk, folder: str, identity: Identity) -> None:
    """Replace `memory.json`, atomically and durably."""
    value = asdict(identity)
    data = json.dumps(value | {"digest": _digest(value)}, indent=2, sort_keys=True).encode() + b"\n"
    temporary = f"{folder}/{_FILE}.new"
    write_whole(disk, temporary, data)
    disk.rename(temporary, f"{folder}/{_FILE}")
    disk.sync_dir(folder)
