"""Any three files of a memory at rest may be lost: everything is there, bit for bit, and stays so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from carma import Memory
from carma.config import Settings
from carma.errors import FragmentNotFound
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

SAMPLE = 60
"""Choices of three files of the larger memory."""
DREAMS = 8
"""Histories of three losses, each followed by a dream, and a fourth."""
LINGER_S = 601.0
SETTINGS = Settings(segment_bytes=20_000)

Shown = tuple[int, str, dict[str, Any]]
"""Version, text and metadata."""


@dataclass
class Told:
    """What a memory was told: its fragments, all their versions, and what was deleted."""

    alive: dict[str, Shown] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


@dataclass
class Resting:
    """A memory that was closed, and what it was told."""

    disk: SimulatedDisk
    clock: SimulatedClock
    told: Told

    def files(self) -> list[str]:
        """Everything but the hint who had the turn last, which holds nothing."""
        return [
            path for path in self.disk.paths() if not path.endswith("/turn") and "/quarantine/" not in path
        ]

    def without(self, gone: Iterable[str]) -> SimulatedDisk:
        disk = self.disk.copy()
        for path in gone:
            disk.remove(path)
        return disk


def open_on(disk: SimulatedDisk | LocalDisk, clock: SimulatedClock, path: str = "/memory") -> Memory:
    seed = disk.calls if isinstance(disk, SimulatedDisk) else 1
    return Memory.open(
        path, embedder=HashEmbedder(8), settings=SETTINGS, disk=disk, clock=clock, entropy=SeededEntropy(seed)
    )


def small(count: int, *, lingering: bool) -> Resting:
    """A memory of so many records, the last of them an update where there are more than two.

    lingering: what spreading replaced still lies there.
    """
    clock, told = SimulatedClock(), Told()
    disk = SimulatedDisk(clock=clock)
    with open_on(disk, clock) as memory:
        for number in range(count - (count > 2)):
            add(memory, told, number)
        if count > 2:
            change(memory, told, next(iter(told.alive)), "changed, and longer than before")
    if not lingering:
        clock.advance(LINGER_S)
        with open_on(disk, clock) as memory:
            memory.compact(linger_s=0)
    return Resting(disk, clock, told)


def large() -> Resting:
    """A memory of sixty fragments, some updated or deleted, over several sessions, segments and spreads."""
    clock, told = SimulatedClock(), Told()
    disk = SimulatedDisk(clock=clock)
    chance = random.Random(60)
    for session in range(3):
        with open_on(disk, clock) as memory:
            for number in range(session * 20, session * 20 + 20):
                add(memory, told, number)
            for id in chance.sample(sorted(told.alive), 6):
                change(memory, told, id, f"changed in session {session} " + "again " * chance.randrange(90))
            for id in chance.sample(sorted(told.alive), 3):
                memory.delete(id)
                del told.alive[id], told.versions[id]
                told.deleted.append(id)
        clock.advance(LINGER_S)
    with open_on(disk, clock) as memory:
        memory.compact(linger_s=0)
    return Resting(disk, clock, told)


def add(memory: Memory, told: Told, number: int) -> None:
    text = f"fragment {number} says " + f"word{number} " * (1 + number * 7 % 60)
    fragment = memory.add(text, metadata={"number": number})
    told.alive[fragment.id] = (1, text, {"number": number})
    told.versions[fragment.id] = [text]


def change(memory: Memory, told: Told, id: str, text: str) -> None:
    version = memory.update(id, text).version
    told.alive[id] = (version, text, told.alive[id][2])
    told.versions[id].append(text)


def check(memory: Memory, told: Told) -> set[str]:
    """Everything is there, bit for bit, and nothing else; the states that were seen."""
    states: set[str] = set()
    for id, shown in told.alive.items():
        fragment = memory.get(id)
        assert (fragment.version, fragment.text, fragment.metadata) == shown
        assert fragment.state in ("intact", "repaired")
        states.add(fragment.state)
        if len(told.versions[id]) > 1:
            assert [each.text for each in memory.history(id)] == told.versions[id]
    for id in told.deleted:
        with pytest.raises(FragmentNotFound):
            memory.get(id)
    listed = memory.list(limit=1_000)
    assert {fragment.id: fragment.text for fragment in listed} == {i: s[1] for i, s in told.alive.items()}
    assert memory.count() == len(told.alive)
    number = next(iter(told.alive.values()))[2]["number"]
    hits = memory.search(f"word{number} fragment {number}", mode="words", limit=10)
    assert {hit.text for hit in hits} <= {shown[1] for shown in told.alive.values()}
    assert hits
    return states


@pytest.mark.parametrize(("count", "lingering"), [(1, False), (2, False), (2, True), (3, False), (4, False)])
def test_any_three_files_of_a_small_memory_may_be_lost(
    count: int, lingering: bool, cases: Callable[[int], None]
) -> None:
    """Every choice of three files, with what spreading replaced still there or gone; no index is left."""
    resting = small(count, lingering=lingering)
    seen = set()
    choices = list(combinations(resting.files(), 3))
    for gone in choices:
        with open_on(resting.without(gone), resting.clock) as memory:
            seen |= check(memory, resting.told)
    assert seen == {"intact", "repaired"}
    cases(len(choices))


def test_any_three_files_of_a_larger_memory_may_be_lost() -> None:
    """A sample of choices of three, with updates and deletions; then it is opened a second time."""
    resting = large()
    assert len(resting.told.alive) + len(resting.told.deleted) == 60
    chance = random.Random(3)
    files = resting.files()
    for _ in range(SAMPLE):
        disk = resting.without(chance.sample(files, 3))
        for _ in range(2):
            with open_on(disk, resting.clock) as memory:
                check(memory, resting.told)


@pytest.mark.parametrize(
    "make", [lambda: small(2, lingering=False), lambda: small(4, lingering=False), large]
)
def test_after_a_dream_three_others_may_be_lost(make: Callable[[], Resting]) -> None:
    """Three files lost, a dream, three others lost: a dream gives the full budget back, three times over."""
    chance = random.Random(5)
    resting = make()
    for _ in range(DREAMS if len(resting.told.alive) < 20 else 2):
        now = Resting(resting.disk.copy(), resting.clock, resting.told)
        for _ in range(3):
            now.disk = now.without(chance.sample(now.files(), 3))
            with open_on(now.disk, now.clock) as memory:
                report = memory.dream()
                assert (report.status, report.still_blank) == ("completed", 0)
                assert check(memory, now.told) == {"intact"}
        with open_on(now.without(chance.sample(now.files(), 3)), now.clock) as memory:
            check(memory, now.told)


@pytest.mark.nightly
def test_every_three_files_of_a_larger_memory_may_be_lost(cases: Callable[[int], None]) -> None:
    """The same for every choice."""
    resting = large()
    choices = list(combinations(resting.files(), 3))
    for gone in choices:
        with open_on(resting.without(gone), resting.clock) as memory:
            check(memory, resting.told)
    cases(len(choices))


def test_three_files_lost_one_session_after_the_other_while_the_memory_is_used() -> None:
    """A file is lost, a fragment added, three times over: what was there before and what came is there."""
    chance = random.Random(9)
    for _ in range(12):
        resting = small(4, lingering=False)
        disk, told = resting.disk, resting.told
        for number in range(50, 53):
            disk.remove(chance.choice([path for path in disk.paths() if not path.endswith("/turn")]))
            with open_on(disk, resting.clock) as memory:
                check(memory, told)
                add(memory, told, number)
        with open_on(disk, resting.clock) as memory:
            check(memory, told)


def test_a_read_only_memory_gives_everything_without_three_files() -> None:
    """Reading decodes what is lost and touches nothing."""
    resting = small(4, lingering=False)
    chance = random.Random(4)
    for _ in range(40):
        disk = resting.without(chance.sample(resting.files(), 3))
        before = disk.paths()
        disk.read_only = True
        with open_on(disk, resting.clock) as memory:
            check(memory, resting.told)
        assert disk.paths() == before


@pytest.mark.parametrize("seed", range(6))
def test_any_three_files_may_be_lost_on_a_real_disk_whose_index_is_still_there(
    tmp_path: Path, seed: int
) -> None:
    """With the registry, which knows places that nothing lies at any more."""
    clock, told = SimulatedClock(), Told()
    folder = str(tmp_path / "memory")
    chance = random.Random(seed)
    with open_on(LocalDisk(), clock, folder) as memory:
        for number in range(seed * 3 + 2):
            add(memory, told, number)
        change(memory, told, chance.choice(sorted(told.alive)), "changed")
        gone = chance.choice(sorted(told.alive))
        memory.delete(gone)
        del told.alive[gone], told.versions[gone]
        told.deleted.append(gone)
    clock.advance(LINGER_S)
    with open_on(LocalDisk(), clock, folder) as memory:
        memory.compact(linger_s=0)
        check(memory, told)
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name != "turn"]
    for path in chance.sample([path for path in files if "index" not in path.parts], 3):
        path.unlink()
    for _ in range(2):
        with open_on(LocalDisk(), clock, folder) as memory:
            check(memory, told)
