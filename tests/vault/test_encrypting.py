"""A plain memory becomes an encrypted one: killed anywhere it is whole, and in the end nothing is plain."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from carma import Memory
from carma.config import Settings
from carma.errors import (
    CarmaError,
    DiskFull,
    EncryptionUnfinished,
    VaultNeeded,
)
from carma.store.encrypting import finish_encrypting
from carma.testing import (
    Crash,
    HashEmbedder,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
    StandInCipher,
)

from .readable import found_in, telling_text

FOLDER = "/memory"
SETTINGS = Settings(turn_wait_ms=50, keep_versions=2)
EVERY = 40
"""Of the calls of an encryption every so many-th in the quick run."""


class World:
    """A plain memory with all kinds of records on a simulated disk, and what it was told."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(clock=self.clock)
        with self.open(self.disk) as memory:
            first = [
                memory.add(telling_text(number), metadata={"n": telling_text(100 + number)})
                for number in range(6)
            ]
            memory.rest()
            memory.update(first[0].id, telling_text(10))
            memory.delete(first[1].id)
            memory.add(telling_text(11), vector=np.arange(1, 9), parent=first[2].id)
            memory.flush()
            self.shown = shown(memory)
        self.said = [telling_text(number) for number in (*range(12), *range(100, 106))]

    def open(self, disk: SimulatedDisk, cipher: StandInCipher | None = None) -> Memory:
        return Memory.open(
            FOLDER, embedder=HashEmbedder(8), disk=disk, clock=self.clock, settings=SETTINGS, cipher=cipher,
            entropy=SeededEntropy(disk.calls),
        )  # fmt: skip

    def encrypt(self, disk: SimulatedDisk) -> None:
        Memory.encrypt(
            FOLDER, cipher=sealer(disk), disk=disk, clock=self.clock, settings=SETTINGS,
            entropy=SeededEntropy(disk.calls),
        )  # fmt: skip

    def check(self, disk: SimulatedDisk) -> None:
        """The memory is whole, as the plain or the encrypted one; encrypted again it is the encrypted one."""
        try:
            with self.open(disk.copy()) as memory:
                assert shown(memory) == self.shown
        except (VaultNeeded, EncryptionUnfinished):
            copy = disk.copy()
            with self.open(copy, sealer(copy)) as memory:
                assert shown(memory) == self.shown
        self.encrypt(disk)
        with self.open(disk, sealer(disk)) as memory:
            assert shown(memory) == self.shown
            assert memory.scan(deep=True).healthy
        self.nothing_plain(disk)

    def nothing_plain(self, disk: SimulatedDisk) -> None:
        assert found_in({path: disk.contents(path) for path in disk.paths()}, self.said) == []
        assert not [path for path in disk.paths() if path.endswith(("encrypting", ".sealed", ".new"))]


def sealer(disk: SimulatedDisk) -> StandInCipher:
    """The owner's cipher, with nonces that no earlier process has used."""
    return StandInCipher(entropy=SeededEntropy(disk.calls))


def shown(memory: Memory) -> object:
    """All that a reader can see: fragments, older versions, deletions, vectors."""
    fragments = [each.to_dict() | {"digest": None} for each in memory.list()]
    history = {
        id: [(each.version, each.text, each.deleted) for each in memory.history(id)]
        for id in sorted({each["id"] for each in fragments})
    }
    hits = [
        [hit.id for hit in memory.search(telling_text(11), mode=mode).hits[:1]]
        for mode in ("words", "vector")
    ]  # type: ignore[arg-type]
    return json.loads(json.dumps([fragments, history, hits, memory.stats()["deleted"], memory.count()]))


def calls(world: World) -> int:
    disk = world.disk.copy()
    before = disk.calls
    world.encrypt(disk)
    return disk.calls - before


def killed(world: World, at: int) -> SimulatedDisk:
    disk = world.disk.copy()
    disk.faults = [Crash(disk.calls + at, "before")]
    with pytest.raises(SimulatedCrash):
        world.encrypt(disk)
    disk.faults = []
    return disk


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def sweep(world: World, some: list[int], power: bool) -> None:
    for at in some:
        disk = killed(world, at)
        if power:
            world.check(disk.power_loss(at))
        else:
            disk.restart()
            world.check(disk)


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power loss"])
def test_interrupted_it_is_whole_and_goes_on(world: World, power: bool) -> None:
    """A sample of the calls of the disk at which a process dies, or the power goes."""
    count = calls(world)
    sweep(world, random.Random(power).sample(range(1, count + 1), count // EVERY), power)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power loss"])
def test_interrupted_anywhere_it_is_whole_and_goes_on(world: World, power: bool) -> None:
    """Every call."""
    sweep(world, list(range(1, calls(world) + 1)), power)


def test_killed_twice_it_still_ends(world: World) -> None:
    """Also what goes on after a crash may be killed."""
    count = calls(world)
    for at in random.Random(5).sample(range(count // 2, count), 5):
        disk = killed(world, at)
        disk.restart()
        begun = disk.calls
        disk.faults = [Crash(begun + 12, "before")]
        with pytest.raises(SimulatedCrash):
            world.encrypt(disk)
        disk.faults = []
        disk.restart()
        world.check(disk)


def test_a_writer_that_had_it_open_writes_nothing_plain(world: World) -> None:
    """Between the decision and the end, and after it."""
    disk = world.disk.copy()
    late = world.open(disk)
    late.search("anything")
    disk.faults = [Crash(disk.calls + calls(world) - 40, "before")]
    with pytest.raises(SimulatedCrash):
        world.encrypt(disk)
    disk.faults = []
    disk.restart()
    assert disk.size("/memory/encrypting") is not None
    with pytest.raises(CarmaError):
        late.add(telling_text(3000))
    finish_encrypting(disk, FOLDER, clock=world.clock)
    for verb in (lambda: late.add(telling_text(3000)), late.rest, lambda: late.repair_index("registry")):
        with pytest.raises(CarmaError):
            verb()
    late.close()
    world.said.append(telling_text(3000))
    world.nothing_plain(disk)
    with world.open(disk, sealer(disk)) as memory:
        assert shown(memory) == world.shown


def test_a_full_disk_leaves_the_plain_memory(world: World) -> None:
    """Nothing was decided, so nothing is encrypted, and what was written for it is gone."""
    disk = world.disk.copy()
    used = sum(len(disk.contents(path)) for path in disk.paths())
    disk.capacity_bytes = used + 4_000
    with pytest.raises(DiskFull):
        world.encrypt(disk)
    disk.capacity_bytes = None
    assert not [path for path in disk.paths() if path.endswith(("encrypting", ".sealed"))]
    with world.open(disk) as memory:
        assert shown(memory) == world.shown
    world.check(disk)


def test_a_damaged_decision_is_read_from_its_other_copies(world: World) -> None:
    """Only when all three are gone the memory says that it does not know."""
    disk = killed(world, calls(world) - 40)
    disk.restart()
    path = "/memory/encrypting"
    whole = disk.contents(path)
    third = len(whole) // 3
    for kept in range(3):
        other = disk.copy()
        data = bytearray(len(whole))
        data[kept * third : (kept + 1) * third] = whole[kept * third : (kept + 1) * third]
        other.put(path, bytes(data))
        world.check(other)
    disk.put(path, bytes(len(whole)))
    with pytest.raises(EncryptionUnfinished):
        world.encrypt(disk)
    with pytest.raises(EncryptionUnfinished):
        world.open(disk)
