"""The record: the unit of writing, of damage and of proof.

A record is a header of 116 bytes and a payload. The header has its own checksum, so that a damaged payload
still has a name (which fragment, which version, which write), and it names its own segment and offset, so
that a write that landed elsewhere is noticed. The payload is proven by its BLAKE3 digest; the text in it once
more by its own, so that a rung that rebuilds only the text can prove it. A text that contains the bytes of a
record cannot pass for one: its segment and offset do not fit.

Rejected: one digest over header and payload (a damaged payload would lose its name), variable-length headers
(resynchronising would need to trust a damaged length).

Layout, little-endian (docs/FORMAT.md):

    magic 4 | format 1 | kind 1 | flags 2 | payload length 4 | version 4 | seq 8 | time 8 | id 16 | segment 4
    | offset 8 | payload digest 32 | text digest 16 | header checksum 8 (XXH3-64 of the 108 bytes before it)
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from blake3 import blake3
from xxhash import xxh3_64_intdigest

__all__ = [
    "APPEND",
    "FOLLOWS",
    "FORMAT",
    "HEADER_BYTES",
    "JOINED",
    "MAGIC",
    "NO_DIGEST",
    "NO_ID",
    "Header",
    "RecordDamaged",
    "RecordKind",
    "Said",
    "check_payload",
    "encode_header",
    "parse_header",
    "payload_at",
    "text_digest",
]

MAGIC = b"\xc4RM\x1e"
FORMAT = 1
NO_ID = bytes(16)
NO_DIGEST = bytes(16)
APPEND = 1
"""Header flag: the first record of an append. What lies from it to the next one was acknowledged together."""
JOINED = 2
"""Header flag: the record and the next one stand or fall together, also after a crash in the middle."""
FOLLOWS = 4
"""Header flag: the record before this one is JOINED to it."""

_BODY = struct.Struct("<4sBBHIIQQ16sIQ32s16s")
_CHECKSUM = struct.Struct("<Q")
_BODY_BYTES = _BODY.size
HEADER_BYTES = _BODY_BYTES + _CHECKSUM.size


class RecordKind(IntEnum):
    """What a record says."""

    MEMORY = 1
    """The memory's identity and policies (a copy of memory.json); the first record of each segment."""
    FRAGMENT = 2
    """One version of a fragment."""
    TOMBSTONE = 3
    """The end of a fragment."""
    FOOTER = 4
    """The last record of a sealed segment: how many records, of how many bytes."""
    REWRITE = 5
    """A compaction took place: inputs, outputs, and the writes that were dropped on purpose."""
    LEDGER = 6
    """Findings, blanks, repairs and cycles (the damage ledger), and on whose behalf something was changed."""
    VOID = 7
    """The place of records that were torn and never acknowledged, while something behind them was whole."""
    RECONSTRUCTION = 8
    """What was rebuilt of a lost write; it never takes the place of the true one."""
    MANIFEST = 9
    """In parity files: which records a spread holds."""
    COPIES = 10
    """In parity files: sketches and short copies of its fragments."""
    PARITY = 11
    """In parity files: shards of its stripes."""


class Header(NamedTuple):
    """A parsed record header. `length` is that of the payload, `time_ms` milliseconds since the epoch."""

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
    checksum: int

    @property
    def end(self) -> int:
        """Offset of the byte past the record."""
        return self.offset + HEADER_BYTES + self.length


class RecordDamaged(Exception):
    """The bytes at a place are not the record that should be there.

    reason: one of "bad header", "bad digest", "truncated", "misdirected", "missing file".
    """

    def __init__(self, reason: str, segment: int, offset: int) -> None:
        super().__init__(f"{reason} in segment {segment} at {offset}")
        self.reason = reason
        self.segment = segment
        self.offset = offset


def text_digest(text: str) -> bytes:
    """First 128 bits of BLAKE3 over the text in UTF-8."""
    return blake3(text.encode()).digest(16)


def encode_header(
    kind: int,
    version: int,
    seq: int,
    time_ms: int,
    id: bytes,
    segment: int,
    offset: int,
    payload: bytes,
    digest: bytes = NO_DIGEST,
    flags: int = 0,
) -> bytes:
    """The 116 header bytes of a record whose payload is `payload` and whose text has `digest`."""
    body = _BODY.pack(
        MAGIC, FORMAT, kind, flags, len(payload), version, seq, time_ms, id, segment, offset,
        blake3(payload).digest(), digest,
    )  # fmt: skip
    return body + _CHECKSUM.pack(xxh3_64_intdigest(body))


def parse_header(data: bytes | memoryview, at: int, segment: int, offset: int) -> Header:
    """The header at `data[at:]`, which should be the one written at `offset` of `segment`.

    Raises RecordDamaged: "truncated" (too few bytes), "bad header" (magic, format or checksum),
    "misdirected".
    """
    body = bytes(data[at : at + _BODY_BYTES])
    if len(data) - at < HEADER_BYTES:
        raise RecordDamaged("truncated", segment, offset)
    (checksum,) = _CHECKSUM.unpack_from(data, at + _BODY_BYTES)
    if body[:4] != MAGIC or xxh3_64_intdigest(body) != checksum:
        raise RecordDamaged("bad header", segment, offset)
    (_, fmt, kind, flags, length, version, seq, time_ms, id, seg, off, pdigest, tdigest) = _BODY.unpack(body)
    if fmt != FORMAT:
        raise RecordDamaged("bad header", segment, offset)
    if seg != segment or off != offset:
        raise RecordDamaged("misdirected", segment, offset)
    return Header(kind, flags, length, version, seq, time_ms, id, seg, off, pdigest, tdigest, checksum)


class Said(NamedTuple):
    """What a record says wherever it lies: all of its header but the place, and the payload as stored."""

    kind: int
    version: int
    seq: int
    time_ms: int
    id: bytes
    text_digest: bytes
    payload: bytes


def payload_at(data: bytes, segment: int, offset: int, seq: int) -> Said:
    """What the write `seq` says, proven; `data` are all its bytes. Raises RecordDamaged.

    The same proof as `parse_header` and `check_payload`, without building a header: searches read many.
    """
    body = data[:_BODY_BYTES]
    payload = data[HEADER_BYTES:]
    if len(body) != _BODY_BYTES or _CHECKSUM.unpack_from(data, _BODY_BYTES)[0] != xxh3_64_intdigest(body):
        raise RecordDamaged("bad header", segment, offset)
    magic, fmt, kind, _, length, version, found, time_ms, id, seg, off, digest, text = _BODY.unpack(body)
    if (magic, fmt, length) != (MAGIC, FORMAT, len(payload)):
        raise RecordDamaged("bad header", segment, offset)
    if (seg, off, found) != (segment, offset, seq):
        raise RecordDamaged("misdirected", segment, offset)
    if blake3(payload).digest() != digest:
        raise RecordDamaged("bad digest", segment, offset)
    return Said(kind, version, seq, time_ms, id, text, payload)


def check_payload(header: Header, payload: bytes | memoryview) -> None:
    """Raise RecordDamaged unless `payload` is what the header promises."""
    if len(payload) != header.length:
        raise RecordDamaged("truncated", header.segment, header.offset)
    if blake3(payload).digest() != header.payload_digest:
        raise RecordDamaged("bad digest", header.segment, header.offset)
