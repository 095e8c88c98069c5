"""Crashes and flipped bits of an encrypted store: the sweeps of `tests/faults`, sampled, with a cipher."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from carma import Memory
from carma.ports.disk import LocalDisk
from carma.store.sealing import Sealing
from carma.store.store import open_store
from carma.testing import (
    Crash,
    HashEmbedder,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
    StandInCipher,
)
from tests.faults import scenario, test_every_bit

CRASHES = 20
POWER = 15
BITS = 50
INDEX_BITS = 6


def sealed_store(*args: object, **options: object) -> object:
    """The scenario's store, encrypted; each opening has a cipher of its own, as each process has."""
    return open_store(*args, cipher=StandInCipher(entropy=SeededEntropy(7)), **options)  # type: ignore[arg-type]


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario of the fault tests, with an encrypted memory."""
    sealing = Sealing(StandInCipher(), "")
    monkeypatch.setattr(scenario, "open_store", sealed_store)
    monkeypatch.setattr(scenario, "text_digest", sealing.text_digest)

    def decoded(item: object) -> object:
        raise AssertionError("repaired records are opened by the store")

    monkeypatch.setattr(scenario, "entry_of", decoded)


def calls(sealed: None) -> int:
    disk = SimulatedDisk()
    scenario.run(disk, scenario.Promised()).close()
    return len(disk.log)


def died(at: int) -> tuple[SimulatedDisk, scenario.Promised]:
    disk, promised = SimulatedDisk([Crash(at, "before")], seed=at), scenario.Promised()
    with pytest.raises(SimulatedCrash):
        scenario.run(disk, promised).close()
    return disk, promised


def test_killed_at_a_call_it_loses_nothing_acknowledged(sealed: None) -> None:
    """A sample of all calls of the disk: what a killed process leaves, and what a power loss leaves."""
    count = calls(sealed)
    for at in random.Random(1).sample(range(1, count + 1), CRASHES):
        disk, promised = died(at)
        disk.restart()
        scenario.check_reopening(disk, promised)
    for at in random.Random(2).sample(range(1, count + 1), POWER):
        disk, promised = died(at)
        scenario.check_reopening(disk.power_loss(at), promised)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_at_any_call_it_loses_nothing_acknowledged(sealed: None) -> None:
    """Every call of the disk."""
    for at in range(1, calls(sealed) + 1):
        disk, promised = died(at)
        disk.restart()
        scenario.check_reopening(disk, promised)


# Bits


def sealed_memory(disk: SimulatedDisk | LocalDisk, path: str, clock: SimulatedClock) -> Memory:
    seed = disk.calls if isinstance(disk, SimulatedDisk) else 1
    return Memory.open(
        path, embedder=HashEmbedder(8), disk=disk, clock=clock, entropy=SeededEntropy(seed),
        cipher=StandInCipher(entropy=SeededEntropy(seed)),
    )  # fmt: skip


@pytest.fixture
def sealed_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_every_bit, "open_on", sealed_memory)


class Resting(test_every_bit.Resting):
    """An encrypted memory at rest, but for its index: that is tested on a real disk."""

    def __init__(self) -> None:
        super().__init__()
        skipped = test_every_bit.NOT_COPIED
        self.before = {
            path: data
            for path, data in self.before.items()
            if not path.endswith(skipped) and "/index/" not in path
        }


def test_a_flipped_bit_is_never_seen_and_is_put_back(sealed_bits: None) -> None:
    """A sample of the bits of all files of records and of memory.json: every read, a dream, the files."""
    resting = Resting()
    for bit in random.Random(3).sample(list(resting.bits()), BITS):
        resting.check(bit)


def test_a_flipped_bit_of_the_index_never_makes_a_read_wrong(sealed_bits: None, tmp_path: Path) -> None:
    """Registry and vectors on a real disk."""
    test_every_bit.check_index(tmp_path / "memory", random.Random(4), INDEX_BITS)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_every_flipped_bit_is_never_seen_and_is_put_back(sealed_bits: None) -> None:
    """Every bit of every file that counts."""
    resting = Resting()
    for bit in resting.bits():
        resting.check(bit)
