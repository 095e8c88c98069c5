"""Every single bit of a small memory is flipped in turn: reads stay true, and a dream puts the bit back."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carma import Memory
from carma.errors import FragmentNotFound
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

LINGER_S = 601.0
SHARDS = 8
SAMPLE = 40
"""Bits of one shard in `make test`; the nightly run takes every one."""
INDEX_SAMPLE = 8
NIGHTLY_INDEX_SAMPLE = 250
NOT_COPIED = ("turn", "reserve")
"""Files that hold nothing: who had the turn last, and space that is set aside."""

Bit = tuple[str, int]
"""A file and the number of a bit in it."""


class Told:
    """Three fragments, one of them updated and one deleted."""

    def __init__(self, memory: Memory) -> None:
        first = memory.add("the harbour master counts the herons at dawn", metadata={"n": 1})
        second = memory.add("before it was changed it spoke of a lighthouse", parent=first.id)
        third = memory.add("whoever deletes this wants it gone")
        memory.update(second.id, "after the change it speaks of a windmill by the canal")
        memory.delete(third.id)
        self.texts = {first.id: (1, first.text), second.id: (2, memory.get(second.id).text)}
        self.deleted = third.id
        self.words = {"herons": first.id, "windmill": second.id}

    def check(self, memory: Memory) -> None:
        """Every read gives the newest text, bit for bit, and nothing that was deleted or replaced."""
        assert {id: (f.version, f.text) for id in self.texts if (f := memory.get(id))} == self.texts
        assert {each.id: (each.version, each.text) for each in memory.list()} == self.texts
        assert {each.state for each in memory.list()} <= {"intact", "repaired"}
        assert memory.count() == len(self.texts)
        with pytest.raises(FragmentNotFound):
            memory.get(self.deleted)
        for word, id in self.words.items():
            assert [hit.id for hit in memory.search(word, mode="words")] == [id]
        for word in ("lighthouse", "whoever"):
            assert not memory.search(word, mode="words").hits
        for id, (_, text) in self.texts.items():
            assert memory.history(id)[-1].text == text
        assert memory.history(self.deleted)[-1].deleted


def open_on(disk: SimulatedDisk | LocalDisk, path: str, clock: SimulatedClock) -> Memory:
    seed = disk.calls if isinstance(disk, SimulatedDisk) else 1
    return Memory.open(path, embedder=HashEmbedder(8), disk=disk, clock=clock, entropy=SeededEntropy(seed))


def at_rest(disk: SimulatedDisk | LocalDisk, path: str, clock: SimulatedClock) -> Told:
    """A closed memory of which nothing lingers."""
    with open_on(disk, path, clock) as memory:
        told = Told(memory)
    clock.advance(LINGER_S)
    with open_on(disk, path, clock) as memory:
        memory.compact(linger_s=0)
        told.check(memory)
        assert memory.flush(10)
        memory.rest()
    return told


def is_log(path: str) -> bool:
    return path.endswith(".seg") and not path.rpartition("/")[2].startswith("c")


class Resting:
    """A memory at rest on a simulated disk, and every bit of it."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(clock=self.clock)
        self.told = at_rest(self.disk, "/memory", self.clock)
        self.before = {path: self.disk.contents(path) for path in self.disk.paths()}

    def bits(self) -> Iterator[Bit]:
        for path, data in self.before.items():
            yield from ((path, bit) for bit in range(len(data) * 8))

    def check(self, bit: Bit) -> None:
        """With this bit flipped: every read, a dream, the files, and every read again from files alone."""
        path, number = bit
        disk = self.disk.copy()
        data = bytearray(self.before[path])
        data[number // 8] ^= 1 << number % 8
        disk.put(path, bytes(data))
        with open_on(disk, "/memory", self.clock) as memory:
            self.told.check(memory)
            report = memory.dream()
            assert (report.status, report.still_blank, report.reconstructed) == ("completed", 0, 0), report
            assert not memory.scan(deep=True).findings
            assert {each.state for each in memory.list()} == {"intact"}
            self.same(disk)
        with open_on(disk, "/memory", self.clock) as memory:
            self.told.check(memory)

    def same(self, disk: SimulatedDisk) -> None:
        """Every file that counts is as it was; to the log something may have been appended."""
        for path, data in self.before.items():
            if not path.endswith(NOT_COPIED) and "/index/" not in path:
                now = disk.contents(path)
                assert now[: len(data)] == data, path
                assert is_log(path) or len(now) == len(data), path


@pytest.fixture(scope="module")
def resting() -> Resting:
    return Resting()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_flipped_bit_is_never_seen_and_is_put_back(resting: Resting, shard: int) -> None:
    """A sample of all bits of segments, mirror, parity and memory.json, and of what holds nothing."""
    chance = random.Random(shard)
    useful = [bit for bit in resting.bits() if not bit[0].endswith(NOT_COPIED)]
    for bit in chance.sample(useful, SAMPLE):
        resting.check(bit)
    for name in NOT_COPIED:
        resting.check(chance.choice([bit for bit in resting.bits() if bit[0].endswith(name)]))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_flipped_bit_is_never_seen_and_is_put_back(
    resting: Resting, shard: int, cases: Callable[[int], None]
) -> None:
    """Every bit of every file; of the reserve, which is zeros that nobody reads, every hundredth."""
    bits = [bit for bit in resting.bits() if not bit[0].endswith("/reserve") or bit[1] % 100 == 0]
    for bit in bits[shard::SHARDS]:
        resting.check(bit)
    cases(len(bits[shard::SHARDS]))


# The index


def index_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "index").iterdir() if path.stat().st_size)


