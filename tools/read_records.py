"""Records, and the shards of stripes, as docs/FORMAT.md describes them; for `read_memory`.

It knows nothing of CARMA's own code. Reading goes on behind damage, and decoding is Gauss and Jordan on whole
shards: slow, and short enough to be checked by eye.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from blake3 import blake3
from xxhash import xxh3_64_intdigest

MAGIC = b"\xc4RM\x1e"
BODY = struct.Struct("<4sBBHIIQQ16sIQ32s16s")
HEADER = BODY.size + 8
SECTOR = 512
MEMORY, FRAGMENT, TOMBSTONE, FOOTER, REWRITE, LEDGER, RECONSTRUCTION = 1, 2, 3, 4, 5, 6, 8
MANIFEST, PARITY = 9, 11
APPEND, JOINED, FOLLOWS = 1, 2, 4
SPREAD, COLUMN = 1 << 30, 1 << 31


class Header(NamedTuple):
    kind: int
    flags: int
    length: int
    version: int
    seq: int
    time_ms: int
    id: bytes
    segment: int
    offset: int
    payload_digest: bytes
    text_digest: bytes


class Found(NamedTuple):
    """A record (its payload is None if only the header is whole) or, without a header, damage."""

    offset: int
    length: int
    header: Header | None
    payload: bytes | None
    torn: bool = False


def header_at(data: bytes, at: int, segment: int, offset: int) -> Header | None:
    """The header at `data[at:]`, if it is whole and says that it belongs to that place of the segment."""
    if len(data) - at < HEADER:
        return None
    magic, version, *rest = BODY.unpack_from(data, at)
    (checksum,) = struct.unpack_from("<Q", data, at + BODY.size)
    header = Header(*rest)
    whole = magic == MAGIC and version == 1 and xxh3_64_intdigest(data[at : at + BODY.size]) == checksum
    return header if whole and (header.segment, header.offset) == (segment, offset) else None


def record_at(data: bytes, at: int, segment: int, offset: int) -> tuple[Header, bytes] | None:
    """The record there, if it is proven."""
    header = header_at(data, at, segment, offset)
    payload = data[at + HEADER : at + HEADER + header.length] if header else b""
    if header is None or len(payload) != header.length or blake3(payload).digest() != header.payload_digest:
        return None
    return header, payload


def unwritten(data: bytes, start: int, end: int) -> bool:
    """Whether some of these bytes never reached the disk: the file ends before, or has a sector of zeros."""
    sectors = range(start // SECTOR * SECTOR, end, SECTOR)
    parts = (data[max(sector, start) : min(sector + SECTOR, end)] for sector in sectors)
    return len(data) < end or not all(part.strip(b"\0") for part in parts)


def found_at(copies: list[bytes], at: int, end: int, segment: int) -> Found:
    """What lies at a place: the record of the first copy that has it, else a run of damage."""
    for data in copies:
        if record := record_at(data, at, segment, at):
            return Found(at, HEADER + record[0].length, *record)
    for data in copies:
        if header := header_at(data, at, segment, at):
            past = at + HEADER + header.length
            torn = all(unwritten(data, at, past) for data in copies)
            return Found(at, min(past, end) - at, header, None, torn)
    past = end
    for data in copies:
        next_at = data.find(MAGIC, at + 1)
        while 0 <= next_at < past:
            if header_at(data, next_at, segment, next_at):
                past = next_at
            next_at = data.find(MAGIC, next_at + 1)
    torn = past - at < HEADER or all(unwritten(data, at, past) for data in copies)
    return Found(at, past - at, None, None, torn)


def records(copies: list[bytes], segment: int) -> Iterator[Found]:
    """Everything in a segment; what was never written whole is left out."""
    waiting: list[Found] = []
    at, end = 0, max(map(len, copies))
    while at < end:
        found = found_at(copies, at, end, segment)
        at += found.length
        if found.header is not None and (found.header.flags & APPEND or found.header.kind == FOOTER):
            # The append before this one was acknowledged, so what is damaged in it was whole once.
            yield from waiting
            waiting = []
        waiting.append(found)
    # Only the end of the log can be torn: every other file was written whole before it got its name.
    yield from waiting if segment >= SPREAD else without_torn(waiting)


def without_torn(waiting: list[Found]) -> Iterator[Found]:
    """The last append of the log without what is torn, and without what is joined to that."""
    group: list[Found] = []
    broken = False
    for found in waiting:
        flags = found.header.flags if found.header is not None and found.payload is not None else 0
        if found.payload is None:
            broken = found.torn
            yield from [*([] if broken else group), *([] if broken else [found])]
            group = []
        elif flags & FOLLOWS and not group:
            yield from [] if broken else [found]
        else:
            group.append(found)
            if not flags & JOINED:
                yield from group
                group, broken = [], False


# The field of 256 elements, and shards that are bytes


@cache
def times(a: int, b: int) -> int:
    return (0 if b < 2 else times(a << 1 ^ (0x11D if a & 0x80 else 0), b >> 1)) ^ (a if b & 1 else 0)


@cache
def inverse(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


def scaled(factor: int, shard: bytes) -> bytes:
    return shard.translate(bytes(times(factor, byte) for byte in range(256)))


def added(one: bytes, other: bytes) -> bytes:
    total = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return total.to_bytes(len(one), "little")


def decode(data: list[bytes | None], parity: list[bytes | None]) -> list[bytes] | None:
    """All data shards of a stripe; None if too few shards are left. Gauss and Jordan, on shards."""
    k = len(data)
    lost = [c for c in range(k) if data[c] is None]
    rows: list[tuple[list[int], bytes]] = []
    for j, shard in enumerate(parity):
        if shard is not None and len(rows) < len(lost):
            for c, known in enumerate(data):
                if known is not None:
                    shard = added(shard, scaled(inverse((k + j) ^ c), known))
            rows.append(([inverse((k + j) ^ c) for c in lost], shard))
    if len(rows) < len(lost):
        return None
    for at in range(len(lost)):
        swap = next(row for row in range(at, len(lost)) if rows[row][0][at])
        rows[at], rows[swap] = rows[swap], rows[at]
        factor = inverse(rows[at][0][at])
        pivot = rows[at] = ([times(factor, value) for value in rows[at][0]], scaled(factor, rows[at][1]))
        for other, (values, shard) in enumerate(rows):
            if other != at and (factor := values[at]):
                values = [a ^ times(factor, b) for a, b in zip(values, pivot[0], strict=True)]
                rows[other] = (values, added(shard, scaled(factor, pivot[1])))
    found = dict(zip(lost, (shard for _, shard in rows), strict=True))
    return [found[c] if shard is None else shard for c, shard in enumerate(data)]
