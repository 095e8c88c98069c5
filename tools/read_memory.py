"""Read a memory without CARMA: its live fragments as JSON lines, from whatever is left of its files.

    python tools/read_memory.py FOLDER [KEY] > fragments.jsonl

KEY is a file with the data key of an encrypted memory, 64 hexadecimal digits, or - for standard input; never
the key itself, which a list of processes would show.

Follows docs/FORMAT.md and nothing else, so it shows that the format can be read by others: it needs the two
files beside it, `blake3`, `msgpack` and `xxhash`, for encrypted memories `cryptography` too. It writes
nothing, and uses neither the index nor memory.json. What a file of a spread has lost is decoded from its
parity files. A fragment whose newest version cannot be had is printed with `"state": "blank"`, or as what a
dream has put in its place. Sketches and short copies are not read.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack

from read_records import (  # type: ignore[import-not-found]
    COLUMN,
    FRAGMENT,
    HEADER,
    LEDGER,
    MANIFEST,
    MEMORY,
    PARITY,
    RECONSTRUCTION,
    SPREAD,
    TOMBSTONE,
    Header,
    decode,
    record_at,
    records,
)

if TYPE_CHECKING:
    from read_seals import Key  # type: ignore[import-not-found]

# Spreads


def name(seq: int, kind: int, version: int, time_ms: int, id: bytes, length: int, digest: bytes) -> Header:
    """What a manifest or the ledger says of a write: as much of its header."""
    return Header(kind, 0, length, version, seq, time_ms, id, 0, 0, b"", digest)


WIDTHS = (8, 1, 4, 8, 16, 4, 10)
OPEN, CLOSED = (0, 5), (1, 2, 3, 4, 6)


def columns_of(packed: bytes, which: Iterable[int]) -> dict[int, list[bytes]]:
    """The values of these columns."""
    raw = zlib.decompress(packed)
    count = len(raw) // sum(WIDTHS[column] for column in which)
    values: dict[int, list[bytes]] = {}
    at = 0
    for column in which:
        # Byte b of value v stands at b * count + v.
        values[column] = [raw[at + v : at + WIDTHS[column] * count : count] for v in range(count)]
        at += WIDTHS[column] * count
    return values


def unpacked(part: dict[str, Any], head: list[Any], key: Key | None) -> Iterator[Header]:
    """The records of one map of a manifest."""
    if "s" in part:
        sealed = key.of_manifest(part, head) if key else None
        if sealed is None:
            return
        found = columns_of(part["g"], OPEN) | columns_of(sealed, CLOSED)
    else:
        found = columns_of(part["c"], range(len(WIDTHS)))
    values = [found[column] for column in range(len(WIDTHS))]
    seq = time_ms = 0
    for a, kind, version, b, id, length, digest in zip(*values, strict=True):
        seq += int.from_bytes(a, "little", signed=True)
        time_ms += int.from_bytes(b, "little", signed=True)
        numbers = (int.from_bytes(value, "little") for value in (kind, version, length))
        yield name(seq, next(numbers), next(numbers), time_ms, id, next(numbers), digest)


class Spread:
    """A manifest, and with the files that are left every record that can be had."""

    def __init__(
        self, head: list[Any], names: list[Header], files: dict[int, list[bytes]], key: Key | None
    ) -> None:
        self.key = key
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
        return int(HEADER + self.names[stripe * self.k].length)

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
        """The record that was dealt at a turn, if it stands at `data[at:]`, as it is stored."""
        record = record_at(data, at, self.segments[turn % self.k], self.offsets[turn])
        if record is None or record[0].seq != self.names[turn].seq:
            return None
        return record if self.key is None or self.key.of_record(*record) is not None else None


def manifests(files: dict[int, list[bytes]]) -> list[dict[int, dict[str, Any]]]:
    """The maps of each manifest, by the number of their first record."""
    parts: dict[int, dict[int, dict[str, Any]]] = {}
    for number, copies in files.items():
        if number < COLUMN:
            continue
        for item in records(copies, number):
            if item.payload is not None and item.header is not None and item.header.kind == MANIFEST:
                part = msgpack.unpackb(item.payload)
                parts.setdefault((number - COLUMN) // 16, {})[part["i"]] = part
    return list(parts.values())


def spreads(files: dict[int, list[bytes]], key: Key | None) -> list[Spread]:
    """Every spread of which a whole manifest can be put together."""
    found = []
    for maps in manifests(files):
        if 0 in maps:
            head = maps[0]["h"]
            names = [each for _, part in sorted(maps.items()) for each in unpacked(part, head, key)]
            if head[4] == len(names):
                found.append(Spread(head, names, files, key))
    return found


def identities(files: dict[int, list[bytes]]) -> Iterator[dict[str, Any]]:
    """What the log and the manifests say of the memory."""
    for number, copies in files.items():
        for item in records(copies, number) if number < SPREAD else ():
            if item.header is not None and item.header.kind == MEMORY and item.payload is not None:
                yield msgpack.unpackb(item.payload)
    yield from (maps[0]["h"][12] for maps in manifests(files) if 0 in maps)


def key_of(secret: bytes, memory: str) -> Key:
    """What opens the memory with this id. Plain memories are read without `cryptography`."""
    from read_seals import Key

    return Key(secret, memory)


def key_for(files: dict[int, list[bytes]], secret: bytes | None) -> Key | None:
    """What opens the memory; None if nothing of it is sealed. Exits if the key is not the right one."""
    newest = max(identities(files), key=lambda each: each["revision"], default={})
    encryption = newest.get("encryption")
    if encryption is None:
        return None
    if secret is None:
        sys.exit(f"The memory is encrypted by the data key {encryption['key']}: name a file that holds it.")
    key = key_of(secret, newest["id"])
    if key.named() != encryption:
        sys.exit(f"The memory is encrypted by the data key {encryption['key']}, not by this one.")
    return key


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

    def __init__(self, key: Key | None) -> None:
        self.key = key
        self.names: list[Header] = []
        self.proven: dict[int, tuple[Header, bytes]] = {}
        self.rebuilt: dict[int, tuple[tuple[bool, float, int], dict[str, Any]]] = {}

    def take(self, header: Header, stored: bytes | None) -> None:
        """Note a record, or only its name. stored: its payload, as it stands there."""
        sealed = self.key is not None and stored is not None
        payload = self.key.of_record(header, stored) if self.key and stored is not None else stored
        if sealed and payload is None and header.kind == TOMBSTONE:
            header = header._replace(kind=FRAGMENT)  # Not the owner's: it ends nothing, and is a version.
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


def live(folder: Path, secret: bytes | None = None) -> list[dict[str, Any]]:
    """The live fragments, by id. secret: the data key of an encrypted memory."""
    files = read_files(folder)
    key = key_for(files, secret)
    told = Told(key)
    listed: set[int] = set()
    for spread in spreads(files, key):
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


def secret_in(name: str) -> bytes:
    """The data key in a file. Exits if there is none."""
    text = sys.stdin.read() if name == "-" else Path(name).read_text()
    if not re.fullmatch("[0-9a-fA-F]{64}", text.strip()):
        sys.exit("A data key is 64 hexadecimal digits.")
    return bytes.fromhex(text.strip())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: read_memory.py FOLDER [KEY]")
    for item in live(Path(sys.argv[1]), secret_in(sys.argv[2]) if len(sys.argv) == 3 else None):
        print(json.dumps(item, ensure_ascii=False))
