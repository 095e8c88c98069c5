"""A manifest says what it was told, and where each record lies follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.store.erasure import MOST_DATA, parity_count
from carma.store.manifest import DIGEST_BYTES, Head, Listed, Manifest
from carma.store.manifest_parts import PART, pack_parts, unpack_parts
from carma.store.record import HEADER_BYTES, RecordKind
from carma.store.segments import PARITY, REWRITTEN

ROOT = Path(__file__).parents[2]
IDENTITY = {"format": 1, "id": "0f" * 16, "created": 1.5, "revision": 3, "embedder": None, "policies": {}}

kinds = st.sampled_from([RecordKind.FRAGMENT, RecordKind.TOMBSTONE, RecordKind.LEDGER]) | st.integers(1, 255)
lengths = st.just(0) | st.integers(0, 300) | st.integers(0, 2**32 - 1)
gaps = st.integers(1, 3) | st.integers(1, 2**40)
times = st.integers(0, 2**62) | st.integers(1_700_000_000_000, 1_900_000_000_000)
ids = st.binary(min_size=16, max_size=16) | st.just(bytes(16)) | st.just(b"\xff" * 16)
rows = st.tuples(
    gaps, kinds, st.integers(0, 2**32 - 1), times, ids, lengths,
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES),
)  # fmt: skip


@st.composite
def listings(draw: st.DrawFn) -> list[Listed]:
    """1 to 700 records in order of their seq: a few drawn ones, repeated with other seqs."""
    drawn = draw(st.lists(rows, min_size=1, max_size=40))
    count = draw(st.integers(1, 40) | st.sampled_from([PART - 1, PART, PART + 1, 2 * PART, 700]))
    found, seq = [], 0
    for at in range(count):
        gap, *rest = drawn[at % len(drawn)]
        seq += gap
        found.append(Listed(seq, *rest))  # type: ignore[arg-type]
    return found


def head_of(records: list[Listed], spread: int = 5, first: int = REWRITTEN + 41) -> Head:
    k = min(MOST_DATA, len(records))
    m = parity_count(k)
    return Head(
        spread, k, m, first, len(records), 1_790_000_000_000, 7, [3, 4, REWRITTEN + 1, PARITY + 16],
        [[5, 9], [11, 11]], bytes(range(8)) * k, b"\1" * 8 * m, b"\2" * 8 * m, IDENTITY,
    )  # fmt: skip


def small(count: int, width: int = 50) -> Manifest:
    """A manifest of records of many lengths, some alike."""
    records = [
        Listed(3 * at + 1, RecordKind.FRAGMENT, 1, at, bytes(16), at * 37 % width, bytes(DIGEST_BYTES))
        for at in range(count)
    ]
    return Manifest(head_of(records), records)


counts = pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 19, 20, 21, 39, 40, 41, 257, 700])


@given(records=listings())
@settings(max_examples=60, deadline=None)
def test_what_was_packed_is_unpacked(records: list[Listed]) -> None:
    """Odd ids and times, gaps in the seqs, empty payloads, 1 to 700 records, and every member of the head."""
    head = head_of(records)
    parts = pack_parts(head, records)
    assert len(parts) == -(-len(records) // PART)
    found = unpack_parts(parts)
    assert found is not None
    assert list(found.records) == records
    assert found.head == head
    assert list(found.parts) == parts
    assert pack_parts(found.head, found.records) == parts


@given(records=listings(), order=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_parts_from_several_files_make_one_manifest(records: list[Listed], order: Any) -> None:
    """In any order and each several times, as four files that are damaged in different places give them."""
    parts = pack_parts(head_of(records), records)
    mixed = parts * 3
    order.shuffle(mixed)
    found = unpack_parts(mixed)
    assert found is not None
    assert list(found.records) == records


def test_without_one_of_its_parts_there_is_no_manifest() -> None:
    """Half a listing would take fragments for unnamed: none is better."""
    manifest = small(700)
    parts = pack_parts(manifest.head, manifest.records)
    for missing in range(len(parts)):
        assert unpack_parts(parts[:missing] + parts[missing + 1 :]) is None
    assert unpack_parts([]) is None


def test_the_length_of_a_part_does_not_depend_on_where_things_lie() -> None:
    """Digests, starts and sizes have a fixed length, so a file can be laid out before they are known."""
    manifest = small(300)
    head = manifest.head
    later = head._replace(
        digests=b"\xff" * len(head.digests),
        starts=b"\xff" * len(head.starts),
        sizes=b"\xfe" * len(head.sizes),
    )
    before, after = (pack_parts(each, manifest.records) for each in (head, later))
    assert [*map(len, before)] == [*map(len, after)]


def test_a_manifest_is_small() -> None:
    """At most 30 bytes a record, with ids and digests that nothing can compress, written one a second."""
    count = 2_000
    records = [
        Listed(
            at + 1, RecordKind.FRAGMENT, 1, 1_790_000_000_000 + at * 1_000 + at * 37 % 300,
            noise(at, 16), 100 + at * 7_919 % 900, noise(-at - 1, DIGEST_BYTES),
        )
        for at in range(count)
    ]  # fmt: skip
    parts = pack_parts(head_of(records), records)
    assert sum(map(len, parts)) / count <= 30


def noise(seed: int, length: int) -> bytes:
    return blake3(str(seed).encode()).digest(length)


@counts
def test_every_record_is_dealt_once_and_a_stripe_has_one_of_each_segment(count: int) -> None:
    """The records by length, the longest first, one to each segment in turn."""
    manifest = small(count)
    k = manifest.head.k
    dealt = [index for stripe in range(manifest.stripes) for index in manifest.members(stripe)]
    assert sorted(dealt) == list(range(count))
    keys = [(-manifest.records[index].length, manifest.records[index].seq) for index in dealt]
    assert keys == sorted(keys)
    for stripe in range(manifest.stripes):
        places = [manifest.place(index)[0] - manifest.head.first for index in manifest.members(stripe)]
        assert places == list(range(len(places)))
        assert len(places) == (k if stripe < manifest.stripes - 1 else count - k * stripe)
        longest = max(manifest.records[index].length for index in manifest.members(stripe))
        assert manifest.width(stripe) == HEADER_BYTES + longest


@counts
def test_the_records_of_a_segment_lie_without_gaps(count: int) -> None:
    """Offsets add up to the sizes of the segments, and those to the bytes of the spread."""
    manifest = small(count)
    seen = 0
    for segment in manifest.segments:
        at = 0
        for index in manifest.in_segment(segment):
            assert manifest.place(index) == (segment, at, HEADER_BYTES + manifest.records[index].length)
            at += manifest.place(index)[2]
            seen += 1
        assert manifest.size(segment) == at
    assert seen == count
    assert manifest.bytes == sum(manifest.size(segment) for segment in manifest.segments)


@counts
def test_a_place_gives_its_record_and_no_other_place_does(count: int) -> None:
    """`index_at` and `index_of` are the inverse of place and seq; between the records lies nothing."""
    manifest = small(count)
    for index, record in enumerate(manifest.records):
        segment, offset, length = manifest.place(index)
        assert manifest.index_at(segment, offset) == index
        assert manifest.index_at(segment, offset + 1) is None
        assert manifest.index_at(segment, offset + length) != index
        assert manifest.index_of(record.seq) == index
        assert manifest.index_of(record.seq + 1) is None
        assert index in manifest.members(manifest.stripe_of(index))
    for segment in manifest.segments:
        assert manifest.index_at(segment, manifest.size(segment)) is None


@counts
def test_every_stripe_is_in_one_parity_record(count: int) -> None:
    """The groups follow each other without gaps; none is longer than 4 KiB unless it holds one stripe."""
    manifest = small(count, width=1_500)
    at = offset = 0
    for first, stripes, behind in manifest.groups:
        assert (first, behind) == (at, offset)
        size = sum(manifest.width(stripe) for stripe in range(first, first + stripes))
        assert stripes == 1 or size <= 4_096
        at += stripes
        offset += HEADER_BYTES + 8 + size
    assert at == manifest.stripes
    assert offset == manifest.parity_bytes


def test_numbers_of_a_spread_are_its_own() -> None:
    """Segments and parity files of spreads side by side never share a number, and columns are told apart."""
    one, other = small(30), small(30)
    other = Manifest(other.head._replace(spread=6, first=one.segments[-1] + 1), other.records)
    numbers = [*one.segments, *one.columns, *other.segments, *other.columns]
    assert len(set(numbers)) == len(numbers)
    assert one.column(3) == PARITY + 5 * 16 + 3


def test_members_of_the_head_stand_in_this_order() -> None:
    """As docs/FORMAT.md lists them: who reads by that page relies on it."""
    manifest = small(3)
    part = msgpack.unpackb(pack_parts(manifest.head, manifest.records)[0])
    assert list(part) == ["i", "c", "h"]
    names = [name for name, _ in zip(Head._fields, part["h"], strict=True)]
    page = (ROOT / "docs" / "FORMAT.md").read_text()
    (listed,) = (part for part in page.split("\n\n") if part.startswith("`h`"))
    assert [word for word in listed.split("`") if word in names] == names
