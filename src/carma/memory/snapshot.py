"""Snapshots: a consistent copy of a memory while reading and writing go on.

Sealed segments never change and replaced ones linger, so only the end of the tail has to be agreed upon:
everything up to the cursor at the beginning is copied, each record proven and taken from where it still is:
its place, the mirror, or its stripe. The target is a memory like any other, with both copies of each segment;
the index is built when it is opened, except for the vectors, which are copied because they are expensive.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

from blake3 import blake3

from carma.errors import MemoryExists
from carma.memory.handed import note_handed_out
from carma.ports.disk import Disk, File
from carma.store.identity import write_identity
from carma.store.manifest import Manifest
from carma.store.record import HEADER_BYTES
from carma.store.recovery import best_bytes
from carma.store.repair import segment_bytes
from carma.store.segments import COPIES, is_log
from carma.store.store import Store

__all__ = ["Part", "parts_of", "snapshot"]

_CHUNK = 8 * 2**20


class Part(NamedTuple):
    """One file of a copy. name: its path below the memory's folder. data: gives `size` bytes.

    damaged: records in it that nothing gives.
    """

    name: str
    size: int
    data: io.BufferedIOBase
    damaged: int = 0


def snapshot(store: Store, target: str) -> dict[str, int]:
    """Copy the memory to the empty or missing folder `target`, and note in the ledger that it was.

    Returns counts: segments, bytes, damaged records. Raises MemoryExists, StorageError.
    """
    disk = store.disk
    if disk.listdir(target) or (disk.size(target) is not None and not disk.is_dir(target)):
        raise MemoryExists(f"{target} is not empty.")
    note_handed_out(store, "snapshot", target)
    counts = {"segments": 0, "bytes": 0, "damaged": 0}
    for place in (*COPIES, "index"):
        disk.mkdir(f"{target}/{place}")
    for part in parts_of(store):
        names = [part.name]
        if part.name.startswith("segments/"):
            names.append(part.name.replace("segments/", "mirror/", 1))
        _put(disk, [f"{target}/{name}" for name in names], part)
        counts["segments"] += len(names) > 1
        counts["bytes"] += part.size
        counts["damaged"] += part.damaged
    write_identity(disk, target, store.identity)
    for place in (*COPIES, "index"):
        disk.sync_dir(f"{target}/{place}")
    disk.sync_dir(target)
    return counts


def parts_of(store: Store) -> Iterator[Part]:
    """Every file of a copy of the memory as it is now, one after the other; all but memory.json."""
    store.refresh()
    end = store.cursor
    for number in _numbers(store):
        if is_log(number) and number > end.segment:
            continue
        data, damaged = _segment(store, number)
        if is_log(number) and number == end.segment:
            data = data[: end.offset]
        if data:
            name = store.segments.path("segments", number).removeprefix(f"{store.folder}/")
            yield Part(name, len(data), io.BytesIO(data), damaged)
    for name in store.disk.listdir(f"{store.folder}/index"):
        if name.startswith("vectors-"):
            try:
                file = store.disk.open(f"{store.folder}/index/{name}")
            except FileNotFoundError:
                continue  # Another process wrote it anew, under another name.
            try:
                size = file.size()
                yield Part(f"index/{name}", size, io.BufferedReader(_Piecewise(file, size)))
            finally:
                file.close()


def _numbers(store: Store) -> list[int]:
    """The segments that there are, and those that should be: parity may give them."""
    replaced = {number for (number,) in store.rows("SELECT segment FROM rewritten")}
    listed = {
        number
        for manifest in store.spreads.manifests()
        if manifest.head.first not in replaced
        for number in manifest.segments
    }
    return sorted(listed.union(store.segments.numbers()))


def _segment(store: Store, number: int) -> tuple[bytes, int]:
    """The bytes of a segment, each record from where it still is; and how many nothing gives."""
    manifest = store.spreads.of_segment(number) if not is_log(number) else None
    if manifest is None:
        return best_bytes(store.segments, number)
    data = store.segments.read_all("segments", number)
    at = number - manifest.head.first
    if data is not None and blake3(data).digest(8) == manifest.head.digests[at * 8 : at * 8 + 8]:
        return data, 0
    mended, lost = segment_bytes(store, manifest, number, {})
    return _with_names(mended, data or b"", manifest, number), lost


def _with_names(mended: bytes, data: bytes, manifest: Manifest, number: int) -> bytes:
    """What was put together, and in its holes what stands there: the header may still name what is lost."""
    out = bytearray(mended)
    for index in manifest.in_segment(number):
        _, offset, length = manifest.place(index)
        if not any(out[offset : offset + HEADER_BYTES]):
            out[offset : offset + length] = data[offset : offset + length].ljust(length, b"\0")
    return bytes(out)


class _Piecewise(io.RawIOBase):
    """The first `size` bytes of a file as a stream.

    Its blocks carry their own proof, so one that is being written does no harm; what is missing at the end,
    because somebody cut the file meanwhile, is zeros.
    """

    def __init__(self, file: File, size: int) -> None:
        super().__init__()
        self._file, self._size, self._at = file, size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._size - self._at)
        piece = self._file.pread(count, self._at) if count else b""
        buffer[:count] = piece.ljust(count, b"\0")
        self._at += count
        return count


def _put(disk: Disk, paths: list[str], part: Part) -> None:
    files = [disk.open(path, write=True, create=True) for path in paths]
    try:
        at = 0
        while piece := part.data.read(_CHUNK):
            for file in files:
                file.pwrite(piece, at)
            at += len(piece)
        for file in files:
            file.sync()
    finally:
        for file in files:
            file.close()
