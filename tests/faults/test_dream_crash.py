"""A dream that is killed, refused or loses power at any call: nothing is lost, and the next one finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import pytest

from carma import Memory
from carma.config import Settings
from carma.errors import CarmaError, FragmentNotFound
from carma.ports.disk import LocalDisk
from carma.reports import DreamReport
from carma.testing import (
    Crash,
    HashEmbedder,
    Refuse,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
)

SHARDS = 8
EVERY = 20
"""Of the calls of a dream, every so many-th in `make test`, from another first one for each kind of fault."""
PAIRS = 20
BEGUN = 12
"""So many calls of the disk a dream makes before there is a cycle."""
LINGER_S = 601.0
KILLS = 6
MOST_S = 2.0
"""No dream over the small memory takes longer in a process of its own, but for its start."""


@dataclass
class Damaged:
    """A memory with damage in it, what it was told, and which of its texts cannot come back."""

    disk: SimulatedDisk
    clock: SimulatedClock
    texts: dict[str, str]
    deleted: str
    lost: frozenset[str] = frozenset()

    def open(self, disk: SimulatedDisk) -> Memory:
        return open_on(disk, self.clock)

    def check(self, memory: Memory, *, refused: bool = False) -> None:
        """Every text is there, or flagged where it was lost (refused: or cannot be read just now)."""
        for id, text in self.texts.items():
            fragment = memory.get(id)
            if fragment.state in ("intact", "repaired"):
                assert fragment.text == text
            else:
                assert id in self.lost or refused
                assert fragment.state == "reconstructed" or not fragment.text
        with pytest.raises(FragmentNotFound):
            memory.get(self.deleted)
        assert {each.id for each in memory.list()} == self.texts.keys()

    def finish(self, disk: SimulatedDisk) -> None:
        """Opened again everything is there; the next dream makes it whole, the one after finds nothing."""
        with self.open(disk) as memory:
            self.check(memory)
            report = memory.dream()
            assert report.status == "completed", report
            assert report.still_blank == sum(each.state == "blank" for each in memory.list())
            self.check(memory)
            if not self.lost:
                assert {each.state for each in memory.list()} == {"intact"}
                assert not memory.scan(deep=True).findings
                again = memory.dream()
                assert (again.damaged, again.exact, again.files_repaired) == (0, 0, 0), again
        with self.open(disk) as memory:
            self.check(memory)


def open_on(disk: SimulatedDisk | LocalDisk, clock: SimulatedClock, path: str = "/memory") -> Memory:
    seed = disk.calls if isinstance(disk, SimulatedDisk) else 1
    return Memory.open(
        path, embedder=HashEmbedder(8), settings=Settings(turn_wait_ms=50), disk=disk, clock=clock,
        entropy=SeededEntropy(seed),
    )  # fmt: skip


def told(memory: Memory) -> tuple[dict[str, str], str]:
    """Five texts, one of them changed, and one that was deleted after it had been spread."""
    fragments = [
        memory.add(f"text {number} of the harbour, " + f"word{number} " * number) for number in range(6)
    ]
    texts = {fragment.id: fragment.text for fragment in fragments[:5]}
    texts[fragments[2].id] = memory.update(fragments[2].id, "changed since").text
    memory.rest()
    memory.delete(fragments[5].id)
    return texts, fragments[5].id


def damaged(kind: Literal["repairable", "lossy"]) -> Damaged:
    """repairable: two files of the spread, memory.json and one copy of the log; lossy: most of the spread, so
    that some texts are lost.
    """
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    with open_on(disk, clock) as memory:
        texts, deleted = told(memory)
    clock.advance(LINGER_S)
    with open_on(disk, clock) as memory:
        memory.compact(linger_s=0)
        memory.add("while it is open")
        texts |= {each.id: each.text for each in memory.list() if each.text == "while it is open"}
        # Not closed: the log has a tail.
    disk.restart()
    spread = [path for path in disk.paths() if "/c0" in path]
    if kind == "repairable":
        disk.remove(spread[0])
        data = bytearray(disk.contents(spread[1]))
        data[len(data) // 2] ^= 4
        disk.put(spread[1], bytes(data))
        disk.remove(next(path for path in disk.paths() if path.endswith("-0.par")))
        disk.remove("/memory/memory.json")
        disk.remove([path for path in disk.paths() if "/mirror/" in path][-1])
        return Damaged(disk, clock, texts, deleted)
    gone = [each.encode() for each in list(texts.values())[:4]]
    spread = [path for path in spread if any(text in disk.contents(path) for text in gone)]
    parity = [path for path in disk.paths() if path.endswith(".par")]
    for path in [*spread, *parity[2:]]:
        disk.remove(path)
    with open_on(disk.copy(), clock) as memory:
        lost = frozenset(each.id for each in memory.list() if each.state not in ("intact", "repaired"))
    assert lost
    return Damaged(disk, clock, texts, deleted, lost)


def dreaming(world: Damaged, disk: SimulatedDisk, faults: list[Crash] | list[Refuse]) -> DreamReport:
    """A dream with faults that are reckoned from its first call."""
    memory = world.open(disk)
    disk.faults = [type(fault)(**{**_fields(fault), "at": fault.at + disk.calls}) for fault in faults]
    return memory.dream()


def _fields(fault: Crash | Refuse) -> dict[str, object]:
    return {name: getattr(fault, name) for name in fault.__slots__}


def calls_of_a_dream(world: Damaged) -> int:
    disk = world.disk.copy()
    memory = world.open(disk)
    before = disk.calls
    memory.dream()
    return disk.calls - before


WORLDS = {"repairable": damaged("repairable"), "lossy": damaged("lossy")}
KINDS: list[Literal["repairable", "lossy"]] = ["repairable", "lossy"]


def crash_everywhere(kind: str, first: int, step: int, power: bool) -> int:
    world = WORLDS[kind]
    died, places = 0, range(first, calls_of_a_dream(world) + 1, step)
    for at in places:
        disk = world.disk.copy()
        try:
            dreaming(world, disk, [Crash(at, "before" if at % 2 else "middle")])
        except SimulatedCrash:
            died += 1
        disk.restart()
        world.finish(disk.power_loss(at) if power else disk)
    # Where a dream looks first is drawn, so its calls are not always as many; a call that fails is none.
    assert died > len(places) // 2
    return len(places)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("shard", range(2))
def test_a_dream_may_die_at_any_call(kind: str, power: bool, shard: int) -> None:
    """What a killed process or a lost power leaves has every text, and the next dream finishes the repair."""
    crash_everywhere(kind, 1 + shard * EVERY + power, EVERY * (2 if kind == "repairable" else 5), power)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_dream_may_die_at_every_call(
    kind: str, power: bool, shard: int, cases: Callable[[int], None]
) -> None:
    """The same at each."""
    cases(crash_everywhere(kind, 1 + shard, SHARDS, power))


def refuse_everywhere(kind: str, first: int, step: int, reason: Literal["io", "full"], calls: int) -> int:
    world = WORLDS[kind]
    places = range(first, calls_of_a_dream(world) + 1, step)
    for at in places:
        disk = world.disk.copy()
        try:
            report = dreaming(world, disk, [Refuse(at, reason, calls)])
        except CarmaError:
            # Only before the cycle has begun: who cannot even look at the log has nothing to report.
            if at > BEGUN:
                raise
        else:
            assert report.status == "completed" or (report.status == "failed" and report.error)
        disk.restart()
        world.finish(disk)
    return len(places)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reason", "calls"), [("io", 1), ("full", 3), ("full", 10_000)])
def test_a_dream_that_is_refused_reports_it_and_loses_nothing(
    kind: str, reason: Literal["io", "full"], calls: int
) -> None:
    """An input/output error once, no space for a moment or for good, at any call of a dream."""
    refuse_everywhere(kind, 1 + calls % EVERY, EVERY * 3, reason, calls)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reason", "calls"), [("io", 1), ("io", 20), ("full", 3), ("full", 10_000)])
def test_a_dream_that_is_refused_at_every_call_loses_nothing(
    kind: str, reason: Literal["io", "full"], calls: int, cases: Callable[[int], None]
) -> None:
    """The same at each."""
    cases(refuse_everywhere(kind, 1, 1, reason, calls))


def lose_and_dream(world: Damaged, disk: SimulatedDisk, gone: tuple[str, ...]) -> None:
    for path in gone:
        disk.remove(path)
    with world.open(disk) as memory:
        world.check(memory)
        report = memory.dream()
        assert (report.status, report.still_blank, report.reconstructed) == ("completed", 0, 0), report
        world.check(memory)
        assert {each.state for each in memory.list()} == {"intact"}
        assert not memory.scan(deep=True).findings


def files(disk: SimulatedDisk) -> list[str]:
    return [
        path for path in disk.paths() if path.split("/")[2] in ("segments", "mirror", "parity", "memory.json")
    ]


def whole() -> Damaged:
    world = WORLDS["repairable"]
    disk = world.disk.copy()
    world.finish(disk)
    disk.restart()
    return Damaged(disk, world.clock, world.texts, world.deleted)


def test_three_files_lost_a_dream_and_three_others_lost() -> None:
    """After a dream the budget stands again: a sample of choices of three and three, all exact."""
    world = whole()
    chance = random.Random(3)
    for _ in range(PAIRS):
        disk = world.disk.copy()
        lose_and_dream(world, disk, tuple(chance.sample(files(disk), 3)))
        lose_and_dream(world, disk, tuple(chance.sample(files(disk), 3)))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_any_three_files_lost_a_dream_and_three_others_lost(cases: Callable[[int], None]) -> None:
    """The same for every first choice."""
    world = whole()
    chance = random.Random(4)
    choices = list(combinations(files(world.disk), 3))
    for gone in choices:
        disk = world.disk.copy()
        lose_and_dream(world, disk, gone)
        lose_and_dream(world, disk, tuple(chance.sample(files(disk), 3)))
    cases(len(choices))


# Real processes


def real(folder: Path) -> tuple[SimulatedClock, dict[str, str], str]:
    """A memory on a real disk of which three files are gone."""
    clock = SimulatedClock(time.time() - LINGER_S)
    with open_on(LocalDisk(), clock, str(folder)) as memory:
        texts, deleted = told(memory)
    clock.advance(LINGER_S)
    with open_on(LocalDisk(), clock, str(folder)) as memory:
        memory.compact(linger_s=0)
    paths = sorted(folder.glob("segments/c*"))[:2] + sorted(folder.glob("parity/*-1.par"))[:1]
    assert len(paths) == 3
    for path in paths:
        path.unlink()
    return clock, texts, deleted


def dream_process(folder: Path, *before: str) -> subprocess.Popen[str]:
    script = (
        "import sys; from carma import Memory; from carma.testing import HashEmbedder\n"
        "memory = Memory.open(sys.argv[1], embedder=HashEmbedder(8)); print('open', flush=True)\n"
        "memory.dream(in_process=True)\n"
    )
    return subprocess.Popen(
        [*before, sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def finish_here(folder: Path, clock: SimulatedClock, texts: dict[str, str], deleted: str) -> None:
    """Everything is there after the kill, and the next dream makes it whole."""
    with open_on(LocalDisk(), clock, str(folder)) as memory:
        for looks in range(2):
            found = {each.id: (each.text, each.state) for each in memory.list()}
            assert {id: text for id, (text, _) in found.items()} == texts
            assert looks == 0 or {state for _, state in found.values()} == {"intact"}
            with pytest.raises(FragmentNotFound):
                memory.get(deleted)
            if looks == 0:
                report = memory.dream(in_process=True)
                assert (report.status, report.still_blank) == ("completed", 0), report
        assert not memory.scan(deep=True).findings


@pytest.mark.skipif(sys.platform != "linux", reason="processes are killed as on Linux")
@pytest.mark.parametrize("seed", [pytest.param(s, marks=[pytest.mark.nightly] * (s > 0)) for s in range(8)])
def test_a_dreaming_process_may_be_killed(tmp_path: Path, seed: int, cases: Callable[[int], None]) -> None:
    """SIGKILL after a random time: what it leaves has every text, and the next dream finishes the repair."""
    chance = random.Random(seed)
    for number in range(KILLS):
        folder = tmp_path / f"memory{number}"
        clock, texts, deleted = real(folder)
        process = dream_process(folder)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        clock.advance(MOST_S)
        finish_here(folder, clock, texts, deleted)
    cases(KILLS)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="processes are traced as on Linux")
@pytest.mark.parametrize("call", ["pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate"])
def test_a_dreaming_process_may_be_killed_at_every_change_of_the_disk(
    tmp_path: Path, call: str, cases: Callable[[int], None]
) -> None:
    """The same at each system call that changes a file or makes it durable."""
    for number in range(1, 10_000):
        folder = tmp_path / f"memory{number}"
        clock, texts, deleted = real(folder)
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        process = dream_process(
            folder, "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject
        )
        process.communicate()
        clock.advance(MOST_S)
        finish_here(folder, clock, texts, deleted)
        if process.returncode == 0:
            assert number > 1
            cases(number - 1)
            return
