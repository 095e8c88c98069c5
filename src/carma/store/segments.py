"""The files that hold records: where they are, and reading one record back, proven.

Two families of segments lie in the same folder. Log segments (`000042.seg`) are appended to, one after the
other, and their order is the order of writing; each has a second copy, its mirror. Rewritten segments
(`c000007.seg`) are made whole by a spread and never appended to; a REWRITE record in the log announces them,
and parity files (`parity/000003-0.par`) stand for their second copy. Numbers of rewritten segments carry bit
30 and those of parity files bit 31, so that one 32-bit number in a record header names any of them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeVar

from carma.errors import CarmaError, StorageError
from carma.ports.cipher import CipherDamaged
from carma.ports.disk import Disk, File
from carma.store.record import HEADER_BYTES, RecordDamaged, payload_at
from carma.store.scan import WHOLE_FROM, Intact, record_at
from carma.store.sealing import PLAIN, Sealing

__all__ = ["COPIES", "PARITY", "REWRITTEN", "Copy", "Segments", "is_log", "number_of"]

T = TypeVar("T")
Copy = Literal["segments", "mirror"]
COPIES: tuple[Copy, Copy] = ("segments", "mirror")
REWRITTEN = WHOLE_FROM
"""Set in the number of a rewritten segment."""
PARITY = 1 << 31
"""Set in the number of a parity file: PARITY + 16 * spread + column."""

_NAME = re.compile(r"^(c?)(\d{6,10})\.seg$")
_COLUMN = re.compile(r"^(\d{6,9})-(\d)\.par$")
_OPEN_FILES = 128


def is_log(number: int) -> bool:
    """Whether the number is that of a log segment."""
    return number < REWRITTEN


def number_of(name: str) -> int | None:
    """The number of the segment whose file has this name; None for any other file."""
    match = _NAME.match(name)
    return int(match[2]) + (REWRITTEN if match[1] else 0) if match else None


class Segments:
    """The segment files of one memory and their mirrors.

    sealing: how their payloads are sealed. suffix: behind the name of each file, of those that are not to be
    found by others yet.
    """

    def __init__(self, disk: Disk, folder: str, sealing: Sealing = PLAIN, suffix: str = "") -> None:
        self.disk = disk
        self.folder = folder
        self.sealing = sealing
        self._suffix = suffix
        self.durable: set[int] = set()
        """Log segments whose names this process has made durable in both folders."""
        self._files: OrderedDict[tuple[Copy, int], File] = OrderedDict()

    def path(self, copy: Copy, number: int) -> str:
        """Path of one copy of a segment, or of a parity file, which has one copy only."""
        if number >= PARITY:
            column = f"{(number - PARITY) >> 4:06d}-{(number - PARITY) & 15}"
            return f"{self.folder}/parity/{column}.par{self._suffix}"
        name = f"{number:06d}" if is_log(number) else f"c{number - REWRITTEN:06d}"
        return f"{self.folder}/{copy}/{name}.seg{self._suffix}"

    def numbers(self, copy: Copy | None = None) -> list[int]:
        """Numbers of the segments that exist (in one copy or in any), ascending; log segments come first."""
        places = COPIES if copy is None else (copy,)
        numbers = {number_of(name) for place in places for name in self._names(place)}
        return sorted(number for number in numbers if number is not None)

    def columns(self) -> list[int]:
        """Numbers of the parity files that exist, ascending."""
        names = map(_COLUMN.match, self._names("parity"))
        return sorted(PARITY + int(match[1]) * 16 + int(match[2]) for match in names if match)

    def _names(self, place: str) -> list[str]:
        names = self.disk.listdir(f"{self.folder}/{place}")
        return [name.removesuffix(self._suffix) for name in names if name.endswith(self._suffix)]

    def exists(self, number: int) -> bool:
        """Whether any copy of the segment exists."""
        return any(self.disk.size(self.path(copy, number)) is not None for copy in COPIES)

    def size(self, number: int) -> int:
        """Length of the longer copy; 0 if there is none."""
        return max(self.disk.size(self.path(copy, number)) or 0 for copy in COPIES)

    def read_all(self, copy: Copy, number: int, start: int = 0) -> bytes | None:
        """The bytes of one copy from `start` on; None if the copy is missing or cannot be read."""
        try:
            file = self._file(copy, number)
            return file.pread(max(file.size() - start, 0), start)
        except (FileNotFoundError, CarmaError):
            return None

    def both(self, number: int, start: int = 0) -> tuple[bytes, Callable[[], bytes], int]:
        """Both copies from `start` on, as `merge_copies` takes them: one read now, the other when asked, the
        length.

        Asking for the other raises StorageError if the copy that reaches to the end cannot be read: what
        cannot be read now must not be taken for what is not there.
        """
        first = self.read_all("segments", number, start)
        length = max(self.size(number) - start, 0)

        def second() -> bytes:
            other = self.read_all("mirror", number, start)
            known = max(len(first or b""), len(other or b""))
            if known < length and (first is None or other is None):
                raise StorageError(f"Neither copy of segment {number} can be read to its end.")
            return other or b""

        return first or b"", second, length

    def read(self, segment: int, offset: int, length: int) -> Intact:
        """The proven record at a place, from the mirror if the first copy is damaged.

        length: of the whole record, header and payload. Raises RecordDamaged if neither copy has it.
        """
        return self.read_as(lambda item: item, segment, offset, length)

    def read_as(self, decode: Callable[[Intact], T], segment: int, offset: int, length: int) -> T:
        """What `decode` makes of the record at a place, from the mirror if the first copy is damaged.

        decode: may raise RecordDamaged, then the mirror is asked. Raises RecordDamaged.
        """
        first: RecordDamaged | None = None
        # What was rewritten has parity instead of a mirror.
        for copy in COPIES if is_log(segment) else COPIES[:1]:
            try:
                return decode(self.read_copy(copy, segment, offset, length))
            except RecordDamaged as damage:
                first = first or damage
        assert first is not None
        raise first

    def read_copy(self, copy: Copy, segment: int, offset: int, length: int) -> Intact:
        """The proven record at a place of one copy. Raises RecordDamaged."""
        kept = self._files.get((copy, segment))
        try:
            return self._read_once(copy, segment, offset, length)
        except RecordDamaged:
            # Another process may have put a whole file in the place of the one that we hold open.
            if kept is None or kept.has_its_name():
                raise
            self._files.pop((copy, segment), None)
            return self._read_once(copy, segment, offset, length)

    def _read_once(self, copy: Copy, segment: int, offset: int, length: int) -> Intact:
        try:
            data = self._file(copy, segment).pread(length, offset)
        except FileNotFoundError:
            raise RecordDamaged("missing file", segment, offset) from None
        except CarmaError:
            raise RecordDamaged("unreadable", segment, offset) from None
        found = record_at(data, 0, segment, offset)
        if HEADER_BYTES + found.header.length != length:
            raise RecordDamaged("misdirected", segment, offset)
        return found

    def raw(self, segment: int, offset: int, length: int) -> bytes:
        """Unproven bytes of the first copy; fewer, or none, where it does not give them."""
        try:
            return self._file("segments", segment).pread(length, offset)
        except (FileNotFoundError, CarmaError):
            return b""

    def payload(self, segment: int, offset: int, length: int, seq: int) -> bytes:
        """The proven payload of the write `seq` from the first copy alone, opened. Raises RecordDamaged."""
        try:
            data = self._file("segments", segment).pread(length, offset)
        except (FileNotFoundError, CarmaError):
            raise RecordDamaged("missing file", segment, offset) from None
        if len(data) != length or length < HEADER_BYTES:
            raise RecordDamaged("truncated", segment, offset)
        try:
            return self.sealing.open(payload_at(data, segment, offset, seq))
        except CipherDamaged:
            raise RecordDamaged("bad seal", segment, offset) from None

    def forget(self, number: int) -> None:
        """Close the handles of a segment (its file was removed or replaced)."""
        for copy in COPIES:
            self._files.pop((copy, number), None)

    def close(self) -> None:
        """Close every handle."""
        self._files.clear()

    def _file(self, copy: Copy, number: int) -> File:
        """An open file. Evicted handles are not closed here but by their last user, who may be another
        thread.
        """
        key = (copy, number)
        file = self._files.get(key)
        if file is None:
            file = self.disk.open(self.path(copy, number))
            self._files[key] = file
            while len(self._files) > _OPEN_FILES:
                try:
                    self._files.popitem(last=False)
                except KeyError:
                    break
        return file
