"""A memory in an archive (a tar file), read where it lies.

Nothing is unpacked: a sealed archive of a plain memory, opened for its recipient, would otherwise stand on
disk in the clear for a while, and stay there if the process died. Every record is proven twice: once when the
archive is gone through, and once when it is given out.

Rejected: tarfile's own word for where an archive ends. It takes a damaged header for the end.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from carma.errors import ArchiveDamaged
from carma.store.identity import Identity, parse_identity
from carma.store.record import HEADER_BYTES, RecordDamaged
from carma.store.scan import Damaged, Intact, merge_copies, record_at
from carma.store.segments import number_of

__all__ = ["Archived"]

_ROOT = "memory/"
_SEGMENTS = f"{_ROOT}segments/"
_IDENTITY = f"{_ROOT}memory.json"
_IDENTITY_BYTES = 1 << 20
_PIECE = 8 << 20


class _Place(NamedTuple):
    """Where a record lies: in its segment, and the segment in the file."""

    segment: int
    offset: int
    length: int
    base: int


class Archived:
    """The memory in an archive. Keeps the places of its records, some 200 bytes for each.

    file: to be read, at its beginning, and to be moved about in. name: what messages call it.
    damaged: how many places of records hold none.
    Raises ArchiveDamaged, FormatTooNew, and what reading the file raises.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._places: dict[int, _Place] = {}
        self.damaged = 0
        identity: Identity | None = None
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.name == _IDENTITY and member.isreg() and member.size <= _IDENTITY_BYTES:
                        identity = parse_identity(self._bytes(member.offset_data, member.size))
                    number = number_of(member.name.removeprefix(_SEGMENTS))
                    if number is not None and member.name.startswith(_SEGMENTS) and member.isreg():
                        self._note(number, member.offset_data, member.size)
                end = archive.offset
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
            # The last two come of lengths that no entry has.
            raise ArchiveDamaged(f"{name} is not a whole archive ({error}).") from error
        if self._bytes(end, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ArchiveDamaged(f"{name} is not a whole archive: what stands at {end} is no entry of it.")
        if identity is None:
            raise ArchiveDamaged(f"{name} holds no memory.")
        self.identity = identity

    def records(self) -> Iterator[Intact]:
        """Every write, proven, each once and in the order of writing. Raises ArchiveDamaged."""
        for seq in sorted(self._places):
            segment, offset, length, base = self._places[seq]
            try:
                yield record_at(self._bytes(base + offset, length), 0, segment, offset)
            except RecordDamaged as damage:
                raise ArchiveDamaged(f"{self._name} changed while it was read ({damage}).") from damage

    def _note(self, number: int, base: int, size: int) -> None:
        data = self._bytes(base, size)
        if len(data) < size:
            raise ArchiveDamaged(f"{self._name} ends within segment {number}.")
        for item in merge_copies(data, bytes, len(data), number):
            if isinstance(item, Damaged):
                self.damaged += not item.torn
            elif (h := item.header).seq:
                self._places[h.seq] = _Place(number, h.offset, HEADER_BYTES + h.length, base)

    def _bytes(self, at: int, length: int) -> bytes:
        """So many bytes from a place, or as many as there are: a length may be anything."""
        parts: list[bytes] = []
        try:
            self._file.seek(at)
            while length > 0 and (part := self._file.read(min(length, _PIECE))):
                parts.append(part)
                length -= len(part)
        except (OSError, ValueError, OverflowError) as error:
            raise ArchiveDamaged(f"{self._name} cannot be read ({error}).") from error
        return b"".join(parts)
