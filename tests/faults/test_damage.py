"""Bits rot, files shrink, copies vanish: with one copy left nothing is lost, with none left nothing is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from carma.store.entry import entry_of
from carma.store.record import HEADER_BYTES, MAGIC, Header, RecordKind
from carma.store.rest import respread
from carma.store.scan import Intact, merge_copies
from carma.testing import SimulatedDisk

from .scenario import (
    FOLDER,
    Promised,
    Writer,
    check_all,
    check_reopening,
    everything,
    id_of,
    open_on,
    run,
    text_of,
)

FILES = [f"{FOLDER}/segments/000001.seg", f"{FOLDER}/mirror/000001.seg"]
SHARDS = 4
BOTH_STEP = 3
"""Of the bytes that rot in both copies, every third."""


@dataclass(frozen=True)
class Tiny:
    """A memory of four records: two fragments, an update and a deletion's worth of promises."""

    disk: SimulatedDisk
    promised: Promised

    def segment(self) -> bytes:
        return self.disk.contents(FILES[0])

    def headers(self) -> list[Header]:
        data = self.segment()
        return [item.header for item in merge_copies(data, bytes, len(data), 1) if isinstance(item, Intact)]


def tiny(last: int = 1) -> Tiny:
    disk, promised = SimulatedDisk(), Promised()
    store = open_on(disk)
    writer = Writer(store, promised)
    writer.say((1, "first"), (2, "second"))
    writer.say((last, "changed"))
    store.close()
    return Tiny(disk, promised)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def contents(first: bytes, second: bytes) -> list[object]:
    length = max(len(first), len(second))
    items = merge_copies(first, lambda: second, length, 1)
    return [entry_of(item)._replace(payload=b"") if isinstance(item, Intact) else item for item in items]


def test_any_bit_of_one_copy_is_made_good_by_the_other() -> None:
    """Reading both copies gives the same records whichever bit of either is flipped."""
    data = tiny().segment()
    whole = contents(data, data)
    for bit in range(len(data) * 8):
        rotten = flipped(data, bit)
        assert contents(rotten, data) == whole
        assert contents(data, rotten) == whole


def test_any_bit_of_the_only_copy_costs_one_record() -> None:
    """With one copy left, a flipped bit costs the record it is in, and what is read is what was written."""
    data = tiny().segment()
    whole = contents(data, data)
    for bit in range(len(data) * 8):
        found = contents(flipped(data, bit), b"")
        assert sum(item in whole for item in found) == len(whole) - 1


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_memory_opens_with_everything_whatever_byte_has_rotted(shard: int) -> None:
    """A flipped bit in each byte of segment, mirror and memory.json costs nothing and is mended."""
    memory = tiny()
    for path in [*FILES, f"{FOLDER}/memory.json"]:
        whole = memory.disk.contents(path)
        for at in range(shard, len(whole), SHARDS):
            disk = memory.disk.copy()
            disk.put(path, flipped(whole, at * 8 + at % 8))
            store = open_on(disk)
            check_all(store, memory.promised)
            store.close()
            assert disk.contents(path) == whole or path.endswith(".json")


@pytest.mark.nightly
@pytest.mark.parametrize("path", [*FILES, f"{FOLDER}/memory.json"])
def test_a_memory_opens_with_everything_whatever_bit_has_rotted(path: str) -> None:
    """The same for every single bit."""
    memory = tiny()
    whole = memory.disk.contents(path)
    for bit in range(len(whole) * 8):
        disk = memory.disk.copy()
        disk.put(path, flipped(whole, bit))
        check_reopening(disk, memory.promised)


@pytest.mark.parametrize("path", FILES)
def test_a_copy_cut_anywhere_costs_nothing(path: str) -> None:
    """A copy that was cut at a record's border, one byte before or behind it, or lost, is made whole
    again.
    """
    memory = tiny()
    whole = memory.segment()
    for header in memory.headers():
        for at in {header.offset - 1, header.offset, header.offset + 1, header.end - 1, header.end} - {-1}:
            disk = memory.disk.copy()
            disk.put(path, whole[:at])
            check_reopening(disk, memory.promised)
            assert disk.contents(path)[: len(whole)] == whole


