"""The four equal files of a journal, and the small file that says which record is the newest.

Mending touches only bytes that differ from the image, because the valid rest of a copy may be the only one;
what is obsolete is overwritten in place before a file is cut, so that no old byte stays behind.

Rejected: mending by a new file and a rename (the old file's blocks would keep what is to be forgotten).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress

from blake3 import blake3

from carma.access.frames import Image, frame_at
from carma.errors import CarmaError, StorageError
from carma.ports.disk import Disk, File

__all__ = ["WITNESS_BYTES", "Copies", "Witness", "read_file"]

_NEWEST = struct.Struct("<Q8s")
WITNESS_BYTES = _NEWEST.size


class Copies:
    """The files `<folder>/0.log` and so on."""

    def __init__(self, disk: Disk, folder: str, count: int) -> None:
        self._disk = disk
        self._folder = folder
        self.paths = [f"{folder}/{number}.log" for number in range(count)]

    def sizes(self) -> set[int | None]:
        """The different lengths of the files; one if all is well."""
        return {self._disk.size(path) for path in self.paths}

    def read(self, number: int, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of one copy. Raises FileNotFoundError, StorageError."""
        return read_file(self._disk, self.paths[number], offset, length)

    def read_all(self) -> list[bytes | None]:
        """Each copy whole; None for one that is missing or cannot be read."""
        found: list[bytes | None] = []
        for number in range(len(self.paths)):
            try:
                found.append(self.read(number))
            except (FileNotFoundError, StorageError):
                found.append(None)
        return found

    def append(self, data: bytes, at: int) -> None:
        """Write `data` at offset `at` of every copy, durably. If it fails, `take_back`."""
        for path in self.paths:
            self._write(path, data, at, sync=False)
        for path in self.paths:
            self._sync(path)

    def take_back(self, end: int) -> None:
        """Cut what a failed append left, as far as the disk lets us."""
        for path in self.paths:
            with suppress(CarmaError, FileNotFoundError):
                self._cut(path, self._disk.size(path) or 0, end)

    def overwrite(self, data: bytes) -> None:
        """Put `data` in the place of all that the copies hold, durably in one before the next is touched."""
        for path in self.paths:
            self._overwrite(path, data)

    def mend(self, found: Sequence[bytes | None], image: Image) -> None:
        """Make every copy equal to the image."""
        for path, data in zip(self.paths, found, strict=True):
            if data != image.data:
                self._mend(path, data, image)

    def _mend(self, path: str, data: bytes | None, image: Image) -> None:
        if data is None:
            self._disk.unlink(path)
            self._write(path, image.data, 0)
            return
        head = frame_at(data, 0)
        if head is not None and head.generation != image.generation:
            self._overwrite(path, image.data)
            return
        for first, end in image.ranges:
            if data[first:end] != image.data[first:end]:
                self._write(path, image.data[first:end], first, sync=False)
        self._sync(path)
        self._cut(path, len(data), len(image.data))

    def _overwrite(self, path: str, data: bytes) -> None:
        old = self._disk.size(path) or 0
        self._write(path, data, 0)
        self._cut(path, old, len(data))

    def _cut(self, path: str, old: int, new: int) -> None:
        """Shorten a file; what is cut is overwritten first."""
        if old > new:
            self._write(path, bytes(old - new), new)
            file = self._disk.open(path, write=True)
            try:
                file.truncate(new)
                file.sync()
            finally:
                file.close()

    def _write(self, path: str, data: bytes, offset: int, *, sync: bool = True) -> None:
        made = self._disk.size(path) is None
        file = self._disk.open(path, write=True, create=True)
        try:
            file.pwrite(data, offset)
            if sync:
                file.sync()
        finally:
            file.close()
        if made:
            self._disk.sync_dir(self._folder)

    def _sync(self, path: str) -> None:
        file = self._disk.open(path, write=True)
        try:
            file.sync()
        finally:
            file.close()


class Witness:
    """The file `<folder>/newest`: the number of the newest acknowledged record.

    It differs after every change, so its few bytes tell whether there is anything new. And records up to its
    number were acknowledged: if they are gone, that is damage and not an append that was torn.
    """

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._path = f"{folder}/newest"
        self.file: File | None = None

    def mark(self) -> bytes:
        """The bytes of the file, empty if there is none. One short read of a file that is kept open."""
        if self.file is None:
            self.look_again()
        return b"" if self.file is None else self.file.pread(WITNESS_BYTES, 0)

    def look_again(self) -> None:
        """Open the file by its name: somebody may have taken it away, and another process made it anew."""
        # The old one is not closed here, since another thread may be reading it; it is when nobody holds it.
        try:
            self.file = self._disk.open(self._path)
        except FileNotFoundError:
            self.file = None

    def close(self) -> None:
        """Give the file back; it is opened again when somebody asks."""
        self.file = None

    def number(self) -> int:
        """The newest record that was acknowledged; 0 if the file does not say."""
        try:
            data = read_file(self._disk, self._path, 0, _NEWEST.size)
        except (FileNotFoundError, StorageError):
            return 0
        number, check = _NEWEST.unpack(data) if len(data) == _NEWEST.size else (0, b"")
        return number if check == _check_of(number) else 0

    def testify(self, number: int) -> None:
        """Tell everybody. Not synced: after a power loss nobody is left to tell, and the copies are safe."""
        file = self._disk.open(self._path, write=True, create=True)
        try:
            file.pwrite(_NEWEST.pack(number, _check_of(number)), 0)
        finally:
            file.close()


def read_file(disk: Disk, path: str, offset: int, length: int | None) -> bytes:
    """`length` bytes of a file, or all from `offset`. Raises FileNotFoundError, StorageError."""
    file = disk.open(path)
    try:
        return file.pread(max(file.size() - offset, 0) if length is None else length, offset)
    finally:
        file.close()


def _check_of(number: int) -> bytes:
    return blake3(b"carma newest" + number.to_bytes(8, "little")).digest(8)
