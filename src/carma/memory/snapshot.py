"""Snapshots: a consistent copy of a memory while reading and writing go on.

Sealed segments never change and replaced ones linger, so only the end of the tail has to be agreed upon:
everything up to the cursor at the beginning is copied, each record proven and taken from the copy that has
it. The target is a memory like any other, with both copies of each segment; the index is built when it is
opened, except for the vectors, which are copied because they are expensive.
"""

from __future__ import annotations

from carma.errors import MemoryExists
from carma.ports.disk import Disk, write_whole
from carma.store.identity import write_identity
from carma.store.recovery import best_bytes
from carma.store.segments import COPIES, is_log
from carma.store.store import Store

__all__ = ["snapshot"]

_CHUNK = 8 * 2**20


def snapshot(store: Store, target: str) -> dict[str, int]:
    """Copy the memory to the empty or missing folder `target`. Returns counts: segments, bytes, damaged
    records.

    Raises MemoryExists, StorageError.
    """
    disk = store.disk
    if disk.listdir(target) or (disk.size(target) is not None and not disk.is_dir(target)):
        raise MemoryExists(f"{target} is not empty.")
    store.refresh()
    end = store.cursor
    counts = {"segments": 0, "bytes": 0, "damaged": 0}
    for place in (*COPIES, "index"):
        disk.mkdir(f"{target}/{place}")
    for number in store.segments.numbers():
        if is_log(number) and number > end.segment:
            continue
        data, damaged = best_bytes(store.segments, number)
        if is_log(number) and number == end.segment:
            data = data[: end.offset]
        if not data:
            continue
        for copy in COPIES:
            path = store.segments.path(copy, number).replace(store.folder, target, 1)
            write_whole(disk, path, data)
        counts["segments"] += 1
        counts["bytes"] += len(data)
        counts["damaged"] += damaged
    for name in disk.listdir(f"{store.folder}/index"):
        if name.startswith("vectors-"):
            counts["bytes"] += _copy(disk, f"{store.folder}/index/{name}", f"{target}/index/{name}")
    write_identity(disk, target, store.identity)
    for place in (*COPIES, "index"):
        disk.sync_dir(f"{target}/{place}")
    disk.sync_dir(target)
    return counts


def _copy(disk: Disk, source: str, target: str) -> int:
    """Copy a file in pieces; its blocks carry their own proof, so a piece that is still being written does no
    harm.
    """
    read, write = disk.open(source), disk.open(target, write=True, create=True)
    try:
        at = 0
        while piece := read.pread(_CHUNK, at):
            write.pwrite(piece, at)
            at += len(piece)
        write.sync()
        return at
    finally:
        read.close()
        write.close()