def check_index_bit(base: Path, told: Told, clock: SimulatedClock, name: str, number: int) -> None:
    """With this bit of the index flipped: every verb that reads, looks or heals."""
    folder = base.with_name("flipped")
    shutil.copytree(base, folder)
    path = folder / "index" / name
    data = bytearray(path.read_bytes())
    data[number // 8] ^= 1 << number % 8
    path.write_bytes(data)
    with open_on(LocalDisk(), str(folder), clock) as memory:
        told.check(memory)
        memory.doctor()
        memory.stats()
        memory.scan(deep=True)
        hits = memory.search("herons at the harbour", mode="vector")
        assert {(hit.id, hit.text) for hit in hits} <= {(id, text) for id, (_, text) in told.texts.items()}
        report = memory.dream(in_process=True)
        assert (report.status, report.still_blank) == ("completed", 0), report
        told.check(memory)
        assert not memory.scan(deep=True).findings
    with open_on(LocalDisk(), str(folder), clock) as memory:
        told.check(memory)
    shutil.rmtree(folder)


def check_index(folder: Path, chance: random.Random, count: int) -> None:
    clock = SimulatedClock()
    told = at_rest(LocalDisk(), str(folder), clock)
    files = index_files(folder)
    assert len(files) >= 2
    for turn in range(count):
        path = files[turn % len(files)]
        check_index_bit(folder, told, clock, path.name, chance.randrange(path.stat().st_size * 8))


@pytest.mark.parametrize("shard", range(4))
def test_a_flipped_bit_of_the_index_never_makes_a_read_wrong(tmp_path: Path, shard: int) -> None:
    """Registry, vectors and saved index on a real disk: a sample of bits of each file."""
    check_index(tmp_path / "memory", random.Random(shard), INDEX_SAMPLE)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_many_flipped_bits_of_the_index_never_make_a_read_wrong(
    tmp_path: Path, shard: int, cases: Callable[[int], None]
) -> None:
    """The same for many more."""
    check_index(tmp_path / "memory", random.Random(1_000 + shard), NIGHTLY_INDEX_SAMPLE)
    cases(NIGHTLY_INDEX_SAMPLE)