@pytest.mark.parametrize("gone", ["mirror", "parity", "index", "memory.json", "quarantine"])
def test_any_part_may_vanish(gone: str) -> None:
    """After a workload with compactions: without any one folder or memory.json, everything is there."""
    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    disk.remove(f"{FOLDER}/{gone}")
    check_reopening(disk, promised)


def test_without_all_segments_every_fragment_is_right_or_a_blank() -> None:
    """The folder of segments is more than the budget: nothing is silently missing, old or wrong, and what was
    deleted stays so.
    """
    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    disk.remove(f"{FOLDER}/segments")
    spread = frozenset(id for id, (_, text) in promised.said.items() if text is not None)
    check_reopening(disk, promised, blanks=spread)
    store = open_on(disk)
    texts = [what[1] for id, what in everything(store).items() if id in spread and what is not None]
    assert len(texts) == len(spread)
    # Short records have fewer data shards beside them than parity shards, and what was written last is in the
    # mirror.
    assert any(texts)
    store.close()


@pytest.mark.parametrize("copy", ["segments", "mirror", "parity"])
def test_any_file_of_any_segment_may_rot_or_vanish(copy: str) -> None:
    """After a workload with compactions: any one file lost, emptied or filled with noise costs nothing."""
    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    for path in [path for path in disk.paths() if f"/{copy}/" in path]:
        for damage in (None, b"", bytes(5_000), b"\xc4RM\x1e noise" * 500):
            other = disk.copy()
            other.remove(path)
            if damage is not None:
                other.put(path, damage)
            check_reopening(other, promised)


def in_both_copies(memory: Tiny) -> Iterator[tuple[SimulatedDisk, Header, int]]:
    """Each byte of each fragment's record, rotted in both copies."""
    whole = memory.segment()
    for header in memory.headers():
        if header.kind == RecordKind.FRAGMENT:
            for at in range(header.offset, header.end, BOTH_STEP):
                disk = memory.disk.copy()
                for path in FILES:
                    disk.put(path, flipped(whole, at * 8 + at % 8))
                yield disk, header, at


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_record_that_rotted_in_both_copies_is_a_blank_and_nothing_else_is_lost(last: int) -> None:
    """No older text takes its place while its header is whole, also where it was the last write and no index
    is left.
    """
    memory = tiny(last)
    for disk, header, at in in_both_copies(memory):
        store = open_on(disk)
        state = everything(store)
        for id, said in memory.promised.said.items():
            if id != header.id or header.version != said[0]:
                assert state[id] == said
            elif at >= header.offset + HEADER_BYTES:
                assert state[id] == (header.version, "")
            else:
                # Without index and header nothing names the write; its number is a gap that is counted.
                assert state.get(id) in (None, (header.version, ""), (1, "first"), (1, "second"))
        Writer(store, Promised(dict(memory.promised.said))).say((9, text_of(9, 1)))
        again = everything(store)
        store.close()
        store = open_on(disk)
        assert everything(store) == again
        store.close()


def test_a_blank_takes_a_new_text() -> None:
    """A fragment whose newest version rotted can be written again, and an older version never came back."""
    memory = tiny()
    *_, (disk, _, _) = in_both_copies(memory)
    store = open_on(disk)
    promised = Promised(dict(memory.promised.said))
    Writer(store, promised).say((1, "written again"))
    check_all(store, promised)
    store.close()
    check_reopening(disk, promised)


def test_nothing_in_a_segment_of_a_spread_is_torn() -> None:
    """A sector of zeros in the newest version is damage even if no manifest, log or index is left: the
    fragment is a blank, not its older version.
    """
    disk, promised = SimulatedDisk(), Promised()
    store = open_on(disk)
    writer = Writer(store, promised)
    writer.say((1, text_of(1, 1)), (2, text_of(2, 1)), (4, text_of(4, 1)))
    writer.say((1, "the newest version " * 100))
    respread(store, None, dead_share=1.0)
    store.close()
    (path,) = [path for path in disk.paths() if "/c0" in path and b"newest" in disk.contents(path)]
    data = bytearray(disk.contents(path))
    assert data.count(MAGIC) == 1
    data[512:1024] = bytes(512)
    disk.put(path, bytes(data))
    for gone in [path for path in disk.paths() if "/c0" not in path]:
        disk.remove(gone)
    check_reopening(disk, promised, blanks=frozenset([id_of(1)]))
