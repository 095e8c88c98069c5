"""What is wrong with one owner, one minute or one copy does not stop the log, and nothing is dropped."""

from __future__ import annotations

import time

import pytest

from carma.access.audit.counts import DENIALS_TOLD, Counts
from carma.access.audit.leaf import LEAF_BYTES, MOST_LISTED, Leaf
from carma.access.audit.trail import AuditTrail
from carma.access.audit.verify import verify_log
from carma.errors import AuditDamaged, AuditUnavailable
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk
from carma.testing.faults import Crash, SimulatedCrash

from .making import FOLDER, SIGNER, Shelf, entries, logged, open_log
from .test_sequencer import events, sequencer
from .test_witness import ORIGIN, ask, grown, witness


def trail_on(disk: SimulatedDisk, clock: SimulatedClock) -> AuditTrail:
    return AuditTrail("/audit", disk=disk, clock=clock, entropy=SeededEntropy(8))


def spoil(disk: SimulatedDisk, name: str) -> None:
    """Damage both copies of what lies in a folder of the writer."""
    for path in disk.paths():
        if name in path:
            disk.put(path, b"rotten")


def test_a_damaged_audit_key_of_one_owner_does_not_hold_up_the_others() -> None:
    """Nobody can make this owner's leaves until it is put back; everybody else's are copied."""

    class Locked(Shelf):
        def waiting(self, after: int) -> object:  # type: ignore[override]
            raise AuditDamaged("Both copies of an audit key are damaged.")

    disk = SimulatedDisk()
    locked, second = Locked(disk, "locked"), Shelf(disk, "second")
    second.put(1, 2)
    with pytest.raises(AuditDamaged, match="audit key"):
        sequencer(disk, locked, second).run()
    assert events(disk) == [1, 2] and second.copied_upto == [2]


def test_a_damaged_log_stops_everything() -> None:
    """That is the log itself: nothing is appended to what cannot be believed."""
    disk = SimulatedDisk()
    first, second = Shelf(disk, "first"), Shelf(disk, "second")
    first.put(1)
    copying = sequencer(disk, first, second)
    copying.run()
    disk.put(f"{FOLDER}/checkpoint", b"rotten")
    second.put(2)
    with pytest.raises(AuditDamaged):
        copying.run()
    assert second.copied_upto == []


def test_counts_that_cannot_be_stored_are_stored_later() -> None:
    """A full disk costs no minute of reads or forgeries."""
    disk, clock = SimulatedDisk(), SimulatedClock(1_750_000_020.0)
    trail = trail_on(disk, clock)
    for _ in range(3):
        trail.counts.forgery()
        trail.counts.read("alice")
        clock.advance(60)
        disk.capacity_bytes = 1
        with pytest.raises(AuditUnavailable):
            trail.sequence()
        disk.capacity_bytes = None
    clock.advance(60)
    assert trail.sequence() == 6
    assert trail.sequence() == 0


def test_a_flood_of_denials_is_counted_and_fills_no_log() -> None:
    """The first twenty of an account's minute have leaves, the rest is one number; other accounts too."""
    clock = SimulatedClock(1_750_000_020.0)
    counts = Counts(lambda account: None, clock, SeededEntropy(1))
    told = sum(counts.denial("mallory") for _ in range(50_000))
    assert told == DENIALS_TOLD and counts.denial("alice")
    clock.advance(60)
    assert counts.denial("mallory")
    assert [(each.kind, each.numbers["count"]) for each in counts.leaves()] == [("denials", 50_000 - told)]


def test_a_damaged_audit_key_costs_the_name_and_not_the_count() -> None:
    """The reads of the minute are told as nobody's."""
    disk, clock = SimulatedDisk(), SimulatedClock(1_750_000_020.0)
    trail = trail_on(disk, clock)
    assert trail.keys.key("alice") is not None
    spoil(disk, "/private/owners/")
    trail.counts.read("alice")
    clock.advance(60)
    assert trail.sequence() == 1
    assert b'"kind":"reads"' in logged(trail.log)[0] and b'"owner"' not in logged(trail.log)[0]


def test_thousands_of_duplicates_are_found_in_one_pass() -> None:
    """Whoever copies half of a log behind itself does not make verifying it endless."""
    disk = SimulatedDisk()
    log = open_log(disk)
    log.append([*entries(20_000), *entries(20_000)])
    begun = time.perf_counter()
    report = verify_log(disk, FOLDER, SIGNER.verifiers())
    assert time.perf_counter() - begun < 20  # A pass for each would take minutes.
    assert {each.kind for each in report.findings} == {"duplicate"} and len(report.findings) == 1_000
    assert (report.findings[7].start, report.findings[7].stop) == (20_007, 20_008)


def test_a_witness_signs_only_above_what_both_its_copies_remember() -> None:
    """It died between its two copies and one of them rots later: it never signs another log of that size."""
    for at in range(1, 100):
        source, log = grown(10)
        disk = SimulatedDisk()
        assert witness(disk=disk).add_checkpoint(ask(log, 0)).status == 200
        log.append(entries(5, 10))
        disk.faults = [Crash(disk.calls + at, "after")]
        try:
            witness(disk=disk).add_checkpoint(ask(log, 10))
        except SimulatedCrash:
            disk.restart()
        else:
            break
        if witness(disk=disk).add_checkpoint(ask(log, witness(disk=disk).seen(ORIGIN).size)).status != 200:
            pytest.fail("an honest log was refused")
        for copy in "01":
            path = next(path for path in disk.paths() if f"/{copy}/seen-" in path)
            rotten = disk.copy()
            rotten.put(path, b"rotten")
            assert witness(disk=rotten).seen(ORIGIN).size == 15
        assert source.paths()
    else:
        pytest.fail("the witness never came to its end")


def test_leaves_are_never_longer_than_an_entry() -> None:
    """The largest leaf that there is fits into the two bytes of its length."""
    many = tuple((f"{number:032x}", 2**53 - 1) for number in range(MOST_LISTED))
    names = [f"{'n' * 30}{letter}" for letter in "abcdefghijklmnopqrst"]
    largest = Leaf(
        event="f" * 32, time_ms=2**53 - 1, kind="k" * 32, operation="o" * 64, owner="f" * 32,
        tags={f"t{name[1:]}": "f" * 32 for name in names}, words=dict.fromkeys(names, "w" * 32),
        numbers={f"z{name[1:]}": 2**53 - 1 for name in names}, written=many, ended=many,
    )  # fmt: skip
    assert len(largest.to_bytes()) <= LEAF_BYTES
