"""Read a memory without CARMA: its live fragments as JSON lines, from whichever copy is whole.

    python tools/read_memory.py FOLDER > fragments.jsonl

Follows docs/FORMAT.md and nothing else, so it shows that the format can be read by others: it needs `blake3`,
`msgpack` and `xxhash`, writes nothing, and uses neither the index nor memory.json. A fragment whose newest
version cannot be read is printed with `"state": "blank"`.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from blake3 import blake3
from xxhash import xxh3_64_intdigest

MAGIC = b"\xc4RM\x1e"
BODY = struct.Struct("<4sBBHIIQQ16sIQ32s16s")
HEADER = BODY.size + 8
SECTOR = 512
FRAGMENT, TOMBSTONE, FOOTER, APPEND, REWRITTEN = 2, 3, 4, 1, 1 << 30


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


def header_at(data: bytes, at: int, segment: int) -> Header | None:
    """The header at a place, if it is whole and says that it belongs there."""
    if len(data) - at < HEADER:
        return None
    magic, version, *rest = BODY.unpack_from(data, at)
    (checksum,) = struct.unpack_from("<Q", data, at + BODY.size)
    header = Header(*rest)
    whole = magic == MAGIC and version == 1 and xxh3_64_intdigest(data[at : at + BODY.size]) == checksum
    return header if whole and (header.segment, header.offset) == (segment, at) else None


def unwritten(data: bytes, start: int, end: int) -> bool:
    """Whether some of these bytes never reached the disk: the file ends before, or has a sector of zeros."""
    sectors = range(start // SECTOR * SECTOR, end, SECTOR)
    parts = (data[max(sector, start) : min(sector + SECTOR, end)] for sector in sectors)
    return len(data) < end or not all(part.strip(b"\0") for part in parts)


def found_at(copies: list[bytes], at: int, end: int, segment: int) -> Found:
    """What lies at a place: the record of the first copy that has it, else a run of damage."""
    named = None
    for data in copies:
        header = header_at(data, at, segment)
        if header is None:
            continue
        named = named or header
        payload = data[at + HEADER : at + HEADER + header.length]
        if len(payload) == header.length and blake3(payload).digest() == header.payload_digest:
            return Found(at, HEADER + header.length, header, payload)
    if named is not None:
        past = at + HEADER + named.length
        return Found(at, min(past, end) - at, named, None, all(unwritten(data, at, past) for data in copies))
    past = end
    for data in copies:
        next_at = data.find(MAGIC, at + 1)
        while 0 <= next_at < past:
            if header_at(data, next_at, segment):
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
    yield from (found for found in waiting if not found.torn)


def segments(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Number and both copies of each segment."""
    files: dict[int, list[bytes]] = {}
    for copy in ("segments", "mirror"):
        for path in sorted((folder / copy).glob("*.seg")):
            match = re.fullmatch(r"(c?)(\d{6,10})\.seg", path.name)
            if match:
                number = int(match[2]) + (REWRITTEN if match[1] else 0)
                files.setdefault(number, []).append(path.read_bytes())
    yield from sorted(files.items())


def live(folder: Path) -> list[dict[str, Any]]:
    """The live fragments by id: of each the highest version anybody names, then the latest write."""
    newest: dict[bytes, tuple[tuple[int, int, bool], Header, bytes | None]] = {}
    for number, copies in segments(folder):
        for found in records(copies, number):
            header = found.header
            if header is None or header.kind not in (FRAGMENT, TOMBSTONE):
                continue
            rank = (header.version, header.seq, found.payload is not None)
            if header.id not in newest or rank > newest[header.id][0]:
                newest[header.id] = (rank, header, found.payload)
    return [
        fragment(header, payload)
        for _, (_, header, payload) in sorted(newest.items())
        if header.kind == FRAGMENT
    ]


def fragment(header: Header, payload: bytes | None) -> dict[str, Any]:
    """One fragment as JSON values."""
    out: dict[str, Any] = {"id": header.id.hex(), "version": header.version, "seq": header.seq}
    out["updated"] = header.time_ms / 1000
    if payload is None:
        return out | {"state": "blank", "text": "", "digest": header.text_digest.hex()}
    fields = msgpack.unpackb(payload, strict_map_key=False)
    names = {"o": "position", "k": "kind", "m": "metadata", "x": "expires"}
    names |= {"u": "user", "a": "agent", "s": "session"}
    out |= {"state": "intact", "text": fields["t"], "kind": "note", "metadata": {}}
    out |= {name: fields[key] for key, name in names.items() if key in fields}
    out["created"] = fields.get("c", header.time_ms) / 1000
    if "p" in fields:
        out["parent"] = fields["p"].hex()
    if "f" in fields:
        path, start, end, digest, line = fields["f"]
        out["source"] = {"path": path, "span": [start, end], "line": line}
        out["source"]["digest"] = digest.hex() if digest else None
    return out


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: read_memory.py FOLDER")
    for item in live(Path(sys.argv[1])):
        print(json.dumps(item, ensure_ascii=False))
