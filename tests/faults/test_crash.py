"""The process dies, or the power goes, at any call of the disk port."""

from __future__ import annotations

import pytest

from carma.testing import Crash, SimulatedClock, SimulatedCrash, SimulatedDisk

from .scenario import Promised, check_reopening, run
from .snapshots import left_before

SHARDS = 8
"""The sweeps are cut into this many tests, so that they run side by side."""
SOME = [pytest.param(shard, marks=[pytest.mark.nightly] * (shard % 2)) for shard in range(SHARDS)]
"""`make test` takes every second of them: kills at one half of the calls, lost power at the other."""
OTHERS = [pytest.param(shard, marks=[pytest.mark.nightly] * (1 - shard % 2)) for shard in range(SHARDS)]
POWER_SEEDS = 4
"""Draws of what survives a power loss, per call; `make test` takes one, another for each call."""


def calls_of_the_workload() -> list[str]:
    disk = SimulatedDisk()
    run(disk, Promised()).close()
    return [action for action, _ in disk.log]


CALLS = calls_of_the_workload()
WRITES = [at for at, action in enumerate(CALLS, 1) if action == "write"]


def work(disk: SimulatedDisk, promised: Promised, _: SimulatedClock) -> None:
    run(disk, promised).close()


def left(shard: int) -> list[tuple[int, SimulatedDisk, Promised]]:
    """What a process that died before a call left, for the calls of a shard."""
    places = range(1 + shard, len(CALLS) + 1, SHARDS)
    found = left_before(places, Promised(), work)
    assert [at for at, _, _ in found] == list(places)
    return found


@pytest.mark.parametrize("shard", SOME)
def test_killed_at_any_call_loses_nothing_acknowledged(shard: int) -> None:
    """Reopening finds each acknowledged write, no deleted one and nothing torn, and finds the same a second
    time.
    """
    for _, disk, promised in left(shard):
        check_reopening(disk, promised)


def test_killed_within_any_write_loses_nothing_acknowledged() -> None:
    """The same, when a write was cut short anywhere."""
    for at in WRITES:
        disk, promised = SimulatedDisk([Crash(at, "middle")], seed=at), Promised()
        with pytest.raises(SimulatedCrash):
            run(disk, promised).close()
        disk.restart()
        check_reopening(disk, promised)


@pytest.mark.parametrize("shard", OTHERS)
def test_power_lost_at_any_call_loses_nothing_acknowledged(shard: int) -> None:
    """The same, when unsynced writes and names survive, vanish or tear independently of each other."""
    for at, disk, promised in left(shard):
        check_reopening(disk.power_loss(at * POWER_SEEDS), promised)


@pytest.mark.nightly
@pytest.mark.parametrize("shard", range(SHARDS))
def test_power_lost_in_other_ways_loses_nothing_acknowledged(shard: int) -> None:
    """The same for other draws."""
    for at, disk, promised in left(shard):
        for seed in range(1, POWER_SEEDS):
            check_reopening(disk.power_loss(at * POWER_SEEDS + seed), promised)
