"""Reading a run of records, with damage in it.

Pure: bytes in, findings out. One bad record costs one record: after damage it goes on at the next magic whose
header is whole and says that it belongs exactly there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from carma.store.record import (
    HEADER_BYTES,
    MAGIC,
    Header,
    RecordDamaged,
    check_payload,
    parse_header,
)

__all__ = ["Damaged", "Intact", "merge_copies", "record_at"]


class Intact(NamedTuple):
    """A record whose header and payload are proven."""

    header: Header
    payload: bytes


class Damaged(NamedTuple):
    """A run of bytes that is not a record. `header` is known where only the payload is damaged."""

    offset: int
    length: int
    reason: str
    header: Header | None


def record_at(data: bytes | memoryview, at: int, segment: int, offset: int) -> Intact:
    """The proven record at `data[at:]`, which lies at `offset` of `segment`. Raises RecordDamaged."""
    header = parse_header(data, at, segment, offset)
    payload = bytes(data[at + HEADER_BYTES : at + HEADER_BYTES + header.length])
    check_payload(header, payload)
    return Intact(header, payload)


def merge_copies(
    first: bytes, second: Callable[[], bytes], length: int, segment: int, base: int = 0
) -> Iterator[Intact | Damaged]:
    """Every record and every damaged run of a segment, in order and without gaps, each record from the copy that has it.

    first: bytes of one copy from offset `base` on; second: gives those of the other, asked only when it is needed.
    length: of the longer copy, from `base` on. The offsets that come back are those in the segment.
    """
    copies = [first]
    at = 0
    while at < length:
        found, damage = _best_at(copies, at, segment, base)
        if found is None and len(copies) == 1:
            copies.append(second())
            found, damage = _best_at(copies, at, segment, base)
        if found is not None:
            yield found
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
        # The header is whole, so its length is true: the record ends where it says, or where the file was cut.
        end = min(at + HEADER_BYTES + header.length, length)
        return Damaged(base + at, end - at, damage.reason, header)
    end = min(_next_header(data, at + 1, segment, base, length) for data in copies)
    return Damaged(base + at, end - at, damage.reason, None)


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
