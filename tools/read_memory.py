"""Read a memory without CARMA: its live fragments as JSON lines, from whatever is left of its files.

    python tools/read_memory.py FOLDER > fragments.jsonl

Follows docs/FORMAT.md and nothing else, so it shows that the format can be read by others: it needs `blake3`,
`msgpack` and `xxhash`, writes nothing, and uses neither the index nor memory.json. What a file of a spread
has lost is decoded from its parity files. A fragment whose newest version cannot be had is printed with
`"state": "blank"`, or as what a dream has put in its place. Sketches and short copies are not read.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from blake3 import blake3
from xxhash import xxh3_64_intdigest

MAGIC = b"\xc4RM\x1e"
BODY = struct.Struct("<4sBBHIIQQ16sIQ32s16s")
HEADER = BODY.size + 8
SECTOR = 512
FRAGMENT, TOMBSTONE, FOOTER, LEDGER, RECONSTRUCTION, MANIFEST, PARITY = 2, 3, 4, 6, 8, 9, 11
APPEND = 1
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
    yield from (found for found in waiting if segment >= SPREAD or not found.torn)


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


# Spreads


def name(seq: int, kind: int, version: int, time_ms: int, id: bytes, length: int, digest: bytes) -> Header:
    """What a manifest or the ledger says of a write: as much of its header."""
    return Header(kind, 0, length, version, seq, time_ms, id, 0, 0, b"", digest)


def unpacked(columns: bytes) -> Iterator[Header]:
    """The records of one map of a manifest."""
    raw = zlib.decompress(columns)
    widths = (8, 1, 4, 8, 16, 4, 10)
    count = len(raw) // sum(widths)
    values: list[list[bytes]] = []
    at = 0
    for width in widths:
        # Byte b of value v stands at b * count + v.
        values.append([raw[at + v : at + width * count : count] for v in range(count)])
        at += width * count
    seq = time_ms = 0
    for a, kind, version, b, id, length, digest in zip(*values, strict=True):
        seq += int.from_bytes(a, "little", signed=True)
        time_ms += int.from_bytes(b, "little", signed=True)
        numbers = (int.from_bytes(value, "little") for value in (kind, version, length))
        yield name(seq, next(numbers), next(numbers), time_ms, id, next(numbers), digest)


class Spread:
    """A manifest, and with the files that are left every record that can be had."""

    def __init__(self, head: list[Any], names: list[Header], files: dict[int, list[bytes]]) -> None:
        number, self.k, m, first = (int(value) for value in head[:4])
        self.segments = range(first, first + self.k)
        self.columns = range(COLUMN + 16 * number, COLUMN + 16 * number + m)
        self.files = files
        self.names = sorted(names, key=lambda each: (-each.length, each.seq))
        """In the order in which they were dealt."""
        self.offsets: list[int] = []
        for turn in range(len(names)):
            above = turn - self.k
            self.offsets.append(self.offsets[above] + HEADER + self.names[above].length if above >= 0 else 0)

    def width(self, stripe: int) -> int:
        return HEADER + self.names[stripe * self.k].length

    @cached_property
    def shards(self) -> dict[tuple[int, int], bytes]:
        """Every proven parity shard, by file and stripe."""
        found = {}
        for number in self.columns:
            for item in records(self.files.get(number, [b""]), number):
                if item.payload is None or item.header is None or item.header.kind != PARITY:
                    continue
                stripe, count = struct.unpack_from("<II", item.payload)
                at = 8
                for each in range(stripe, stripe + count):
                    found[number, each] = item.payload[at : at + self.width(each)]
                    at += self.width(each)
        return found

    def records(self) -> Iterator[tuple[Header, bytes | None]]:
        """Each record from its place, or decoded; its name alone where neither gives it."""
        for stripe in range(-(-len(self.names) // self.k)):
            width = self.width(stripe)
            data: list[bytes | None] = [bytes(width)] * self.k
            lost = []
            for turn in range(stripe * self.k, min((stripe + 1) * self.k, len(self.names))):
                c, start = turn % self.k, self.offsets[turn]
                raw = self.files.get(self.segments[c], [b""])[0]
                record = self.proven(turn, raw, start)
                if record is None:
                    data[c] = None
                    lost.append(turn)
                else:
                    data[c] = raw[start : start + HEADER + record[0].length].ljust(width, b"\0")
                    yield record
            shards = decode(data, [self.shards.get((j, stripe)) for j in self.columns]) if lost else None
            for turn in lost:
                record = self.proven(turn, shards[turn % self.k], 0) if shards else None
                yield record or (self.names[turn], None)

    def proven(self, turn: int, data: bytes, at: int) -> tuple[Header, bytes] | None:
        """The record that was dealt at a turn, if it stands at `data[at:]`."""
        record = record_at(data, at, self.segments[turn % self.k], self.offsets[turn])
        return record if record and record[0].seq == self.names[turn].seq else None


def spreads(files: dict[int, list[bytes]]) -> list[Spread]:
    """Every spread of which a whole manifest can be put together."""
    parts: dict[int, dict[int, dict[str, Any]]] = {}
    for number, copies in files.items():
        if number < COLUMN:
            continue
        for item in records(copies, number):
            if item.payload is not None and item.header is not None and item.header.kind == MANIFEST:
                part = msgpack.unpackb(item.payload)
                parts.setdefault((number - COLUMN) // 16, {})[part["i"]] = part
    found = []
    for maps in parts.values():
        names = [each for _, part in sorted(maps.items()) for each in unpacked(part["c"])]
        if 0 in maps and maps[0]["h"][4] == len(names):
            found.append(Spread(maps[0]["h"], names, files))
    return found


# The memory


def read_files(folder: Path) -> dict[int, list[bytes]]:
    """The copies of each file, by number."""
    files: dict[int, list[bytes]] = {}
    for place in ("segments", "mirror", "parity"):
        for path in sorted((folder / place).glob("*")):
            if match := re.fullmatch(r"(c?)(\d{6,10})\.seg", path.name):
                number = int(match[2]) + (SPREAD if match[1] else 0)
            elif match := re.fullmatch(r"(\d{6,9})-(\d)\.par", path.name):
                number = COLUMN + 16 * int(match[1]) + int(match[2])
            else:
                continue
            files.setdefault(number, []).append(path.read_bytes())
    return dict(sorted(files.items()))


class Told:
    """What was read: every name of a fragment's write, the proven ones, and the reconstructions."""

    def __init__(self) -> None:
        self.names: list[Header] = []
        self.proven: dict[int, tuple[Header, bytes]] = {}
        self.rebuilt: dict[int, tuple[tuple[bool, float, int], dict[str, Any]]] = {}

    def take(self, header: Header, payload: bytes | None) -> None:
        if header.kind in (FRAGMENT, TOMBSTONE):
            self.names.append(header)
        if header.kind == FRAGMENT and payload is not None:
            self.proven[header.seq] = header, payload
        elif header.kind == LEDGER and payload is not None:
            for lost in msgpack.unpackb(payload).get("named", ()):
                self.take(name(*lost), None)
        elif header.kind == RECONSTRUCTION and payload is not None:
            said = msgpack.unpackb(payload)
            rank = said["exact"], said["score"], header.seq
            if said["lost_seq"] not in self.rebuilt or rank > self.rebuilt[said["lost_seq"]][0]:
                self.rebuilt[said["lost_seq"]] = rank, said

    def newest(self) -> dict[bytes, Header]:
        """Of each fragment the highest version that anything names, then the latest write."""
        # Of those that name the same write a header knows more of the digest.
        return {h.id: h for h in sorted(self.names, key=lambda h: (h.version, h.seq, len(h.text_digest)))}


