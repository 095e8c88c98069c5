"""The disk says no, or says yes and lies: typed errors, nothing acknowledged lost, and work goes on
afterwards.
"""

from __future__ import annotations

import re

import pytest

from carma.errors import DiskFull, DurabilityError, StorageError
from carma.testing import Drop, Misdirect, Refuse, SimulatedDisk

from .scenario import FOLDER, Promised, Writer, check_all, check_reopening, open_on, run, run_through, text_of

SHARDS = 12
SAMPLED = 2
"""Of the shards, so many in `make test`; the nightly run takes all."""
FULL_STEP_BYTES = 1_000
POWER_EVERY = 2
"""After every second refused call the power is lost as well."""


def log_of_the_workload() -> list[tuple[str, str]]:
    disk = SimulatedDisk()
    run(disk, Promised()).close()
    return disk.log


LOG = log_of_the_workload()
WRITES = [at for at, (action, _) in enumerate(LOG, 1) if action == "write"]
SYNCS = [at for at, (action, _) in enumerate(LOG, 1) if action in ("sync", "sync_dir")]
NUMBERED = re.compile(r"/\d+\.seg$")
NIGHTLY: dict[bool, list[pytest.MarkDecorator]] = {True: [pytest.mark.nightly], False: []}


@pytest.mark.parametrize("reason", ["io", "full"])
@pytest.mark.parametrize("shard", [pytest.param(s, marks=NIGHTLY[s >= SAMPLED]) for s in range(SHARDS)])
def test_any_call_may_be_refused(shard: int, reason: str) -> None:
    """An error of the disk at any call is a StorageError; what was acknowledged stays, and the next write
    works.
    """
    for at in range(1 + shard, len(LOG) + 1, SHARDS):
        disk, promised = SimulatedDisk([Refuse(at, reason)]), Promised()
        errors = run_through(disk, promised)
        assert all(isinstance(error, StorageError) for error in errors)
        assert len(errors) <= 1
        disk.restart()
        if at % POWER_EVERY == 0:
            check_reopening(disk.power_loss(at), promised)
        else:
            check_reopening(disk, promised)


@pytest.mark.parametrize("calls", [2, 5, 40])
def test_the_disk_may_be_out_of_order_for_a_while(calls: int) -> None:
    """The same for several calls in a row."""
    for at in range(1 + calls % 7, len(LOG) + 1, 14):
        disk, promised = SimulatedDisk([Refuse(at, "io", calls)]), Promised()
        assert all(isinstance(error, StorageError) for error in run_through(disk, promised, look=False))
        disk.restart()
        check_reopening(disk.power_loss(at), promised)


def test_a_file_whose_sync_failed_is_never_synced_again() -> None:
    """The write raises DurabilityError, the next goes to a new segment, and a power loss costs nothing
    acknowledged.
    """
    tried = 0
    for at in SYNCS:
        path = LOG[at - 1][1]
        if not NUMBERED.search(path):
            continue
        disk, promised = SimulatedDisk([Refuse(at)]), Promised()
        errors = run_through(disk, promised)
        tried += any(isinstance(error, DurabilityError) for error in errors)
        assert ("sync", path) not in disk.log[at:]
        for seed in range(3):
            check_reopening(disk.power_loss(seed), promised)
    assert tried > 10


def test_a_full_disk_refuses_writes_and_keeps_everything() -> None:
    """Whatever the size at which the disk is full: DiskFull, all that was acknowledged, and writes when there
    is room.
    """
    size = SimulatedDisk()
    run(size, Promised()).close()
    most = 2 * sum(len(size.contents(path)) for path in size.paths())
    refused = 0
    for capacity in range(0, most, FULL_STEP_BYTES):
        disk, promised = SimulatedDisk(capacity_bytes=capacity), Promised()
        errors = run_through(disk, promised)
        assert all(isinstance(error, DiskFull) for error in errors)
        refused += bool(errors)
        disk.restart()
        if promised.said:
            store = open_on(disk)
            check_all(store, promised)
            store.close()
        disk.capacity_bytes = None
        check_reopening(disk, promised)
    assert refused > 10


def test_a_write_that_the_disk_drops_is_made_good_by_the_other_copy() -> None:
    """A disk that loses any single write without a word costs nothing acknowledged."""
    for at in WRITES:
        disk, promised = SimulatedDisk([Drop(at)]), Promised()
        assert all(isinstance(error, StorageError) for error in run_through(disk, promised))
        disk.restart()
        check_reopening(disk, promised)


@pytest.mark.parametrize("offset", [0, 100, 700, 5_000])
def test_a_misdirected_write_is_noticed_and_made_good(offset: int) -> None:
    """A write that lands on other records of its file costs nothing acknowledged; every second one."""
    for at in WRITES[offset // 100 % 2 :: 2]:
        disk, promised = SimulatedDisk([Misdirect(at, offset)]), Promised()
        assert all(isinstance(error, StorageError) for error in run_through(disk, promised))
        disk.restart()
        check_reopening(disk, promised)


def test_a_clock_that_jumps_back_changes_nothing() -> None:
    """Hours back in the middle of the workload: the newest write still wins, and lingering files are not lost
    early.
    """
    from carma.testing import SimulatedClock

    clock, disk, promised = SimulatedClock(), SimulatedDisk(), Promised()
    store = open_on(disk, clock)
    writer = Writer(store, promised)
    for number in range(1, 6):
        writer.say((number, text_of(number, 1)), (1, text_of(1, number)))
        clock.jump(-3_600.0)
    check_all(store, promised)
    store.close()
    assert not run_through(disk, promised, clock)
    check_reopening(disk, promised)


def test_a_disk_that_cannot_be_written_is_opened_for_reading() -> None:
    """A read-only file system: everything can be read, nothing is touched, and a write says why not."""
    from carma.errors import ReadOnlyMemory

    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    disk.put(f"{FOLDER}/segments/000004.seg", disk.contents(f"{FOLDER}/segments/000004.seg")[:-3])
    before = {path: disk.contents(path) for path in disk.paths()}
    disk.read_only = True
    store = open_on(disk)
    check_all(store, promised)
    with pytest.raises(ReadOnlyMemory):
        Writer(store, promised).say((1, "no"))
    store.close()
    assert {path: disk.contents(path) for path in disk.paths()} == before
