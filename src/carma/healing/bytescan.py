"""Looking for damage in a memory whose key is not at hand: at the level of bytes.

What is sealed has its digests outside of the seal, so whoever keeps the files for somebody else (a backup, a
disk with other people's memories) can prove them: every record of the log by its digest in one of its two
copies, every segment of a spread by its digest in the manifest, every parity file record by record. Which
fragment a write belongs to stands in its header. What only the registry knows is not asked: whether a write
is the newest, what was called lost before. It reads only, and takes no lock.

Nothing here proves who sealed a record; that takes the key (docs/FORMAT.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from blake3 import blake3

from carma.errors import CarmaError, MemoryNotFound
from carma.healing.look import Seen, kind_of, starts_well, wrong_at
from carma.ports.disk import Disk
from carma.reports import Finding, ScanReport
from carma.store.identity import read_identity
from carma.store.manifest import Manifest
from carma.store.opening import known_identity
from carma.store.parity import Spreads
from carma.store.record import HEADER_BYTES
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, REWRITTEN, Copy, Segments, is_log

__all__ = ["scan_bytes"]


def scan_bytes(disk: Disk, folder: str, *, deep: bool) -> ScanReport:
    """Look at every file of records of the memory in `folder`, without its key.

    deep: read every byte; else names, sizes and first headers. `unnamed` is not known and 0.
    Raises MemoryNotFound, StorageError.
    """
    started = time.monotonic()
    if known_identity(disk, folder) is None:
        raise MemoryNotFound(f"There is no memory at {folder}.")
    look = _Look(disk, folder, deep)
    try:
        look.all()
    finally:
        look.segments.close()
    seen = look.seen
    return ScanReport(
        deep=deep, files=seen.files, records=seen.records, bytes=seen.bytes, damaged=seen.damaged,
        lost=look.lost, unnamed=0, findings=tuple(seen.findings), took_s=time.monotonic() - started,
        without_key=True,
    )  # fmt: skip


class _Look:
    """One look round a folder."""

    def __init__(self, disk: Disk, folder: str, deep: bool) -> None:
        self.segments = Segments(disk, folder)
        self.seen = Seen()
        self.lost = 0
        self._spreads = Spreads(self.segments, without_key=True)
        self._disk = disk
        self._folder = folder
        self._deep = deep

    def all(self) -> None:
        try:
            said = read_identity(self._disk, self._folder)
        except CarmaError:
            said = None
        if said is None:
            what = "It is missing or damaged; every segment and manifest repeats it."
            self._find("bad digest", "memory.json", what, redundant=True)
        manifests = self._spreads.manifests()
        replaced = {number for each in manifests for number in each.head.inputs}
        current = [each for each in manifests if each.head.first not in replaced]
        for manifest in current:
            for number in (*manifest.segments, *manifest.columns):
                self._of_spread(manifest, number)
        for number in self.segments.numbers():
            if number not in replaced and (is_log(number) or self._spreads.of_segment(number) is None):
                self._log(number)

    def _path(self, number: int, copy: Copy = "segments") -> str:
        return self.segments.path(copy, number).removeprefix(f"{self._folder}/")

    def _find(
        self, reason: str, path: str, what: str, *, redundant: bool, offset: int | None = None,
        item: Intact | Damaged | None = None,
    ) -> None:  # fmt: skip
        header = item.header if item is not None else None
        self.lost += not redundant
        self.seen.findings.append(
            Finding(
                kind=kind_of(reason), path=path, offset=offset, redundant=redundant, what=what,
                seq=header.seq or None if header is not None else None,
                id=header.id.hex() if header is not None and any(header.id) else None,
            )
        )  # fmt: skip

    # Spreads

    def _of_spread(self, manifest: Manifest, number: int) -> None:
        segment = number in manifest.segments
        size = manifest.size(number) if segment else manifest.column_size(number - manifest.column(0))
        if self._deep:
            data = self._data(number)
        else:
            data = self._head(number)
            there = self._disk.size(self.segments.path("segments", number))
            if data is not None and there == size and starts_well(data, number):
                return
            data = self._data(number)  # Something is odd: look closely.
        self.seen.bytes += len(data or b"")
        if segment:
            self._segment(manifest, number, data)
        else:
            self._column(manifest, number, data, size)

    def _data(self, number: int) -> bytes | None:
        data = self.segments.read_all("segments", number)
        self.seen.files += data is not None
        return data

    def _head(self, number: int) -> bytes | None:
        path = self.segments.path("segments", number)
        try:
            file = self._disk.open(path)
        except FileNotFoundError:
            return None
        try:
            self.seen.files += 1
            return file.pread(HEADER_BYTES, 0)
        finally:
            file.close()

    def _segment(self, manifest: Manifest, number: int, data: bytes | None) -> None:
        at = number - manifest.head.first
        indices = manifest.in_segment(number)
        self.seen.records += len(indices)
        if data is not None and blake3(data).digest(8) == manifest.head.digests[at * 8 : at * 8 + 8]:
            return
        wrong = 0
        for index in indices:
            offset, seq = manifest.place(index)[1], manifest.records[index].seq
            reason = "missing file" if data is None else wrong_at(data, number, offset, seq)
            if not reason:
                continue
            wrong += 1
            self.seen.damaged += 1
            decoded = self._spreads.rebuild(number, offset)
            what = "Parity gives it back." if decoded is not None else "Nothing gives it back."
            self._find(
                reason, self._path(number), what, redundant=decoded is not None, offset=offset, item=decoded
            )
        if not wrong:
            what = "Every record is proven, but the digest of the file is another."
            self._find("bad digest", self._path(number), what, redundant=True)

    def _column(self, manifest: Manifest, number: int, data: bytes | None, size: int) -> None:
        path = self._path(number)
        if data is None or len(data) < size:
            self.seen.damaged += 1
            what = f"{size - len(data or b'')} of {size} bytes of parity are missing."
            self._find("missing file" if data is None else "truncated", path, what, redundant=True)
        for run in merge_copies(data or b"", bytes, len(data or b""), number):
            self.seen.records += 1
            if isinstance(run, Damaged):
                self.seen.damaged += 1
                what = f"{run.length} bytes of parity."
                self._find(run.reason, path, what, redundant=True, offset=run.offset)

    # The log, and segments whose manifest is lost

    def _log(self, number: int) -> None:
        copies = {copy: self.segments.read_all(copy, number) for copy in COPIES}
        if number >= REWRITTEN:
            copies.pop("mirror")
        self.seen.files += sum(data is not None for data in copies.values())
        held = {copy: data or b"" for copy, data in copies.items()}
        if not self._deep and self._looks_equal(number, held):
            return
        first, second = held["segments"], held.get("mirror", b"")
        self.seen.bytes += len(first) + len(second)
        runs = list(merge_copies(first, lambda: second, max(len(first), len(second)), number))
        for run in runs:
            self.seen.records += 1
            if isinstance(run, Damaged):
                if not run.torn:
                    self.seen.damaged += 1
                    what = f"{run.length} bytes. No copy has it."
                    self._find(
                        run.reason, self._path(number), what, redundant=False, offset=run.offset, item=run
                    )
                continue
            for copy in self._lacking(run, held):
                self.seen.damaged += 1
                path, at = self._path(number, copy), run.header.offset
                self._find("bad digest", path, "The other copy has it.", redundant=True, offset=at, item=run)

    @staticmethod
    def _looks_equal(number: int, held: dict[Copy, bytes]) -> bool:
        sizes = {len(data) for data in held.values()}
        return len(sizes) == 1 and all(not data or starts_well(data, number) for data in held.values())

    @staticmethod
    def _lacking(run: Intact, held: dict[Copy, bytes]) -> Iterator[Copy]:
        for copy, data in held.items():
            if wrong_at(data, run.header.segment, run.header.offset, run.header.seq):
                yield copy