def live(folder: Path) -> list[dict[str, Any]]:
    """The live fragments, by id."""
    files, told = read_files(folder), Told()
    listed: set[int] = set()
    for spread in spreads(files):
        listed.update(spread.segments)
        for record in spread.records():
            told.take(*record)
    for number, copies in files.items():
        for item in records(copies, number) if number < COLUMN and number not in listed else ():
            if item.header is not None:
                told.take(item.header, item.payload)
    newest = told.newest()
    deleted = {id for id, header in newest.items() if header.kind == TOMBSTONE}
    return [
        fragment(*told.proven[header.seq])
        if header.seq in told.proven
        else lost(header, told.rebuilt.get(header.seq), deleted)
        for id, header in sorted(newest.items())
        if id not in deleted
    ]


def lost(h: Header, rebuilt: tuple[Any, dict[str, Any]] | None, deleted: set[bytes]) -> dict[str, Any]:
    """A fragment whose newest version is only named: what a dream has put in its place, or a blank."""
    out: dict[str, Any] = {"id": h.id.hex(), "version": h.version, "seq": h.seq, "updated": h.time_ms / 1000}
    said = rebuilt[1] if rebuilt else None
    if said is None or deleted.intersection(said["sources"]):
        return out | {"state": "blank", "text": "", "digest": h.text_digest.hex()}
    state = "repaired" if said["exact"] else "reconstructed"
    return out | {"state": state, "text": said["text"], "confidence": said["confidence"]}


def fragment(header: Header, payload: bytes) -> dict[str, Any]:
    """One fragment as JSON values."""
    out: dict[str, Any] = {"id": header.id.hex(), "version": header.version, "seq": header.seq}
    out["updated"] = header.time_ms / 1000
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
