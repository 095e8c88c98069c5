"""Verifying: whatever was done to a log is found, and the tile and the entries are named."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from carma.access.audit.checkpoint import Checkpoint
from carma.access.audit.differences import Finding
from carma.access.audit.note import Note
from carma.access.audit.tiles import ENTRIES, WIDTH, Place, pack_bundle, pack_tile, unpack_bundle
from carma.access.audit.tree import leaf_hash, root_of
from carma.access.audit.verify import AuditReport, verify_log
from carma.testing import SimulatedDisk

from .conftest import SIZE, LargeLog
from .making import FOLDER, SIGNER, entries, open_log, signer

# The first and the last entry, the edges of bundles and of higher tiles, and some that chance chose.
PLACES = [0, 255, 256, 65_535, 65_536, SIZE - 1, *random.Random(4).sample(range(SIZE), 4)]


def named(report: AuditReport, index: int) -> list[Finding]:
    """The findings whose interval holds an entry."""
    return [each for each in report.findings if (each.start or 0) <= index < (each.stop or 0)]


def test_a_log_that_nobody_touched_is_sound(large: LargeLog) -> None:
    """100,000 entries, held against every checkpoint that it ever had."""
    report = large.verify(held=list(large.checkpoints.values()))
    assert report.sound and report.size == SIZE and report.held == 10


def test_edits_are_found_and_located_in_a_large_log(large: LargeLog) -> None:
    """Of 100,000 entries some are changed: each is one finding, with its number and its bundle."""
    files = {}
    for index in PLACES:
        place = large.bundle(index)
        found = large.entries_of(place) if place not in files else unpack_bundle(files[place], place.width)
        found[index % WIDTH] = found[index % WIDTH].replace(b'"leaf":1', b'"leaf":2')
        files[place] = pack_bundle(found)
    with large.changed(files):
        report = large.verify()
    assert [(each.kind, each.start, each.stop, each.path) for each in report.findings] == [
        ("changed", index, index + 1, large.bundle(index).path) for index in sorted(PLACES)
    ]


def test_removals_are_found_and_located_in_a_large_log(large: LargeLog) -> None:
    """Entries taken out here and there, and those behind them moved up: the number of each is named."""
    places = [index for index in PLACES if index % WIDTH not in (0, 255) and index != SIZE - 1]
    files = {}
    for index in places:
        found = large.entries_of(large.bundle(index))
        del found[index % WIDTH]
        files[large.bundle(index)] = pack_bundle(found)
    with large.changed(files):
        report = large.verify()
    assert len(places) >= 3
    assert [(each.kind, each.start, each.path) for each in report.findings] == [
        ("removed", index, large.bundle(index).path) for index in sorted(places)
    ]


def test_a_change_of_order_is_found_and_located_in_a_large_log(large: LargeLog) -> None:
    """Two entries far apart that changed places, and two neighbours: all four places are named."""
    files = {}
    for here, there in ((1_000, 91_000), (91_000, 1_000)):
        found = large.entries_of(large.bundle(here))
        found[here % WIDTH] = large.entries_of(large.bundle(there))[there % WIDTH]
        files[large.bundle(here)] = pack_bundle(found)
    found = large.entries_of(large.bundle(50_000))
    at = 50_000 % WIDTH
    found[at], found[at + 1] = found[at + 1], found[at]
    with large.changed({**files, large.bundle(50_000): pack_bundle(found)}):
        report = large.verify()
    assert [(each.kind, each.start, each.stop) for each in report.findings] == [
        ("reordered", 1_000, 1_001), ("reordered", 50_000, 50_002), ("reordered", 91_000, 91_001),
    ]  # fmt: skip


def test_an_edit_with_its_tile_is_located_to_the_tile_in_a_large_log(large: LargeLog) -> None:
    """Where the tile was rewritten with the entry, the tile above still shows the interval of 256."""
    index = 70_000
    place = large.bundle(index)
    found = large.entries_of(place)
    found[index % WIDTH] = b"another"
    tile = Place(0, index // WIDTH)
    files = {**large.with_entries(place, found), tile: pack_tile([leaf_hash(each) for each in found])}
    with large.changed(files):
        report = large.verify()
    assert [(each.kind, each.path, each.start, each.stop) for each in report.findings] == [
        ("changed", tile.path, 69_888, 70_144)
    ]


def test_a_truncation_is_found_against_a_held_checkpoint(large: LargeLog) -> None:
    """The older checkpoint in place of the newest verifies by itself; whoever holds the newest sees it."""
    path = large.folder / "log" / "checkpoint"
    try:
        path.write_bytes(large.checkpoints[90_000])
        assert large.verify().sound
        report = large.verify(held=[large.checkpoints[SIZE]])
    finally:
        path.write_bytes(large.checkpoints[SIZE])
    assert [(each.kind, each.start, each.stop) for each in report.findings] == [("truncated", 90_000, SIZE)]


# Smaller logs, and all that can be done to them


def rebuilt(disk: SimulatedDisk, whole: Sequence[bytes], *, sign: bool) -> None:
    """Write a log anew with other entries: what an operator can do; with the keys, signed too."""
    old = disk.contents(f"{FOLDER}/checkpoint")
    disk.remove("/audit")
    open_log(disk).append(whole)
    if not sign:
        disk.put(f"{FOLDER}/checkpoint", old)


def log_of(count: int, batch: int = 5_000) -> SimulatedDisk:
    disk = SimulatedDisk()
    log = open_log(disk)
    for start in range(0, count, batch):
        log.append(entries(min(batch, count - start), start))
    return disk


def verified(disk: SimulatedDisk, **options: object) -> AuditReport:
    return verify_log(disk, FOLDER, SIGNER.verifiers(), **options)


def test_all_rewritten_without_the_keys_is_located_between_two_checkpoints() -> None:
    """Entries and tiles fit each other; the checkpoints kept on the way say between which two they break."""
    disk = log_of(12_000, 1_000)
    history = {path: disk.contents(path) for path in disk.paths() if "/history/" in path}
    assert [path.rpartition("/")[2] for path in history] == ["5000", "9000"]
    whole = entries(12_000)
    whole[7_000] = b"another"
    rebuilt(disk, whole, sign=False)
    for path, data in history.items():
        disk.put(path, data)
    report = verified(disk)
    assert [(each.kind, each.start, each.stop) for each in report.findings] == [("forked", 5_000, 9_000)]


def test_all_rewritten_and_signed_again_is_found_by_who_holds_a_checkpoint() -> None:
    """With the log's keys an operator can rewrite everything; any checkpoint held elsewhere shows it."""
    disk = log_of(600)
    held = disk.contents(f"{FOLDER}/checkpoint")
    whole = entries(600)
    whole[10] = b"another"
    rebuilt(disk, [*whole, b"more"], sign=True)
    assert verified(disk).sound
    report = verified(disk, held=[held])
    assert [(each.kind, each.start, each.stop) for each in report.findings] == [("forked", 0, 600)]


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, str, int]] = {
    "changed": (lambda e: [*e[:7], b"x", *e[8:]], "changed", 7),
    "changed first": (lambda e: [b"x", *e[1:]], "changed", 0),
    "removed": (lambda e: [*e[:9], *e[10:]], "removed", 9),
    "removed last": (lambda e: e[:-1], "missing", 255),
    "inserted": (lambda e: [*e[:5], b"new", *e[5:]], "inserted", 5),
    "inserted in its place": (lambda e: [*e[:5], b"new", *e[5:-1]], "inserted", 5),
    "swapped": (lambda e: [*e[:3], e[4], e[3], *e[5:]], "reordered", 3),
    "moved": (lambda e: [*e[:3], *e[4:20], e[3], *e[20:]], "reordered", 3),
    "turned around": (lambda e: e[::-1], "reordered", 0),
    "emptied": (lambda e: [], "missing", 0),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("number", [0, 2])
def test_what_was_done_to_entries_is_named(what: str, number: int) -> None:
    """Edits, removals, insertions and changes of order, each by its name and its first entry."""
    change, kind, first = CHANGES[what]
    disk = log_of(1_000)
    path = f"{FOLDER}/{Place(ENTRIES, number).path}"
    disk.put(path, pack_bundle(change(entries(256, number * 256))))
    report = verified(disk)
    at = number * 256 + first
    assert (kind, at) in [(each.kind, each.start) for each in report.findings]
    assert all(each.path.startswith("tile/entries") for each in report.findings)
    assert all(number * 256 <= (each.start or 0) < (number + 1) * 256 for each in report.findings)


def test_a_removal_with_everything_moved_up_is_one_finding() -> None:
    """Who takes one entry out and packs all bundles anew leaves one gap, and it is named."""
    disk, whole = log_of(1_000), entries(1_000)
    del whole[300]
    for number in range(4):
        width = min(256, 1_000 - number * 256)
        path = f"{FOLDER}/{Place(ENTRIES, number, width).path}"
        disk.put(path, pack_bundle(whole[number * 256 : number * 256 + width]))
    report = verified(disk)
    assert [(each.kind, each.start) for each in report.findings] == [("removed", 300)]


def test_a_damaged_tile_is_told_from_a_damaged_entry() -> None:
    """Where the entries give the root, a tile that differs is only a tile, and `mend` makes it again."""
    disk = log_of(66_000, 66_000)
    places = [Place(0, 5), Place(0, 257, 208), Place(1, 0), Place(2, 0, 1)]
    for place in places:
        path = f"{FOLDER}/{place.path}"
        disk.put(path, bytes(len(disk.contents(path))))
    report = verified(disk)
    assert [(each.kind, each.path) for each in report.findings] == [("tile", each.path) for each in places]
    open_log(disk)
    assert verified(disk).sound


def test_an_entry_below_a_rewritten_upper_tile_is_still_located() -> None:
    """Entry, its tile and the tile above rewritten together: the interval of the lowest proven tile."""
    disk = log_of(66_000, 66_000)
    bundle = f"{FOLDER}/{Place(ENTRIES, 3).path}"
    found = entries(256, 768)
    found[5] = b"another"
    hashes = [leaf_hash(each) for each in found]
    upper = disk.contents(f"{FOLDER}/tile/1/000")
    disk.put(bundle, pack_bundle(found))
    disk.put(f"{FOLDER}/tile/0/003", pack_tile(hashes))
    disk.put(f"{FOLDER}/tile/1/000", upper[:96] + root_of(hashes) + upper[128:])
    report = verified(disk)
    assert [(each.kind, each.start, each.stop) for each in report.findings] == [("changed", 0, 65_536)]


def test_missing_files_are_named() -> None:
    """A bundle, a tile, the checkpoint: gone is a finding, and never an error."""
    disk = log_of(1_000)
    disk.remove(f"{FOLDER}/tile/entries/001")
    report = verified(disk)
    assert {(each.kind, each.start, each.stop) for each in report.findings} == {("missing", 256, 512)}
    disk = log_of(1_000)
    disk.remove(f"{FOLDER}/tile/0/001")
    assert [(each.kind, each.path) for each in verified(disk).findings] == [("tile", "tile/0/001")]
    disk.remove(f"{FOLDER}/checkpoint")
    assert [each.kind for each in verified(disk).findings] == ["checkpoint"]


def test_an_event_that_stands_twice_is_found() -> None:
    """Each event has one leaf."""
    disk = SimulatedDisk()
    open_log(disk).append([*entries(300), *entries(1, 7)])
    report = verified(disk)
    assert [(each.kind, each.start) for each in report.findings] == [("duplicate", 300)]


def test_a_checkpoint_that_nobody_known_signed_is_a_finding() -> None:
    """Another key's signature, a changed size, a changed root."""
    disk = log_of(300)
    note = disk.contents(f"{FOLDER}/checkpoint")
    assert not verify_log(disk, FOLDER, signer("example.com/other").verifiers()).sound
    for old, new in ((b"\n300\n", b"\n299\n"), (b"example.com/log\n300", b"example.com/lug\n300")):
        disk.put(f"{FOLDER}/checkpoint", note.replace(old, new, 1))
        assert "checkpoint" in [each.kind for each in verified(disk).findings]
    other = Checkpoint("example.com/log", 300, bytes(32))
    disk.put(f"{FOLDER}/checkpoint", Note(other.text, SIGNER.sign(other, 1)).to_bytes())
    assert "rewritten" in [each.kind for each in verified(disk).findings]


def test_what_is_held_has_to_be_of_the_log() -> None:
    """A checkpoint of another log, or no checkpoint at all, is a finding and proves nothing."""
    disk = log_of(300)
    other = Checkpoint("example.com/other", 900, bytes(32))
    foreign = Note(other.text, signer("example.com/other").sign(other, 1)).to_bytes()
    for held in (foreign, b"", b"garbage"):
        assert [each.kind for each in verified(disk, held=[held]).findings] == ["checkpoint"]


def test_the_quorum_of_witnesses_is_asked_for() -> None:
    """Too few cosignatures are a finding; a witness with two keys counts once."""
    disk = log_of(300)
    log = open_log(disk)
    witness = signer("example.com/w1")
    keys = witness.verifiers(witness=True)
    assert [each.kind for each in verified(disk, witnesses=keys, quorum=1).findings] == ["unwitnessed"]
    checkpoint = log.reader().checkpoint
    assert log.add_signatures(checkpoint, witness.sign(checkpoint, 5, witness=True))
    report = verified(disk, witnesses=keys, quorum=1)
    assert report.sound and report.witnesses == ("example.com/w1",)
    assert not verified(disk, witnesses=keys, quorum=2).sound


@pytest.mark.nightly
def test_any_edit_of_a_large_log_is_located(large: LargeLog) -> None:
    """Five hundred places that chance chose, one after the other."""
    for index in random.Random(9).sample(range(SIZE), 500):
        place = large.bundle(index)
        found = large.entries_of(place)
        found[index % WIDTH] += b"!"
        with large.changed(large.with_entries(place, found)):
            report = large.verify()
        assert [(each.kind, each.start) for each in report.findings] == [("changed", index)]
        assert named(report, index)
