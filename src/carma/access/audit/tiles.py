"""Tiles: how the tree lies on disk, as C2SP tlog-tiles defines it, so that tools for such logs can read it.

    checkpoint                     the newest checkpoint, a signed note
    tile/<L>/<N>                   256 hashes of level L: 8,192 bytes
    tile/<L>/<N>.p/<W>             the last tile of a level: W hashes
    tile/entries/<N>[.p/<W>]       256 (or W) entries, each with its length (uint16, big-endian) in front

<N> is written in groups of three digits, all but the last behind an x: 1234067 is x001/x234/067. A tile of
level L + 1 holds the roots of the full tiles of level L. Files are written whole and never changed once a
checkpoint speaks of them; what lies there beyond the newest checkpoint counts for nothing.

Here is only where things lie and what their bytes mean; `reader` proves them, `log` writes them. Whatever
reads raises StorageError where the disk refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from carma.access.audit.leaf import LEAF_BYTES
from carma.access.audit.tree import HASH_BYTES
from carma.errors import AuditDamaged
from carma.ports.disk import Disk

__all__ = [
    "CHECKPOINT", "ENTRIES", "WIDTH", "Place", "TileDamaged", "bundle_entries", "edge_places", "pack_bundle",
    "pack_tile", "read_bundle", "read_file", "read_tile", "unpack_bundle", "width_of",
]  # fmt: skip

WIDTH = 256
"""Hashes of a full tile, and entries of a full bundle."""
CHECKPOINT = "checkpoint"
ENTRIES = -1
"""In the place of a level: the bundles of entries."""
_HEIGHT = 8
_MOST_BYTES = WIDTH * (2 + LEAF_BYTES)


class Place(NamedTuple):
    """A tile, or with level -1 a bundle of entries. width: of it, 1 to 256."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its path in the log's folder."""
        groups = f"{self.number:03d}"
        groups = groups.zfill(-(-len(groups) // 3) * 3)
        parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{name}{partial}"

    @property
    def interval(self) -> tuple[int, int]:
        """The first entry that it speaks of, and the one past the last."""
        each = WIDTH ** max(self.level, 0)
        return self.number * WIDTH * each, (self.number * WIDTH + self.width) * each


class TileDamaged(AuditDamaged):
    """A tile or a bundle is not what the checkpoint stands for. place: which; reason: why."""

    def __init__(self, place: Place, reason: str) -> None:
        start, end = place.interval
        super().__init__(f"{place.path} (entries {start} to {end - 1}): {reason}.")
        self.place = place
        self.reason = reason


def width_of(size: int, level: int, index: int) -> int:
    """How wide a tile or bundle is in a log of `size` entries; 0 if there is none."""
    whole = size >> (_HEIGHT * max(level, 0))
    return max(min(whole - index * WIDTH, WIDTH), 0)


def edge_places(size: int) -> list[Place]:
    """The tiles of a log that are not full, by level from 0. Together they hold the root."""
    places = []
    level = 0
    while (whole := size >> (_HEIGHT * level)) > 0:
        if whole % WIDTH:
            places.append(Place(level, whole // WIDTH, whole % WIDTH))
        level += 1
    return places


def pack_tile(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a tile."""
    return b"".join(hashes)


def pack_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))


def unpack_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle. Raises ValueError unless there are exactly `width` of them."""
    entries = list(_entries(data))
    if len(entries) != width:
        raise ValueError(f"{len(entries)} entries in the place of {width}")
    return entries


def _entries(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise ValueError("it ends inside an entry")
        yield data[at + 2 : end]
        at = end


def read_tile(disk: Disk, folder: str, place: Place) -> list[bytes]:
    """The hashes of a tile, as many as `place` is wide, not proven. Raises TileDamaged."""
    data = _read(disk, folder, place)
    if len(data) < place.width * HASH_BYTES or len(data) % HASH_BYTES:
        raise TileDamaged(place, f"{len(data)} bytes in the place of {place.width * HASH_BYTES}")
    return [data[at : at + HASH_BYTES] for at in range(0, place.width * HASH_BYTES, HASH_BYTES)]


def read_bundle(disk: Disk, folder: str, place: Place) -> list[bytes]:
    """The entries of a bundle, as many as `place` is wide, not proven. Raises TileDamaged."""
    entries = bundle_entries(disk, folder, place)
    if len(entries) < place.width:
        raise TileDamaged(place, f"{len(entries)} entries in the place of {place.width}")
    return entries[: place.width]


def bundle_entries(disk: Disk, folder: str, place: Place) -> list[bytes]:
    """All entries that stand in a bundle, however many there are. Raises TileDamaged."""
    data = read_file(disk, f"{folder}/{place.path}", _MOST_BYTES)
    exact = data is not None
    if data is None:
        data = _read(disk, folder, place)
    try:
        entries = list(_entries(data))
    except ValueError as error:
        raise TileDamaged(place, str(error)) from error
    return entries if exact else entries[: place.width]


def _read(disk: Disk, folder: str, place: Place) -> bytes:
    """The bytes of a tile or bundle; of the full one where the partial one was removed already."""
    data = read_file(disk, f"{folder}/{place.path}", _MOST_BYTES)
    if data is None and place.width < WIDTH:
        data = read_file(disk, f"{folder}/{place._replace(width=WIDTH).path}", _MOST_BYTES)
    if data is None:
        raise TileDamaged(place, "it is missing")
    return data


def read_file(disk: Disk, path: str, most: int) -> bytes | None:
    """The bytes of a file, None if there is none. Raises AuditDamaged above `most`, StorageError."""
    try:
        file = disk.open(path)
    except FileNotFoundError:
        return None
    try:
        data = file.pread(most + 1, 0)
    finally:
        file.close()
    if len(data) > most:
        raise AuditDamaged(f"{path} is longer than {most:,} bytes.")
    return data
