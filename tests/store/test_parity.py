"""What is lost of a spread comes back from its parity files, proven, as often as arithmetic says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import pytest
from tests.faults.scenario import FOLDER, Promised, Writer, open_on

from carma.store.manifest import Manifest
from carma.store.parity import MANIFEST_COLUMNS, Spreads, column_bytes, parity_shards
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header
from carma.store.rest import respread
from carma.store.scan import Intact, merge_copies
from carma.store.segments import Segments
from carma.store.spread import Condense
from carma.testing import SimulatedDisk

ROUNDS = 60
"""Memories damaged for each probability; each has so many stripes that say something about it."""


@dataclass
class Spread:
    """A spread on a simulated disk, and its records as they were written."""

    disk: SimulatedDisk
    manifest: Manifest
    records: list[Intact]

    @property
    def paths(self) -> dict[int, str]:
        segments = Segments(self.disk, FOLDER)
        numbers = [*self.manifest.segments, *self.manifest.columns]
        return {number: segments.path("segments", number) for number in numbers}

    def damaged(self, places: Sequence[tuple[int, int]], width: int = 1) -> SimulatedDisk:
        """The same disk with so many bytes changed at each (file, offset), each place in its own way: where
        the same bit of the same bytes is flipped everywhere, the sums of a stripe may come out right.
        """
        disk = self.disk.copy()
        data = {number: bytearray(disk.contents(path)) for number, path in self.paths.items()}
        for number, at in places:
            noise = random.Random(f"{number} {at}").choices(range(1, 256), k=width)
            kept = data[number][at : at + width]
            data[number][at : at + width] = bytes(
                byte ^ other for byte, other in zip(kept, noise, strict=False)
            )
        for number, path in self.paths.items():
            disk.put(path, bytes(data[number]))
        return disk

    def shard(self, column: int, group: int) -> int:
        """Offset of a PARITY record in a column."""
        return self.manifest.start(column) + self.manifest.groups[group][2]


def spread_of(texts: Sequence[str], condense: Condense | None = None) -> Spread:
    """A memory at rest whose only spread holds these texts."""
    disk = SimulatedDisk()
    store = open_on(disk)
    Writer(store, Promised()).say(*enumerate(texts, 1))
    respread(store, condense, dead_share=1.0)
    (manifest,) = store.spreads.manifests()
    records = [item for _, item in sorted(store.spreads.members(manifest)) if item is not None]
    store.close()
    assert len(records) == len(texts)
    return Spread(disk, manifest, records)


def on(disk: SimulatedDisk) -> Spreads:
    return Spreads(Segments(disk, FOLDER))


def texts(count: int, least: int = 1, most: int = 400) -> list[str]:
    chance = random.Random(count)
    return [f"{at} " + "x" * chance.randint(least, most) for at in range(count)]


FEW = [1, 2, 3, 5, 9, 20, 23, 61]


@pytest.mark.parametrize("count", FEW)
def test_each_record_comes_back_when_it_is_lost_alone(count: int) -> None:
    """Whatever its place; and the record is the one that was written, to the byte."""
    spread = spread_of(texts(count))
    for index, record in enumerate(spread.records):
        segment, offset, _ = spread.manifest.place(index)
        spreads = on(spread.damaged([(segment, offset + HEADER_BYTES)]))
        assert spreads.member(spread.manifest, index) is None
        assert spreads.rebuild(segment, offset) == record
        assert spreads.rebuild(segment, offset + 1) is None


@pytest.mark.parametrize("count", FEW)
def test_any_files_up_to_the_parity_may_be_gone(count: int) -> None:
    """As many of a spread's files as it has parity files, if one manifest is left; one more is too many for
    what lies in a lost segment.
    """
    spread = spread_of(texts(count))
    k, m = spread.manifest.head.k, spread.manifest.head.m
    chance = random.Random(count)
    for _ in range(12):
        kept = spread.manifest.column(chance.randrange(MANIFEST_COLUMNS))
        gone = chance.sample([number for number in spread.paths if number != kept], m)
        disk = spread.disk.copy()
        for number in gone:
            disk.remove(spread.paths[number])
        found = dict(on(disk).members(spread.manifest))
        assert [found[index] for index in range(count)] == spread.records
        beyond = [n for n in spread.manifest.segments if n not in gone][: max(0, k - 1)]
        for number in [*beyond[:1], *([] if beyond else [kept])]:
            disk.remove(spread.paths[number])
        lost = [each for each in spread.manifest.segments if not disk.paths().count(spread.paths[each])]
        for index, item in on(disk).members(spread.manifest):
            record = spread.records[index]
            full = len(spread.manifest.members(spread.manifest.stripe_of(index))) == k
            if spread.manifest.place(index)[0] not in lost:
                assert item == record
            elif full:
                assert item is None


@pytest.mark.parametrize("loss", [0.05, 0.10, 0.30, 0.40])
@pytest.mark.parametrize(("count", "m"), [(200, 8), (10, 6)])
def test_real_files_give_records_back_as_often_as_the_binomial_says(count: int, m: int, loss: float) -> None:
    """Independent losses of records and PARITY records in files on disk: each stripe by the rule exactly, and
    all together within 3 sigma of P(at most m - 1 of the other k + m - 1 shards are lost).
    """
    # Records of more than half a group, so that each PARITY record holds the shards of one stripe.
    spread = spread_of(texts(count, 2_100, 2_300))
    manifest = spread.manifest
    k = manifest.head.k
    assert manifest.head.m == m
    assert len(manifest.groups) == manifest.stripes == count // k
    chance = random.Random(f"{count} {loss}")
    drawn = back = 0
    for _ in range(ROUNDS if count < 100 else ROUNDS // 4):
        places: list[tuple[int, int]] = []
        gone: list[tuple[list[int], int]] = []
        for stripe in range(manifest.stripes):
            members = manifest.members(stripe)
            asked = chance.choice(members)
            lost = [at for at in members if at == asked or chance.random() < loss]
            columns = [column for column in range(m) if chance.random() < loss]
            places += [tuple(manifest.place(at)[:2]) for at in lost]
            places += [(manifest.column(c), spread.shard(c, stripe)) for c in columns]
            gone.append(([asked, *(at for at in lost if at != asked)], len(lost) + len(columns)))
        # Into the shard itself: a PARITY record with a damaged header still serves where its bytes are right.
        spreads = on(spread.damaged(places, width=300))
        for lost, losses in gone:
            found = [spreads.rebuild(*manifest.place(at)[:2]) for at in lost[:2]]
            expected = [spread.records[at] for at in lost[:2]] if losses <= m else [None] * len(lost[:2])
            assert found == expected
            drawn += 1
            back += found[0] is not None
    others = k + m - 1
    p = sum(comb(others, n) * loss**n * (1 - loss) ** (others - n) for n in range(m))
    assert abs(back - drawn * p) <= 3 * (drawn * p * (1 - p)) ** 0.5 + 1


def test_a_parity_record_that_lies_is_not_believed() -> None:
    """A shard with a digest of its own and wrong bytes decodes to something that no digest proves."""
    spread = spread_of(texts(6))
    manifest = spread.manifest
    disk = spread.damaged([(manifest.place(0)[0], manifest.place(0)[1])])
    number = manifest.column(0)
    data = bytearray(disk.contents(spread.paths[number]))
    at = spread.shard(0, 0)
    length = len(data) - at - HEADER_BYTES
    payload = bytes(data[at + HEADER_BYTES : at + HEADER_BYTES + 8]) + bytes(length - 8)
    data[at:] = encode_header(RecordKind.PARITY, 0, 0, 0, NO_ID, number, at, payload) + payload
    disk.put(spread.paths[number], bytes(data))
    assert on(disk).rebuild(*manifest.place(0)[:2]) is None


def test_a_stripe_wider_than_what_a_read_may_cost_is_left_alone() -> None:
    """With a bound on the width, only narrower stripes are decoded."""
    spread = spread_of(texts(3))
    segment, offset, length = spread.manifest.place(0)
    spreads = on(spread.damaged([(segment, offset)]))
    width = spread.manifest.width(0)
    assert spreads.rebuild(segment, offset, width - 1) is None
    assert spreads.rebuild(segment, offset, width) == spread.records[0]
    assert length <= width


@pytest.mark.parametrize("count", [1, 5, 23, 300])
def test_the_manifest_is_read_from_whatever_is_left_of_four_files(count: int) -> None:
    """Each of its records from whichever file has it; nothing is named if one record is gone in all four."""
    spread = spread_of(texts(count))
    starts: list[list[int]] = []
    for column in range(MANIFEST_COLUMNS):
        number = spread.manifest.column(column)
        data = spread.disk.contents(spread.paths[number])
        items = merge_copies(data, bytes, len(data), number)
        starts.append(
            [i.header.offset for i in items if isinstance(i, Intact) and i.header.kind == RecordKind.MANIFEST]
        )
    parts = len(starts[0])
    for kept in range(MANIFEST_COLUMNS):
        # Part 0 only in file `kept`, the others only in the next file.
        places = [
            (spread.manifest.column(column), starts[column][part])
            for column in range(MANIFEST_COLUMNS)
            for part in range(parts)
            if column != (kept + (part > 0)) % MANIFEST_COLUMNS
        ]
        (found,) = on(spread.damaged(places)).manifests()
        assert (found.head, list(found.records)) == (spread.manifest.head, list(spread.manifest.records))
    last = [(spread.manifest.column(column), starts[column][-1]) for column in range(MANIFEST_COLUMNS)]
    assert on(spread.damaged(last)).manifests() == []


@pytest.mark.parametrize("count", [1, 4, 40])
def test_a_parity_file_follows_from_the_records(count: int) -> None:
    """Made again from the segments and the manifest it is the same, byte for byte."""
    spread = spread_of(texts(count))
    segments = [spread.disk.contents(spread.paths[number]) for number in spread.manifest.segments]
    shards = parity_shards(spread.manifest, segments)
    for at, number in enumerate(spread.manifest.columns):
        data, start = column_bytes(spread.manifest, at, shards[at], ())
        assert data == spread.disk.contents(spread.paths[number])
        assert start == spread.manifest.start(at)
        assert len(data) == spread.manifest.column_size(at)


def half(records: Sequence[Intact]) -> list[bytes]:
    """An entry for every other record, of many lengths."""
    return [
        b"" if item.header.seq % 2 else b"%d." % item.header.seq * (item.header.seq % 20) for item in records
    ]


@pytest.mark.parametrize("count", [2, 70, 200])
def test_copies_come_from_either_of_their_two_files(count: int) -> None:
    """Each record's entry is found while one of the last two parity files has its COPIES record."""
    spread = spread_of(texts(count), half)
    m = spread.manifest.head.m
    written = {at: entry for at, entry in enumerate(half(spread.records)) if entry}
    assert on(spread.disk).copies(spread.manifest) == written
    for gone in (m - 2, m - 1):
        disk = spread.disk.copy()
        disk.remove(spread.paths[spread.manifest.column(gone)])
        assert on(disk).copies(spread.manifest) == written
    disk = spread.disk.copy()
    for gone in (m - 2, m - 1):
        disk.remove(spread.paths[spread.manifest.column(gone)])
    assert on(disk).copies(spread.manifest) == {}


def test_an_announcement_says_where_everything_lies_now() -> None:
    """Expanded by the manifest, it has the place of every record."""
    spread = spread_of(texts(30))
    store = open_on(spread.disk)
    rows = store.registry.rows("SELECT seq, segment, offset, length FROM fragments ORDER BY seq")
    assert [(row[0], row[1:]) for row in rows] == [
        (record.seq, spread.manifest.place(index)) for index, record in enumerate(spread.manifest.records)
    ]
    store.close()


def test_a_segment_belongs_to_the_spread_that_lists_it() -> None:
    """By its number, and a parity file by its own."""
    spread = spread_of(texts(5))
    spreads = on(spread.disk)
    numbers = [*spread.manifest.segments, *spread.manifest.columns]
    assert all(found is not None and found.head.spread == 1 for found in map(spreads.of_segment, numbers))
    assert spreads.of_segment(1) is None
    assert spreads.of_segment(spread.manifest.segments[-1] + 1) is None
