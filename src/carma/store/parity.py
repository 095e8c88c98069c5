"""Parity files: how a spread's redundancy lies on disk, and how a lost record is decoded from it.

A parity file is a row of records, like a segment, so the same scan proves it and finds the next whole record
after damage. Column j of a spread holds MANIFEST records (columns 0 to 3), PARITY records with shard j of
each stripe, and COPIES records (the last two columns). All of it but the copies follows from the spread's
records, so a parity file that is lost is made again byte for byte.

Reading decodes one stripe at a time: the members that are left, zero-filled to the longest, and as many
shards as are missing. One record alone is decoded faster from bytes that nobody proved before. What comes out
is a record with its own digests, so nothing is believed unproven.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from carma.errors import CarmaError
from carma.store.copies import open_copies
from carma.store.entry import MOVE, Entry
from carma.store.erasure import TooFewShards, decode, decode_one, encode
from carma.store.log import FellBehind
from carma.store.manifest import Manifest
from carma.store.manifest_parts import identity_in, unpack_parts
from carma.store.payload import pack_map, unpack_map
from carma.store.record import HEADER_BYTES, NO_ID, RecordDamaged, RecordKind, encode_header
from carma.store.scan import Intact, merge_copies, record_at
from carma.store.segments import PARITY, Segments

__all__ = ["MANIFEST_COLUMNS", "Spreads", "column_bytes", "parity_shards"]

Bytes = NDArray[np.uint8]
MANIFEST_COLUMNS = 4
"""The manifest stands in so many parity files."""
_NARROW = 1 << 16
"""Bytes of a shard up to which it pays to look for what else of a stripe is damaged."""
_GROUP = struct.Struct("<II")


def parity_shards(manifest: Manifest, segments: Sequence[bytes]) -> list[bytes]:
    """The PARITY payloads of every column, joined: for column j what `_parity_payloads` cuts up.

    segments: the bytes of each segment of the spread, in order.
    """
    k, m = manifest.head.k, manifest.head.m
    widths = [manifest.width(stripe) for stripe in range(manifest.stripes)]
    total = sum(widths)
    data = np.zeros((k, total), np.uint8)
    for column, segment in enumerate(segments):
        raw = np.frombuffer(segment, np.uint8)
        at = start = 0
        for width, index in zip(widths, manifest.in_segment(manifest.head.first + column), strict=False):
            length = manifest.place(index)[2]
            data[column, at : at + length] = raw[start : start + length]
            at += width
            start += length
    return [shard.tobytes() for shard in encode(data, m)]


def column_bytes(manifest: Manifest, at: int, shards: bytes, copies: Sequence[bytes]) -> tuple[bytes, int]:
    """One whole parity file, and the offset of its first PARITY record.

    shards: this column's, of all stripes; copies: the payloads of its COPIES records (none for most columns).
    """
    number, created = manifest.column(at), manifest.head.created_ms
    parts: list[bytes] = []
    offset = 0

    def put(kind: RecordKind, payload: bytes) -> None:
        nonlocal offset
        header = encode_header(kind, 0, 0, created, NO_ID, number, offset, payload)
        parts.extend((header, payload))
        offset += len(header) + len(payload)

    if at < MANIFEST_COLUMNS:
        for part in manifest.parts:
            put(RecordKind.MANIFEST, part)
    start, taken = offset, 0
    for first, count, _ in manifest.groups:
        size = sum(manifest.width(stripe) for stripe in range(first, first + count))
        put(RecordKind.PARITY, _GROUP.pack(first, count) + shards[taken : taken + size])
        taken += size
    for copy in copies:
        put(RecordKind.COPIES, copy)
    return b"".join(parts), start


class Spreads:
    """The spreads of one memory, by what their parity files still say. Safe to share between threads.

    without_key: of sealed manifests know what is not sealed; enough to find records and to decode them.
    """

    def __init__(self, segments: Segments, *, without_key: bool = False) -> None:
        self.segments = segments
        self._without_key = without_key
        self._found: tuple[list[int], dict[int, Manifest]] = ([], {})

    def manifests(self) -> list[Manifest]:
        """Every spread of which a whole manifest can be read, ascending."""
        return [manifest for _, manifest in sorted(self._current().items())]

    def get(self, spread: int) -> Manifest | None:
        """One spread's manifest."""
        return self._current().get(spread)

    def of_segment(self, number: int) -> Manifest | None:
        """The spread that a segment or a parity file belongs to."""
        if number >= PARITY:
            return self.get((number - PARITY) >> 4)
        return _among(self._current(), number)

    def expanded(self, entry: Entry) -> Entry:
        """An announcement together with where each record now lies; any other entry as it is.

        Raises FellBehind if a manifest that it speaks of cannot be read.
        """
        if entry.kind != RecordKind.REWRITE:
            return entry
        note = unpack_map(entry.payload)
        # What was lost and left behind lies nowhere, but it is not forgotten.
        moves = [MOVE.pack(seq, 0, 0, 0) for seq in note["lost"]]
        for spread in note["spreads"]:
            manifest = self.get(spread)
            if manifest is None:
                raise FellBehind
            for index, record in enumerate(manifest.records):
                segment, offset, length = manifest.place(index)
                moves.append(MOVE.pack(record.seq, segment, length, offset))
        return entry._replace(payload=pack_map({**note, "moves": b"".join(moves)}))

    def identities(self) -> Iterator[Mapping[str, Any]]:
        """What the manifests say of the memory: the members of memory.json. Needs no key."""
        for column in self.segments.columns():
            if (column & 15) < MANIFEST_COLUMNS:
                for item in self.records(column, RecordKind.MANIFEST):
                    identity = identity_in(item.payload)
                    if identity is not None:
                        yield identity

    def forget(self) -> None:
        """Read the manifests anew when they are next asked for."""
        self._found = ([], {})

    def _current(self) -> dict[int, Manifest]:
        columns = self.segments.columns()
        known, found = self._found
        if columns == known:
            return found
        numbers = {(column - PARITY) >> 4 for column in columns}
        fresh = {number: manifest for number, manifest in found.items() if number in numbers}
        for number in numbers - fresh.keys():
            manifest = self._load(number, columns)
            if manifest is not None:
                fresh[number] = manifest
        self._found = (columns, fresh)
        return fresh

    def _load(self, spread: int, columns: Sequence[int]) -> Manifest | None:
        """The manifest, each part from whichever file has it."""
        parts: list[bytes] = []
        for column in columns:
            if (column - PARITY) >> 4 == spread and (column & 15) < MANIFEST_COLUMNS:
                parts += [item.payload for item in self.records(column, RecordKind.MANIFEST)]
                try:
                    manifest = unpack_parts(parts, self.segments.sealing, without_key=self._without_key)
                except (ValueError, KeyError, TypeError):
                    continue
                if manifest is not None:
                    return manifest
        return None

    def records(self, number: int, kind: RecordKind | None = None) -> Iterator[Intact]:
        """The proven records of a parity file; those of one kind if it is given."""
        data = self.segments.read_all("segments", number)
        if data is None:
            return
        for item in merge_copies(data, bytes, len(data), number):
            if isinstance(item, Intact) and kind in (None, item.header.kind):
                yield item

    # Decoding

    def rebuild(self, segment: int, offset: int, width: int | None = None) -> Intact | None:
        """The record that should be at a place of a rewritten segment, decoded and proven; None if it
        cannot be, or if its stripe is wider than `width`.
        """
        # A manifest that was read once will do without a look at the folder: what is decoded proves itself.
        manifest = _among(self._found[1], segment) or self.of_segment(segment) if segment < PARITY else None
        index = manifest.index_at(segment, offset) if manifest is not None else None
        if manifest is None or index is None:
            return None
        stripe = manifest.stripe_of(index)
        if width is not None and manifest.width(stripe) > width:
            return None
        item = self._alone(manifest, index)
        return item if item is not None else self.stripe(manifest, stripe)[segment - manifest.head.first]

    def _alone(self, manifest: Manifest, index: int) -> Intact | None:
        """One record without the rest of its stripe, from bytes that nobody proved: first as if it were the
        only one that is damaged, then with those left out that are. Its own proof says whether it is right;
        None where it is not.
        """
        segment, _, length = manifest.place(index)
        stripe, wanted = manifest.stripe_of(index), segment - manifest.head.first
        data: list[bytes | None] = [
            self.segments.raw(number, at, min(size, length)) for number, at, size in manifest.shards(stripe)
        ]
        data[wanted] = None
        item = self._decoded(manifest, index, wanted, data)
        if item is None and manifest.width(stripe) <= _NARROW:
            for at, (number, begin, size) in enumerate(manifest.shards(stripe)):
                if at != wanted and size and not self._whole(number, begin, size, data[at]):
                    data[at] = None
            item = self._decoded(manifest, index, wanted, data) if data.count(None) > 1 else None
        return item

    def _whole(self, segment: int, offset: int, size: int, known: bytes | None) -> bool:
        """Whether the bytes at a place are a record of this length; known: the first of them."""
        data = known if known and len(known) == size else self.segments.raw(segment, offset, size)
        try:
            return HEADER_BYTES + record_at(data, 0, segment, offset).header.length == size
        except RecordDamaged:
            return False

    def _decoded(
        self, manifest: Manifest, index: int, wanted: int, data: Sequence[bytes | None]
    ) -> Intact | None:
        segment, offset, length = manifest.place(index)
        behind, lost = manifest.parity_at(manifest.stripe_of(index)), data.count(None)
        parity = [
            self.segments.raw(manifest.column(at), manifest.start(at) + behind, length)
            for at in range(min(lost, manifest.head.m))
        ]
        if len(parity) < lost or any(len(shard) < length for shard in parity):
            return None
        try:
            item = record_at(decode_one(data, wanted, parity), 0, segment, offset)
        except RecordDamaged:
            return None
        return item if self._is(item, manifest, index) else None

    def stripe(self, manifest: Manifest, stripe: int) -> list[Intact | None]:
        """The records of a stripe, read or decoded; None for each that neither gives."""
        width = manifest.width(stripe)
        members = manifest.members(stripe)
        found = [self.member(manifest, index) for index in members]
        if None not in found:
            return found
        data: list[Bytes | None] = [_shard(item, width, manifest) for item in found]
        data += [np.zeros(width, np.uint8)] * (manifest.head.k - len(data))
        lost = found.count(None)
        parity: list[Bytes | None] = [None] * manifest.head.m
        held = 0
        for at in range(manifest.head.m):
            if held < lost:
                parity[at] = self._parity(manifest, at, stripe)
                held += parity[at] is not None
        try:
            decoded = decode(data, parity)
        except TooFewShards:
            return found
        for at, index in enumerate(members):
            if found[at] is None:
                segment, offset, length = manifest.place(index)
                try:
                    item = record_at(decoded[at][:length].tobytes(), 0, segment, offset)
                except RecordDamaged:
                    continue  # A shard said something else than it should: believe nothing.
                found[at] = item if self._is(item, manifest, index) else None
        return found

    def members(self, manifest: Manifest) -> Iterator[tuple[int, Intact | None]]:
        """Every record of a spread with its index, read file by file; None where neither its place nor its
        stripe gives it.
        """
        for number in manifest.segments:
            data = self.segments.read_all("segments", number) or b""
            for index in manifest.in_segment(number):
                item = _at(data, manifest, index)
                if item is None or not self._is(item, manifest, index):
                    item = self.rebuild(*manifest.place(index)[:2])
                yield index, item

    def member(self, manifest: Manifest, index: int) -> Intact | None:
        """A record of a spread from its own place; None if it is not there any more."""
        try:
            item = self.segments.read_copy("segments", *manifest.place(index))
        except RecordDamaged:
            return None
        return item if self._is(item, manifest, index) else None

    def _is(self, item: Intact, manifest: Manifest, index: int) -> bool:
        """Whether a record is the one that a manifest names, sealed by the owner."""
        return item.header.seq == manifest.records[index].seq and self.segments.sealing.proves(*item)

    def _parity(self, manifest: Manifest, at: int, stripe: int) -> Bytes | None:
        """Shard `at` of a stripe, proven; None if it is gone."""
        first, count, behind = manifest.groups[bisect_right(manifest.groups, stripe, key=_first) - 1]
        widths = [manifest.width(each) for each in range(first, first + count)]
        length = HEADER_BYTES + _GROUP.size + sum(widths)
        try:
            item = self.segments.read_copy(
                "segments", manifest.column(at), manifest.start(at) + behind, length
            )
        except (RecordDamaged, CarmaError):
            return None
        if _GROUP.unpack_from(item.payload) != (first, count):
            return None
        start = _GROUP.size + sum(widths[: stripe - first])
        return np.frombuffer(item.payload, np.uint8)[start : start + widths[stripe - first]]

    # Copies

    def copies(self, manifest: Manifest) -> dict[int, bytes]:
        """What the COPIES records hold, by index of the record."""
        found: dict[int, bytes] = {}
        for payload in self.copies_parts(manifest):
            part = open_copies(payload, manifest.head.spread, self.segments.sealing)
            if part is None:
                continue
            at = 0
            for number, size in enumerate(part["n"], part["i"]):
                if size:
                    found[number] = part["e"][at : at + size]
                at += size
        return found

    def copies_parts(self, manifest: Manifest) -> list[bytes]:
        """The payloads of the COPIES records in order, each from whichever of the two files has it."""
        found: dict[int, bytes] = {}
        for at in (manifest.head.m - 2, manifest.head.m - 1):
            for item in self.records(manifest.column(at), RecordKind.COPIES):
                part: dict[str, Any] = msgpack.unpackb(item.payload, raw=False)
                found.setdefault(part["i"], item.payload)
        return [found[at] for at in sorted(found)]


def _among(found: Mapping[int, Manifest], segment: int) -> Manifest | None:
    """The manifest that names a segment."""
    return next((each for each in found.values() if segment in each.segments), None)


def _first(group: tuple[int, int, int]) -> int:
    return group[0]


def _at(data: bytes, manifest: Manifest, index: int) -> Intact | None:
    """A record of a spread in the bytes of its segment."""
    segment, offset, _ = manifest.place(index)
    try:
        return record_at(data, offset, segment, offset)
    except RecordDamaged:
        return None


def _shard(item: Intact | None, width: int, manifest: Manifest) -> Bytes | None:
    """A record as the bytes that went into its stripe."""
    if item is None:
        return None
    h = item.header
    header = encode_header(
        h.kind, h.version, h.seq, h.time_ms, h.id, h.segment, h.offset, item.payload, h.text_digest, h.flags
    )
    shard = np.zeros(width, np.uint8)
    shard[: len(header) + h.length] = np.frombuffer(header + item.payload, np.uint8)
    return shard
