"""What the first opener does after a crash: both copies of the unsealed log are made equal again.

The union of the valid records of a log segment and its mirror is what was acknowledged, and perhaps more. Where one
copy is damaged the other mends it; an end that is valid in neither is kept in quarantine and cut off, so that the next
batch follows a proven record. A damaged middle stays where it is, for the beacon to name.
"""

from __future__ import annotations

from dataclasses import dataclass

from carma.ports.disk import Disk
from carma.store.record import RecordKind, encode_header
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, Segments

__all__ = ["Recovered", "recover_segment"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found in one log segment.

    end: offset behind the last proven record. sealed: whether that is a footer.
    mended: copies that were rewritten. torn_bytes: bytes cut off and kept in quarantine. damaged: runs left in place.
    """

    number: int
    end: int
    sealed: bool
    mended: int = 0
    torn_bytes: int = 0
    damaged: int = 0


def recover_segment(segments: Segments, number: int) -> Recovered:
    """Make both copies of a log segment equal, synced and cut to their last proven record. Needs the turn."""
    first, second, length = segments.both(number)
    other = second()
    items = list(merge_copies(first, lambda: other, length, number))
    torn = items.pop() if items and isinstance(items[-1], Damaged) else None
    end = torn.offset if torn is not None else length
    sealed = bool(items) and isinstance(items[-1], Intact) and items[-1].header.kind == RecordKind.FOOTER
    if torn is not None:
        _quarantine(segments, number, end, (first[end:], other[end:]))
    best = _assemble(items, first, other, end)
    mended = sum(_mend(segments, copy, number, data, best) for copy, data in zip(COPIES, (first, other), strict=True))
    damaged = sum(isinstance(item, Damaged) for item in items)
    return Recovered(number, end, sealed, mended, torn.length if torn is not None else 0, damaged)


def _assemble(items: list[Intact | Damaged], first: bytes, other: bytes, end: int) -> bytes:
    """The best bytes of a segment: proven records, and for damaged runs whatever the longer copy holds."""
    if first[:end] == other[:end]:
        return first[:end]
    longer = first if len(first) >= len(other) else other
    best = bytearray(longer[:end].ljust(end, b"\0"))
    for item in items:
        if isinstance(item, Intact):
            header = item.header
            best[header.offset : header.end] = _bytes_of(item)
    return bytes(best)


def _bytes_of(item: Intact) -> bytes:
    h = item.header
    return (
        encode_header(
            h.kind, h.version, h.seq, h.time_ms, h.id, h.segment, h.offset, item.payload, h.text_digest, h.flags
        )
        + item.payload
    )


def _mend(segments: Segments, copy: str, number: int, data: bytes, best: bytes) -> bool:
    """Write `best` over a copy that differs from it. The other copy is whole, so a crash in here loses nothing."""
    if data == best:
        return False
    disk = segments.disk
    assert copy == "segments" or copy == "mirror"
    path = segments.path(copy, number)
    file = disk.open(path, write=True, create=True)
    try:
        if best.startswith(data):
            file.pwrite(best[len(data) :], len(data))
        elif not data.startswith(best):
            file.pwrite(best, 0)
        file.truncate(len(best))
        file.sync()
    finally:
        file.close()
    disk.sync_dir(f"{segments.folder}/{copy}")
    segments.forget(number)
    return True


def _quarantine(segments: Segments, number: int, end: int, ends: tuple[bytes, bytes]) -> None:
    """Keep the bytes that are about to be cut off."""
    for copy, data in zip(COPIES, ends, strict=True):
        if data:
            keep(segments.disk, segments.folder, f"{copy}-{number:06d}-{end}.torn", data)


def keep(disk: Disk, folder: str, name: str, data: bytes) -> None:
    """Write a file into the quarantine."""
    disk.mkdir(f"{folder}/quarantine")
    file = disk.open(f"{folder}/quarantine/{name}", write=True, create=True)
    try:
        file.pwrite(data, 0)
        file.truncate(len(data))
        file.sync()
    finally:
        file.close()
    disk.sync_dir(f"{folder}/quarantine")
