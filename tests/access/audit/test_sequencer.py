"""The sequencer: every leaf is copied exactly once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from carma.access.audit.leaf import event_of
from carma.access.audit.log import read_log
from carma.access.audit.sequencer import Sequencer
from carma.access.audit.verify import verify_log
from carma.errors import AuditUnavailable, CarmaError, MemoryBusy
from carma.testing import SimulatedDisk
from carma.testing.faults import Crash, Refuse, SimulatedCrash

from .making import FOLDER, PRIVATE, SIGNER, Shelf, leaf, logged, open_log

SOURCES = ("first", "second")


def sequencer(disk: SimulatedDisk, *sources: Shelf) -> Sequencer:
    return Sequencer(open_log(disk), disk, PRIVATE, sources or [Shelf(disk, name) for name in SOURCES])


def events(disk: SimulatedDisk) -> list[int]:
    """The numbers of the events in the log, in order."""
    reader, _ = read_log(disk, FOLDER, SIGNER.verifiers())
    return [int(event_of(entry) or "", 16) for _, entry in reader.entries()]


def steps(disk: SimulatedDisk, rounds: int) -> Iterator[list[int]]:
    """Put events on two shelves and copy them, again and again; the events that are surely on a shelf."""
    shelves = [Shelf(disk, name) for name in SOURCES]
    put: list[int] = []
    for first, second in (([1, 2], [3]), ([6], [4, 5]), ([7], []), ([], [8]))[:rounds]:
        shelves[0].put(*first)
        shelves[1].put(*second)
        put += [*first, *second]
        yield put
        sequencer(disk, *shelves).run()


def test_what_waits_is_copied_once_and_in_order() -> None:
    """Source by source, position by position, and nothing a second time."""
    disk = SimulatedDisk()
    first, second = (Shelf(disk, name) for name in SOURCES)
    first.put(1, 2)
    second.put(3)
    copying = sequencer(disk, first, second)
    assert [copying.run(), copying.run(), sequencer(disk, first, second).run()] == [3, 0, 0]
    assert events(disk) == [1, 2, 3] and first.copied_upto == [2]
    first.put(4)
    assert copying.run() == 1 and events(disk) == [1, 2, 3, 4]


def test_a_run_may_be_bounded() -> None:
    """It stops after so many leaves, and goes on there."""
    disk = SimulatedDisk()
    shelf = Shelf(disk, "first")
    shelf.put(*range(1, 11))
    copying = sequencer(disk, shelf)
    assert [copying.run(4), copying.run(4), copying.run(4)] == [4, 4, 2]
    assert events(disk) == list(range(1, 11))


def calls(rounds: int) -> int:
    """How many calls of the port the workload makes."""
    disk = SimulatedDisk()
    for _ in steps(disk, rounds):
        pass
    return disk.calls


def crashed(at: int, when: str, rounds: int) -> tuple[SimulatedDisk, set[int]]:
    """A disk on which the workload died at a call, and the events that surely lay on a shelf by then."""
    disk = SimulatedDisk([Crash(at, when)])
    put: set[int] = set()
    with suppress(SimulatedCrash):
        for each in steps(disk, rounds):
            put = set(each)
    return disk, put


def check(disk: SimulatedDisk, put: set[int], what: str) -> None:
    """Copy what is left, and see that each event on a shelf is in the log once."""
    sequencer(disk).run()
    found = events(disk)
    shelved = [int(each.leaf.event, 16) for name in SOURCES for each in Shelf(disk, name).waiting(0)]
    assert sorted(found) == sorted(shelved) == sorted(set(shelved)), what
    assert put <= set(found), what
    assert verify_log(disk, FOLDER, SIGNER.verifiers()).sound, what


def test_every_leaf_is_copied_exactly_once_after_a_crash_at_any_call() -> None:
    """The process dies before, in the middle of or after a call; the next one copies what is missing. Every
    fourth call here, and each of them every night.
    """
    for at in range(1, calls(2) + 1, 4):
        when = ("before", "middle", "after")[at % 3]
        disk, put = crashed(at, when, 2)
        disk.restart()
        check(disk, put, f"crash {when} call {at}")


def test_every_leaf_is_copied_exactly_once_after_a_power_loss() -> None:
    """What was not synced is gone in part; what the sources still hold is in the log once."""
    for at in range(1, calls(2) + 1, 5):
        disk, put = crashed(at, "middle", 2)
        check(disk.power_loss(at), put, f"power lost at {at}")


@pytest.mark.nightly
@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_every_leaf_is_copied_exactly_once_after_anything(when: str) -> None:
    """Each call of a longer workload, each way to die, with and without the power."""
    for at in range(1, calls(4) + 1):
        disk, put = crashed(at, when, 4)
        lost = disk.power_loss(at)
        disk.restart()
        check(disk, put, f"crash {when} call {at}")
        check(lost, put, f"power lost {when} call {at}")


def test_a_disk_that_refuses_stops_copying_and_loses_nothing() -> None:
    """At any call: AuditUnavailable (or the source's own error), and the next run ends what was begun."""
    refused = 0
    for at in range(1, 120, 3):
        disk = SimulatedDisk()
        shelves = [Shelf(disk, name) for name in SOURCES]
        shelves[0].put(1, 2)
        shelves[1].put(3)
        copying = sequencer(disk, *shelves)
        disk.faults = [Refuse(disk.calls + at, "full")]
        try:
            copying.run()
        except CarmaError:
            refused += 1
        disk.faults = []
        copying.run()
        assert sorted(events(disk)) == [1, 2, 3]
    assert refused > 10


def test_lost_positions_are_read_from_the_log() -> None:
    """Without them the whole log says what is in it."""
    disk = SimulatedDisk()
    shelf = Shelf(disk, "first")
    shelf.put(1, 2, 3)
    sequencer(disk, shelf).run()
    for copy in "01":
        disk.put(f"{PRIVATE}/{copy}/positions", b"rotten")
    shelf.put(4)
    assert sequencer(disk, shelf).run() == 1
    assert events(disk) == [1, 2, 3, 4]


def test_a_source_that_was_put_back_is_noticed() -> None:
    """A source restored from a backup has other events at known positions: those are copied, no old ones."""
    disk = SimulatedDisk()
    shelf = Shelf(disk, "first")
    shelf.put(1, 2)
    backup = disk.contents("/audit/first")
    shelf.put(3, 4)
    sequencer(disk, shelf).run()
    disk.put("/audit/first", backup)
    shelf.put(5, 6, 7)
    assert sequencer(disk, shelf).run() == 3
    assert events(disk) == [1, 2, 3, 4, 5, 6, 7]
    disk.put("/audit/first", backup)
    shelf.put(8)
    sequencer(disk, shelf).run()
    assert events(disk) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_log_that_was_put_back_gets_what_it_lacks() -> None:
    """An older log than the positions speak of is filled again from what the sources still have."""
    disk = SimulatedDisk()
    shelf = Shelf(disk, "first")
    shelf.put(1, 2)
    sequencer(disk, shelf).run()
    files = {path: disk.contents(path) for path in disk.paths() if path.startswith(FOLDER)}
    shelf.put(3, 4)
    sequencer(disk, shelf).run()
    disk.remove(FOLDER)
    for path, data in files.items():
        disk.put(path, data)
    assert sequencer(disk, shelf).run() == 2
    assert events(disk) == [1, 2, 3, 4]


def test_one_source_that_fails_does_not_hold_up_the_others() -> None:
    """Its error is raised when the others had their turn, and what it gave before is in the log."""

    class Busy(Shelf):
        def waiting(self, after: int) -> Iterator[object]:  # type: ignore[override]
            yield from super().waiting(after)
            raise MemoryBusy("Another process holds the turn.")

    disk = SimulatedDisk()
    busy, second = Busy(disk, "busy"), Shelf(disk, "second")
    busy.put(1)
    second.put(2)
    with pytest.raises(MemoryBusy):
        sequencer(disk, busy, second).run()
    assert events(disk) == [1, 2]
    assert sequencer(disk, Shelf(disk, "busy"), second).run() == 0


def test_a_log_that_another_process_holds_is_not_waited_for_for_ever() -> None:
    """AuditUnavailable; the leaves wait on."""
    disk = SimulatedDisk()
    copying = sequencer(disk)
    with open_log(disk).turn(), pytest.raises(AuditUnavailable):
        copying.run()
    assert logged(open_log(disk)) == []
    assert leaf(1).to_bytes()
