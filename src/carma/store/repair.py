"""Repair: one file of a memory made whole again, byte for byte where everything is left to do so.

A file is put together in memory, proven, written beside the old one under a temporary name, synced and read
back. Then the old one goes to quarantine and the new one takes its name: two renames, and a crash between
them leaves a missing file, which is one loss less than before. Where the disk is full the reserve is given up
for the time it takes.

What is not left stays a hole of zeros of the same length, so that everything else keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from blake3 import blake3

from carma.errors import DiskFull, StorageError
from carma.ports.disk import write_whole
from carma.store.apply import readmit as take_in
from carma.store.identity import read_identity, write_identity
from carma.store.manifest import Manifest
from carma.store.parity import column_bytes, parity_shards
from carma.store.record import HEADER_BYTES, RecordKind, encode_header
from carma.store.recovery import best_bytes
from carma.store.scan import Intact
from carma.store.segments import COPIES, PARITY, Copy, is_log
from carma.store.store import Store

__all__ = ["keep_reserve", "readmit", "record_bytes", "restore_file", "restore_identity", "with_reserve"]

_UNIT = 4096


def record_bytes(item: Intact) -> bytes:
    """A record as it stands in its file."""
    h = item.header
    header = encode_header(
        h.kind, h.version, h.seq, h.time_ms, h.id, h.segment, h.offset, item.payload, h.text_digest, h.flags
    )
    return header + item.payload


def restore_file(store: Store, number: int, found: Mapping[int, bytes] | None = None) -> int:
    """Make a segment, a parity file or both copies of a log segment whole; how many records are still lost.

    found: by offset, whole records that no shard gives (from a short copy, another memory, ...), proven by
    the caller. Nothing is written if the file is whole already. -1: the file cannot be made again at all.
    Raises StorageError (the old file is then where it was, or in quarantine).
    """
    if is_log(number):
        return _restore_log(store, number)
    manifest = store.spreads.of_segment(number)
    if manifest is None:
        return -1
    if number >= PARITY:
        return _restore_column(store, manifest, number)
    data, lost = segment_bytes(store, manifest, number, found or {})
    at = number - manifest.head.first
    digest = manifest.head.digests[at * 8 : at * 8 + 8]
    if not lost and blake3(data).digest(8) != digest:
        return -1  # The records are proven, but not those that were here: believe neither.
    _replace(store, "segments", number, data)
    return lost


def segment_bytes(
    store: Store, manifest: Manifest, number: int, found: Mapping[int, bytes]
) -> tuple[bytes, int]:
    """What a segment of a spread should hold, and how many of its records nothing gives."""
    out = bytearray(manifest.size(number))
    lost = 0
    for index in manifest.in_segment(number):
        _, offset, length = manifest.place(index)
        item = store.spreads.member(manifest, index)
        if item is None and offset not in found:
            item = store.spreads.rebuild(number, offset)
        data = record_bytes(item) if item is not None else found.get(offset)
        if data is None or len(data) != length:
            lost += 1
        else:
            out[offset : offset + length] = data
    return bytes(out), lost


def _restore_column(store: Store, manifest: Manifest, number: int) -> int:
    """A parity file follows from the records and from the copies in its sister; all of them must be left."""
    segments = []
    for each in manifest.segments:
        data, lost = segment_bytes(store, manifest, each, {})
        if lost:
            return -1
        segments.append(data)
    at = number - manifest.column(0)
    copies = store.spreads.copies_parts(manifest) if at >= manifest.head.m - 2 else []
    data, _ = column_bytes(manifest, at, parity_shards(manifest, segments)[at], copies)
    if len(data) != manifest.column_size(at):
        return -1  # Both files of copies are gone; the spread has to be written anew.
    _replace(store, "segments", number, data)
    return 0


def _restore_log(store: Store, number: int) -> int:
    """Both copies of a sealed log segment made equal, each record from the copy that has it."""
    if not store.segments.size(number):
        return -1
    data, lost = best_bytes(store.segments, number)
    for copy in COPIES:
        _replace(store, copy, number, data)
    return lost


def readmit(store: Store, found: Iterable[Intact]) -> int:
    """Take true records that came back into the registry, where they were blank; how many.

    Those that are not the newest version of their fragment any more are passed over.
    """
    store.settle()
    count = 0
    with store.registry.transaction() as db:
        for item in found:
            sql = "SELECT 1 FROM fragments WHERE live AND seq=?"
            if item.header.kind == RecordKind.FRAGMENT and db.execute(sql, (item.header.seq,)).fetchall():
                take_in(db, store.decoded(item))
                count += 1
    if count:
        store.start_over()
    return count


def restore_identity(store: Store) -> bool:
    """Write memory.json again if it is missing or damaged; whether it was."""
    try:
        if read_identity(store.disk, store.folder) is not None:
            return False
    except StorageError:
        pass
    write_identity(store.disk, store.folder, store.identity)
    return True


def _replace(store: Store, copy: Copy, number: int, data: bytes) -> None:
    """Put `data` in the place of a file, unless it is there already."""
    path = store.segments.path(copy, number)
    store.segments.forget(number)
    old = store.segments.read_all(copy, number)
    if old == data:
        return
    with_reserve(store, lambda: _write_new(store, path, data))
    if store.disk.size(path) is not None:
        store.disk.mkdir(f"{store.folder}/quarantine")
        name = path.rpartition("/")[2]
        store.disk.rename(path, f"{store.folder}/quarantine/{copy}-{store.now_ms()}-{name}")
        store.disk.sync_dir(f"{store.folder}/quarantine")
    store.disk.mkdir(path.rpartition("/")[0])
    store.disk.rename(f"{path}.new", path)
    store.disk.sync_dir(path.rpartition("/")[0])
    store.segments.forget(number)
    if number >= PARITY:
        store.spreads.forget()


def _write_new(store: Store, path: str, data: bytes) -> None:
    store.disk.mkdir(path.rpartition("/")[0])
    write_whole(store.disk, f"{path}.new", data)
    file = store.disk.open(f"{path}.new")
    try:
        written = file.pread(len(data) + 1, 0)
    finally:
        file.close()
    if written != data:
        raise StorageError(f"{path} does not read back as it was written.")


# The reserve


def with_reserve(store: Store, act: Callable[[], None]) -> None:
    """Do it; if the disk is full, give up the reserve and do it again. Raises DiskFull, StorageError."""
    try:
        act()
    except DiskFull:
        if store.disk.size(_reserve(store)) is None:
            raise
        store.disk.unlink(_reserve(store))
        store.disk.sync_dir(store.folder)
        act()


def keep_reserve(store: Store) -> None:
    """Set aside as much as the largest file that may have to be made again. Does nothing on a full disk."""
    numbers = [*store.segments.numbers(), *store.segments.columns()]
    largest = max((store.segments.size(number) for number in numbers), default=0)
    wanted = -(-(largest + HEADER_BYTES) // _UNIT) * _UNIT
    if (store.disk.size(_reserve(store)) or 0) >= wanted:
        return
    try:
        write_whole(store.disk, _reserve(store), bytes(wanted))
        store.disk.sync_dir(store.folder)
    except StorageError:
        store.disk.unlink(_reserve(store))


def _reserve(store: Store) -> str:
    return f"{store.folder}/reserve"
