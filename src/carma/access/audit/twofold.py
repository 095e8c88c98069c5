"""Small things kept twice: keys, positions, what a witness saw last. Each is a whole file with a checksum.

A change writes the first copy, then the second, each under a new name that takes the old one's place; so a
crash leaves the old value or the new one, and one damaged copy is mended from the other. Rejected: the
journal (these values replace each other; nothing of their past is wanted).
"""

from __future__ import annotations

from blake3 import blake3

from carma.access.audit.turn import lasting_folder
from carma.errors import AuditDamaged
from carma.ports.disk import Disk, write_whole

__all__ = ["Twofold"]

_MAGIC = b"carma twofold 1\n"
_DIGEST_BYTES = 16
_COPIES = ("0", "1")
_MOST_BYTES = 16 * 2**20


class Twofold:
    """Values by name in a folder, each in two files. Who writes sees to it that nobody else does."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._lasting: set[str] = set()

    def get(self, name: str) -> bytes | None:
        """The value; None if there is none. Raises AuditDamaged if neither copy is whole, StorageError."""
        copies = [self._read(copy, name) for copy in _COPIES]
        for data in copies:
            value = _value(data)
            if value is not None:
                return value
        if any(data is not None for data in copies):
            raise AuditDamaged(f"Both copies of {self._folder}/*/{name} are damaged.")
        return None

    def put(self, name: str, value: bytes) -> None:
        """Replace the value, durably in both copies. Raises StorageError."""
        data = _MAGIC + blake3(value).digest(_DIGEST_BYTES) + value
        for copy in _COPIES:
            folder = f"{self._folder}/{copy}"
            if copy not in self._lasting:
                lasting_folder(self._disk, self._folder)
                lasting_folder(self._disk, folder)
                self._lasting.add(copy)
            write_whole(self._disk, f"{folder}/{name}.new", data)
            self._disk.rename(f"{folder}/{name}.new", f"{folder}/{name}")
            self._disk.sync_dir(folder)

    def mend(self, name: str) -> None:
        """Write the value again if one of its copies is not whole. Raises as `get` and `put`."""
        value = self.get(name)
        if value is not None and any(_value(self._read(copy, name)) != value for copy in _COPIES):
            self.put(name, value)

    def replace_for_good(self, name: str, value: bytes) -> None:
        """As `put`, and overwrite the old bytes, as far as a program can see to it. Raises StorageError."""
        for copy in _COPIES:
            path = f"{self._folder}/{copy}/{name}"
            size = self._disk.size(path)
            if size:
                file = self._disk.open(path, write=True)
                try:
                    file.pwrite(bytes(size), 0)
                    file.sync()
                finally:
                    file.close()
        self.put(name, value)

    def _read(self, copy: str, name: str) -> bytes | None:
        try:
            file = self._disk.open(f"{self._folder}/{copy}/{name}")
        except FileNotFoundError:
            return None
        try:
            return file.pread(_MOST_BYTES, 0)
        finally:
            file.close()


def _value(data: bytes | None) -> bytes | None:
    """What a copy holds; None if it is not whole."""
    start = len(_MAGIC) + _DIGEST_BYTES
    if data is None or len(data) < start or not data.startswith(_MAGIC):
        return None
    value = data[start:]
    return value if blake3(value).digest(_DIGEST_BYTES) == data[len(_MAGIC) : start] else None
