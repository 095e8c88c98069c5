"""What the first opener does after a crash: both copies of the unsealed log are made equal again.

The union of the valid records of a log segment and its mirror is what was acknowledged, and perhaps more.
Where one copy is damaged the other mends it; an end that was never written whole in either is kept in
quarantine and cut off, so that the next batch follows a proven record. Of records that are joined all stay or
none: half of them was never acknowledged. What was whole once and has rotted stays where it is, for the
beacon to name; if it stands at the end, the log goes on in the next segment.
"""

from __future__ import annotations

from dataclasses import dataclass

from carma.errors import StorageError
from carma.ports.disk import Disk, write_whole
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header, parse_header
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, Copy, Segments

__all__ = ["Recovered", "begin_segment", "best_bytes", "keep", "recover_segment"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found in one log segment.

    end: offset behind the last record. sealed: whether that is a footer.
    mended: copies that were rewritten. torn_bytes: bytes cut off or voided, and kept in quarantine.
    damaged: runs left in place.
    closed: nothing may be appended to it; the log goes on in the next segment.
    """

    number: int
    end: int
    sealed: bool
    mended: int = 0
    torn_bytes: int = 0
    damaged: int = 0
    closed: bool = False


def recover_segment(segments: Segments, number: int, seen: int = 0) -> Recovered:
    """Make both copies of a log segment equal, durable and cut to their last record. Needs the turn.

    seen: how far somebody has seen whole records; what is damaged before that is not torn.
    A segment that cannot be read or written is left as it is and closed.
    """
    first, other = (segments.read_all(copy, number) for copy in COPIES)
    unreadable = [
        copy
        for copy, data in zip(COPIES, (first, other), strict=True)
        if data is None and segments.disk.size(segments.path(copy, number)) is not None
    ]
    first, other = first or b"", other or b""
    length = max(len(first), len(other))
    items = list(merge_copies(first, lambda: other, length, number))
    holes = [item for item in items if isinstance(item, Damaged) and item.torn and item.offset >= seen]
    end = length
    while items and items[-1] in holes:
        end = _start(items.pop())
    sealed = _sealed(items)
    if sealed:
        end = _end(items[-1])
    rotten = bool(items) and isinstance(items[-1], Damaged)
    damaged = sum(isinstance(item, Damaged) and item not in holes for item in items)
    if unreadable:
        return Recovered(number, end, sealed, damaged=damaged, closed=not sealed)
    mended, closed = 0, rotten
    try:
        for hole in holes:
            at, past = hole.offset, hole.offset + hole.length
            _quarantine(segments, number, at, (first[at:past], other[at:past]))
        # Something of the same append follows, so the place is kept and filled: later it would look rotten.
        items = [_void(number, item) if item in holes else item for item in items]
        for copy, data, rest in zip(COPIES, (first, other), (other, first), strict=True):
            mended += _mend(segments, copy, number, data, _assemble(items, data, rest, end))
        if not sealed:
            _sync(segments, number)
    except StorageError:
        closed = not sealed
    return Recovered(number, end, sealed, mended, sum(hole.length for hole in holes), damaged, closed)


def _start(item: Intact | Damaged) -> int:
    return item.offset if isinstance(item, Damaged) else item.header.offset


def _end(item: Intact | Damaged) -> int:
    return item.offset + item.length if isinstance(item, Damaged) else item.header.end


def _sealed(items: list[Intact | Damaged]) -> bool:
    return bool(items) and isinstance(items[-1], Intact) and items[-1].header.kind == RecordKind.FOOTER


def _void(number: int, hole: Damaged) -> Intact:
    """A record that says nothing, as long as the hole, which was one or more records."""
    payload = bytes(hole.length - HEADER_BYTES)
    header = encode_header(RecordKind.VOID, 0, 0, 0, NO_ID, number, hole.offset, payload)
    return Intact(parse_header(header, 0, number, hole.offset), payload)


def begin_segment(segments: Segments, number: int) -> None:
    """Make an empty log segment, which says that the one before it will never grow again; if the disk lets
    us.
    """
    try:
        for copy in COPIES:
            segments.disk.open(segments.path(copy, number), write=True, create=True).close()
    except StorageError:
        return


def best_bytes(segments: Segments, number: int) -> tuple[bytes, int]:
    """The bytes of a segment with each record from the copy that has it; and how many no copy has.

    Raises StorageError if neither copy can be read.
    """
    first, second, length = segments.both(number)
    other = second()
    items = list(merge_copies(first, lambda: other, length, number))
    end = _end(items[-1]) if _sealed(items) else length
    return _assemble(items, first, other, end), sum(isinstance(item, Damaged) for item in items)


def _assemble(items: list[Intact | Damaged], own: bytes, other: bytes, end: int) -> bytes:
    """The best bytes of one copy: every proven record, and for damaged runs what this copy holds of them
    itself.
    """
    best = bytearray(own[:end] + other[len(own) : end])
    for item in items:
        if isinstance(item, Intact):
            header = item.header
            proven = _bytes_of(item)
            if best[header.offset : header.end] != proven:
                best[header.offset : header.end] = proven
    return bytes(best)


def _bytes_of(item: Intact) -> bytes:
    h = item.header
    return (
        encode_header(
            h.kind,
            h.version,
            h.seq,
            h.time_ms,
            h.id,
            h.segment,
            h.offset,
            item.payload,
            h.text_digest,
            h.flags,
        )
        + item.payload
    )


def _mend(segments: Segments, copy: Copy, number: int, data: bytes, best: bytes) -> bool:
    """Write `best` over a copy that differs from it. The other copy is whole, so a crash in here loses
    nothing.
    """
    if data == best:
        return False
    disk = segments.disk
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


def _sync(segments: Segments, number: int) -> None:
    """Make durable what a process may have written and not synced before it died: readers are about to see
    it.
    """
    if not segments.exists(number):
        return
    for copy in COPIES:
        file = segments.disk.open(segments.path(copy, number), write=True, create=True)
        try:
            file.sync()
        finally:
            file.close()
        segments.disk.sync_dir(f"{segments.folder}/{copy}")
    segments.durable.add(number)


def _quarantine(segments: Segments, number: int, end: int, ends: tuple[bytes, bytes]) -> None:
    """Keep the bytes that are about to be cut off."""
    for copy, data in zip(COPIES, ends, strict=True):
        if data:
            keep(segments.disk, segments.folder, f"{copy}-{number:06d}-{end}.torn", data)


def keep(disk: Disk, folder: str, name: str, data: bytes) -> None:
    """Write a file into the quarantine."""
    disk.mkdir(f"{folder}/quarantine")
    write_whole(disk, f"{folder}/quarantine/{name}", data)
    disk.sync_dir(f"{folder}/quarantine")
