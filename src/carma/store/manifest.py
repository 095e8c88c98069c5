"""The manifest of a spread: which records it holds, and by rule where each of them lies.

A spread is a set of records dealt over k segments, with m parity files beside them. Its manifest stands in
four of the parity files. It names every record (so that a lost one is a blank and not a gap) and says how
long each is; where each lies follows: the records in order of length, longest first, are dealt one to each
segment in turn. A *stripe* is one such round: the i-th record of each segment.

Rejected: writing the places down (12 bytes for each record, four times), one manifest for the whole memory
(it would be rewritten with every rest).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carma.store.record import HEADER_BYTES
from carma.store.segments import PARITY

__all__ = ["DIGEST_BYTES", "Head", "Listed", "Manifest"]

DIGEST_BYTES = 10
"""So much of a text's digest is kept: enough to prove by, and a third of what four whole ones would cost."""

_GROUP_BYTES = 4096
"""Shards of consecutive stripes share a PARITY record until it is as long as a sector of most disks."""
_GROUP_HEAD = 8


class Listed(NamedTuple):
    """A record as the manifest names it. length: of the payload. digest: the beginning of its text's."""

    seq: int
    kind: int
    version: int
    time_ms: int
    id: bytes
    length: int
    digest: bytes


class Head(NamedTuple):
    """What is said once of a spread.

    first: number of the first segment; inputs: segments that it took the place of; log: number of the log
    segment that was sealed before it was made; dropped: [first, last] pairs of writes that were left out on
    purpose; digests: 8 bytes for each segment, BLAKE3 of the whole file; starts, sizes: for each parity file
    the offset of its first PARITY record and its length, u64 little-endian; identity: the members of
    memory.json.
    """

    spread: int
    k: int
    m: int
    first: int
    records: int
    created_ms: int
    log: int
    inputs: list[int]
    dropped: list[list[int]]
    digests: bytes
    starts: bytes
    sizes: bytes
    identity: Mapping[str, Any]


class Manifest:
    """The head and the records of a spread, in order of their seq, and the places that follow from them.

    parts: the payloads of the MANIFEST records, as they stand in the files.
    """

    def __init__(self, head: Head, records: Sequence[Listed], parts: Sequence[bytes] = ()) -> None:
        self.head = head
        self.records = records
        self.parts = parts
        self._lengths = np.fromiter((r.length for r in records), np.int64, len(records)) + HEADER_BYTES
        seqs = np.fromiter((r.seq for r in records), np.int64, len(records))
        self._order = np.lexsort((seqs, -self._lengths))
        """Index of the record at each turn of the dealing."""
        self._turn = np.empty(len(records), np.int64)
        self._turn[self._order] = np.arange(len(records))
        k = head.k
        dealt = np.zeros(-(-len(records) // k) * k, np.int64)
        dealt[: len(records)] = self._lengths[self._order]
        self._dealt: NDArray[np.int64] = dealt.reshape(-1, k)
        self._offsets = np.cumsum(self._dealt, axis=0) - self._dealt

    @property
    def segments(self) -> range:
        """Numbers of its segments."""
        return range(self.head.first, self.head.first + self.head.k)

    @property
    def columns(self) -> range:
        """File numbers of its parity files."""
        return range(self.column(0), self.column(0) + self.head.m)

    def column(self, at: int) -> int:
        """File number of one parity file."""
        return PARITY + self.head.spread * 16 + at

    @property
    def stripes(self) -> int:
        """How many stripes it has."""
        return len(self._dealt)

    def width(self, stripe: int) -> int:
        """Bytes of each shard of a stripe: its longest record, which is the first."""
        return int(self._dealt[stripe, 0])

    def size(self, segment: int) -> int:
        """Length of one of its segments."""
        return int(self._dealt[:, segment - self.head.first].sum())

    @property
    def bytes(self) -> int:
        """Length of all segments together."""
        return int(self._lengths.sum())

    def place(self, index: int) -> tuple[int, int, int]:
        """Segment, offset and length of a record, header included."""
        stripe, member = divmod(int(self._turn[index]), self.head.k)
        return self.head.first + member, int(self._offsets[stripe, member]), int(self._lengths[index])

    def stripe_of(self, index: int) -> int:
        """The stripe that a record belongs to."""
        return int(self._turn[index]) // self.head.k

    def members(self, stripe: int) -> list[int]:
        """Indices of the records of a stripe; member i lies in segment i."""
        start = stripe * self.head.k
        return self._order[start : start + self.head.k].tolist()  # type: ignore[no-any-return]

    def shards(self, stripe: int) -> list[tuple[int, int, int]]:
        """Segment, offset and length of every record of a stripe; the length is 0 where it has none."""
        offsets, lengths = self._offsets[stripe].tolist(), self._dealt[stripe].tolist()
        return list(zip(self.segments, offsets, lengths, strict=True))

    def parity_at(self, stripe: int) -> int:
        """Where a stripe's shard lies in each parity file, counted from its first PARITY record."""
        first, _, behind = self.groups[bisect_right(self.groups, stripe, key=itemgetter(0)) - 1]
        return behind + HEADER_BYTES + _GROUP_HEAD + int(self._dealt[first:stripe, 0].sum())

    def index_at(self, segment: int, offset: int) -> int | None:
        """The record that begins at a place, if one does."""
        column = self._offsets[:, segment - self.head.first]
        stripe = int(np.searchsorted(column, offset))
        if stripe >= len(column) or column[stripe] != offset:
            return None
        turn = stripe * self.head.k + segment - self.head.first
        return int(self._order[turn]) if turn < len(self.records) else None

    def index_of(self, seq: int) -> int | None:
        """The record of a write, if it is here."""
        return self._by_seq.get(seq)

    @cached_property
    def _by_seq(self) -> dict[int, int]:
        return {record.seq: at for at, record in enumerate(self.records)}

    def in_segment(self, segment: int) -> list[int]:
        """Indices of the records of a segment, in the order in which they lie."""
        return self._order[segment - self.head.first :: self.head.k].tolist()  # type: ignore[no-any-return]

    @cached_property
    def groups(self) -> list[tuple[int, int, int]]:
        """(first stripe, stripes, offset behind the start) of each PARITY record, the same in each column."""
        out, at, offset = [], 0, 0
        widths = self._dealt[:, 0].tolist()
        while at < len(widths):
            size, count = 0, 0
            while at + count < len(widths) and (count == 0 or size + widths[at + count] <= _GROUP_BYTES):
                size += widths[at + count]
                count += 1
            out.append((at, count, offset))
            offset += HEADER_BYTES + _GROUP_HEAD + size
            at += count
        return out

    @cached_property
    def parity_bytes(self) -> int:
        """Length of all PARITY records of a column."""
        return int(self._dealt[:, 0].sum()) + len(self.groups) * (HEADER_BYTES + _GROUP_HEAD)

    def start(self, at: int) -> int:
        """Offset of the first PARITY record in parity file `at`."""
        return int.from_bytes(self.head.starts[at * 8 : at * 8 + 8], "little")

    def column_size(self, at: int) -> int:
        """Length of parity file `at`."""
        return int.from_bytes(self.head.sizes[at * 8 : at * 8 + 8], "little")
