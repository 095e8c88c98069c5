"""Reading a run of records, with damage in it.

Pure: bytes in, findings out. One bad record costs one record: after damage it goes on at the next magic whose
header is whole and says that it belongs exactly there.

Torn or rotten? A write that never reached the disk leaves what was there before: the end of the file, or a
whole sector of zeros. It was not acknowledged and says nothing. Anything else was written once and has rotted
since, and then even a bare header has a say: its fragment has no older text (Alagappan et al.,
"Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). Only the last append of a segment without a
footer can be torn, because the one before it was acknowledged before it began. Records that are joined stand
or fall together: where one of them is torn, or was never written, all of them count as torn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from carma.store.record import (
    APPEND,
    FOLLOWS,
    HEADER_BYTES,
    JOINED,
    MAGIC,
    Header,
    RecordDamaged,
    RecordKind,
    check_payload,
    parse_header,
)

__all__ = ["SECTOR_BYTES", "WHOLE_FROM", "Damaged", "Intact", "merge_copies", "record_at"]

WHOLE_FROM = 1 << 30
"""Files with this number or a higher one (rewritten segments, parity) are never appended to."""
SECTOR_BYTES = 512
"""The smallest unit that a disk writes whole."""


class Intact(NamedTuple):
    """A record whose header and payload are proven."""

    header: Header
    payload: bytes


class Damaged(NamedTuple):
    """A run of bytes that is not a record. `header` is known where only the payload is damaged.

    torn: it was never written whole, so it was never acknowledged and its header says nothing.
    """

    offset: int
    length: int
    reason: str
    header: Header | None
    torn: bool = False

    @property
    def named(self) -> Header | None:
        """The header of a record that was once there."""
        return None if self.torn else self.header


def record_at(data: bytes | memoryview, at: int, segment: int, offset: int) -> Intact:
    """The proven record at `data[at:]`, which lies at `offset` of `segment`. Raises RecordDamaged."""
    header = parse_header(data, at, segment, offset)
    payload = bytes(data[at + HEADER_BYTES : at + HEADER_BYTES + header.length])
    check_payload(header, payload)
    return Intact(header, payload)


def merge_copies(
    first: bytes, second: Callable[[], bytes], length: int, segment: int, base: int = 0
) -> Iterator[Intact | Damaged]:
    """Every record and every damaged run of a segment, in order and without gaps, each record from the copy
    that has it.

    first: bytes of one copy from offset `base` on; second: gives those of the other, asked only when it is
    needed.
    length: of the longer copy, from `base` on. The offsets that come back are those in the segment.
    """
    # A run that looks torn is one only if nothing was appended after it, so it waits for the end of its
    # append. A record that is joined waits for those that it is joined to.
    waiting: list[Intact | Damaged] = []
    torn = False
    for item in _runs(first, second, length, segment, base):
        header = item.header
        if header is not None and (header.flags & APPEND or header.kind == RecordKind.FOOTER):
            yield from map(_written, waiting)
            waiting, torn = [], False
        torn = torn or (isinstance(item, Damaged) and item.torn)
        waiting.append(item)
        if not torn and not _is_joined(item):
            yield from waiting
            waiting = []
    # Only the log can be torn: every other file was written whole before it got its name.
    yield from map(_written, waiting) if segment >= WHOLE_FROM else _without_halves(waiting)


def _written(item: Intact | Damaged) -> Intact | Damaged:
    """What stands in a place that was written whole once."""
    return item._replace(torn=False) if isinstance(item, Damaged) else item


def _is_joined(item: Intact | Damaged) -> bool:
    return isinstance(item, Intact) and bool(item.header.flags & JOINED)


def _without_halves(items: list[Intact | Damaged]) -> Iterator[Intact | Damaged]:
    """The end of a log; where a record is torn or missing, those that are joined to it are torn too."""
    group: list[Intact | Damaged] = []
    broken = False
    for item in items:
        if isinstance(item, Damaged):
            broken = item.torn
            yield from (_half(each) if broken else each for each in group)
            yield item
            group = []
        elif item.header.flags & FOLLOWS and not group:
            # Its group began in what is damaged.
            yield _half(item) if broken else item
        else:
            group.append(item)
            if not _is_joined(item):
                yield from group
                group, broken = [], False
    yield from map(_half, group)


def _half(item: Intact | Damaged) -> Damaged:
    """A whole record that says nothing, because it was never acknowledged."""
    if isinstance(item, Damaged):
        return item
    header = item.header
    return Damaged(header.offset, header.end - header.offset, "half", None, torn=True)


def _runs(
    first: bytes, second: Callable[[], bytes], length: int, segment: int, base: int
) -> Iterator[Intact | Damaged]:
    copies = [first]
    at = 0
    while at < length:
        found, damage = _best_at(copies, at, segment, base)
        if found is None and len(copies) == 1:
            copies.append(second())
            found, damage = _best_at(copies, at, segment, base)
        if found is not None:
            yield found
            if found.header.kind == RecordKind.FOOTER:
                return  # Nothing was ever appended behind it.
            at += HEADER_BYTES + found.header.length
        else:
            assert damage is not None
            run = _damaged_run(copies, at, min(length, max(map(len, copies))), segment, base, damage)
            if run.length <= 0:
                return
            yield run
            at += run.length


def _best_at(
    copies: list[bytes], at: int, segment: int, base: int
) -> tuple[Intact | None, RecordDamaged | None]:
    """The proven record at one place, from the first copy that has it, or what is wrong there."""
    damage = None
    for data in copies:
        try:
            return record_at(data, at, segment, base + at), None
        except RecordDamaged as error:
            damage = damage or error
    return None, damage


def _damaged_run(
    copies: list[bytes], at: int, length: int, segment: int, base: int, damage: RecordDamaged
) -> Damaged:
    """The bytes from `at` to the next place where a record may begin in any copy."""
    for data in copies:
        try:
            header = parse_header(data, at, segment, base + at)
        except RecordDamaged:
            continue
        # The header is whole, so its length is true: the record ends where it says, or where the file was
        # cut.
        whole = at + HEADER_BYTES + header.length
        torn = all(_unwritten(data, at, whole, base) for data in copies)
        end = min(whole, length)
        return Damaged(base + at, end - at, damage.reason, header, torn)
    end = min(_next_header(data, at + 1, segment, base, length) for data in copies)
    # What was acknowledged stands in both copies: where one of them ends well, the other holds something
    # stray.
    stray = base + at > 0 and any(len(data) == at for data in copies)
    torn = end - at < HEADER_BYTES or stray or all(_unwritten(data, at, end, base) for data in copies)
    return Damaged(base + at, end - at, damage.reason, None, torn)


def _unwritten(data: bytes, start: int, end: int, base: int) -> bool:
    """Whether a copy shows that some of these bytes never reached the disk: it ends before, or has a sector
    of zeros.
    """
    if len(data) < end:
        return True
    first = (base + start) // SECTOR_BYTES * SECTOR_BYTES - base
    for sector in range(first, end, SECTOR_BYTES):
        part = data[max(sector, start) : min(sector + SECTOR_BYTES, end)]
        if part.count(0) == len(part):
            return True
    return False


def _next_header(data: bytes, start: int, segment: int, base: int, length: int) -> int:
    """Where the next whole header begins in `data`, or `length`."""
    at = data.find(MAGIC, start)
    while at >= 0:
        try:
            parse_header(data, at, segment, base + at)
        except RecordDamaged:
            at = data.find(MAGIC, at + 1)
        else:
            return at
    return length
