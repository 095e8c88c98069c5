"""The log on disk: what was appended is there, proven, and nothing else is ever shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from carma.access.audit.log import read_log
from carma.access.audit.reader import LogReader
from carma.access.audit.tiles import ENTRIES, Place, edge_places, width_of
from carma.access.audit.tree import check_consistency, check_inclusion, leaf_hash
from carma.errors import AuditDamaged, AuditUnavailable, EventNotLogged
from carma.ports.disk import LocalDisk
from carma.testing import SimulatedClock, SimulatedDisk
from carma.testing.faults import Refuse

from .making import FOLDER, PRIVATE, SIGNER, entries, logged, open_log, root, signer


def read(disk: SimulatedDisk) -> LogReader:
    return read_log(disk, FOLDER, SIGNER.verifiers())[0]


@pytest.mark.parametrize(("place", "path"), [
    (Place(0, 0), "tile/0/000"), (Place(0, 1_234_067), "tile/0/x001/x234/067"),
    (Place(3, 999, 5), "tile/3/999.p/5"), (Place(ENTRIES, 1_000), "tile/entries/x001/000"),
    (Place(ENTRIES, 7, 255), "tile/entries/007.p/255"),
])  # fmt: skip
def test_tiles_lie_where_the_specification_says(place: Place, path: str) -> None:
    """The path of a tile, with the example of tlog-tiles among them."""
    assert place.path == path


def test_the_tiles_of_a_tree_are_those_of_the_specification() -> None:
    """Its example: 70,000 entries are 273 full tiles, one of 112, one full and one of 17, one of 1."""
    assert edge_places(70_000) == [Place(0, 273, 112), Place(1, 1, 17), Place(2, 0, 1)]
    assert edge_places(256) == [Place(1, 0, 1)]
    assert edge_places(0) == []
    assert [width_of(70_000, 0, 272), width_of(70_000, 0, 273), width_of(70_000, 0, 274)] == [256, 112, 0]


@given(batches=st.lists(st.integers(0, 300), max_size=8), data=st.data())
@hypothesis(max_examples=25, deadline=None)
def test_whatever_the_batches_the_log_is_the_same(batches: list[int], data: st.DataObject) -> None:
    """Entries, root and proofs depend on what was appended and not on how, also when reopened in between."""
    disk = SimulatedDisk()
    log, whole = open_log(disk), list[bytes]()
    for size in batches:
        if data.draw(st.booleans()):
            log = open_log(disk)
        assert log.append(entries(size, len(whole))) == range(len(whole), len(whole) + size)
        whole += entries(size, len(whole))
    reader = read(disk)
    assert logged(log) == whole and reader.checkpoint.root == root(whole)
    if whole:
        index = data.draw(st.integers(0, len(whole) - 1))
        old = data.draw(st.integers(0, len(whole)))
        proof = reader.inclusion(index)
        assert check_inclusion(index, len(whole), leaf_hash(whole[index]), proof, reader.checkpoint.root)
        grown = reader.consistency(old)
        assert reader.root_at(old) == root(whole[:old])
        assert check_consistency(old, len(whole), root(whole[:old]), reader.checkpoint.root, grown)


def test_two_processes_append_in_turns(tmp_path: Path) -> None:
    """Each goes on where the other stopped, and neither overwrites anything."""
    folders = str(tmp_path / "log"), str(tmp_path / "private")
    first, second = (open_log(LocalDisk(), *folders) for _ in range(2))
    numbers = [log.append(entries(200, start)) for start, log in
               zip((0, 200, 400, 600), (first, second, second, first), strict=True)]  # fmt: skip
    assert [each.start for each in numbers] == [0, 200, 400, 600]
    assert logged(second) == entries(800)
    first.close()
    second.close()


def test_an_earlier_checkpoint_is_still_served() -> None:
    """The tiles of an older size stay until they are full, so a slow reader reads on."""
    disk = SimulatedDisk()
    log = open_log(disk)
    log.append(entries(10))
    old = read(disk)
    log.append(entries(20, 10))
    assert [entry for _, entry in old.entries()] == entries(10)
    log.append(entries(300, 30))
    late = LogReader(disk, FOLDER, old.checkpoint)
    assert [entry for _, entry in late.entries()] == entries(10)
    assert not [path for path in disk.paths() if "tile/0/000.p" in path]


def test_an_entry_that_is_too_long_is_refused() -> None:
    """A log takes entries of up to 65,535 bytes; of a batch with a longer one none is there."""
    log = open_log(SimulatedDisk())
    log.append([b"x" * 65_535, b""])
    with pytest.raises(ValueError, match="longer"):
        log.append([b"a", b"x" * 65_536])
    assert log.size == 2 and logged(log)[1] == b""


# Damage

FULL, LAST = f"{FOLDER}/tile/entries/000", f"{FOLDER}/tile/entries/001.p/44"
Damage = Callable[[bytes], bytes]
HOSTILE: dict[str, Damage] = {
    "a flipped bit": lambda data: data[:100] + bytes((data[100] ^ 4,)) + data[101:],
    "nothing": lambda data: b"",
    "cut in an entry": lambda data: data[:-3],
    "one entry less": lambda data: data[: -2 - int.from_bytes(data[:2], "big")],
    "zeros": lambda data: bytes(len(data)),
    "a length beyond the end": lambda data: b"\xff\xff" + data[2:],
    "one byte": lambda data: b"\x00",
    "far too long": lambda data: data * 3_000,
}


@pytest.mark.parametrize("damage", HOSTILE)
@pytest.mark.parametrize("path", [FULL, f"{FOLDER}/tile/0/000"])
def test_a_hostile_tile_is_never_believed(damage: str, path: str) -> None:
    """Whatever a tile or a bundle holds: an error, and no entry and no proof from it."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(300))
    disk.put(path, HOSTILE[damage](disk.contents(path)))
    for ask in (lambda: list(read(disk).entries()), lambda: read(disk).bundle(0)):
        with pytest.raises(AuditDamaged):
            ask()
    if path != FULL:
        with pytest.raises(AuditDamaged):
            read(disk).inclusion(5)


def test_a_damaged_tile_is_made_again_from_the_entries() -> None:
    """Edge tiles that are lost do not stop the log: they follow from the bundles."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(300))
    disk.remove(f"{FOLDER}/tile/0")
    disk.put(f"{FOLDER}/tile/1/000.p/1", bytes(32))
    log = open_log(disk)
    log.append(entries(5, 300))
    assert logged(log) == entries(305)
    disk.put(f"{FOLDER}/tile/0/000", bytes(8_192))
    assert log.mend() == ["tile/0/000"]


def test_the_last_bundle_has_a_second_copy() -> None:
    """Its loss does not stop the log either; the loss of both is an error and no guess."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(300))
    disk.put(LAST, b"rotten")
    log = open_log(disk)
    log.append(entries(1, 300))
    assert logged(log) == entries(301)
    disk.remove(f"{FOLDER}/tile/entries/001.p")
    disk.remove(PRIVATE)
    with pytest.raises(AuditDamaged):
        open_log(disk)


def test_entries_that_differ_are_not_appended_to() -> None:
    """A log whose entries do not give its root takes nothing more."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(300))
    disk.put(f"{FOLDER}/tile/0/001.p/44", bytes(44 * 32))
    disk.put(FULL, disk.contents(FULL).replace(b'"n":7}', b'"n":8}'))
    with pytest.raises(AuditDamaged):
        open_log(disk).append(entries(1))


def test_a_log_without_its_checkpoint_is_not_begun_anew() -> None:
    """Where tiles lie, an empty log would be a lie."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(3))
    disk.remove(f"{FOLDER}/checkpoint")
    with pytest.raises(AuditDamaged):
        open_log(disk)


def test_the_log_of_other_keys_is_not_appended_to() -> None:
    """Somebody else's keys open nothing."""
    disk = SimulatedDisk()
    open_log(disk)
    with pytest.raises(AuditDamaged):
        open_log(disk, by=signer("example.com/other"))


def test_a_place_that_is_not_in_the_log_has_no_proof() -> None:
    """Behind the end, and before the beginning."""
    disk = SimulatedDisk()
    open_log(disk).append(entries(3))
    for index in (-1, 3):
        with pytest.raises(EventNotLogged):
            read(disk).inclusion(index)
    with pytest.raises(AuditDamaged, match="cut off"):
        read(disk).consistency(4)


@pytest.mark.parametrize("reason", ["io", "full"])
def test_what_cannot_be_stored_stops_with_audit_unavailable(reason: str) -> None:
    """A disk that refuses at any call: the typed error, and afterwards all of the batch or none of it."""
    disk = SimulatedDisk()
    log = open_log(disk)
    log.append(entries(3))
    begun = disk.calls
    log.append(entries(3, 3))
    calls = disk.calls - begun
    for at in range(1, calls + 1):
        disk = SimulatedDisk()
        log = open_log(disk)
        log.append(entries(3))
        disk.faults = [Refuse(disk.calls + at, reason)]
        try:
            log.append(entries(3, 3))
        except AuditUnavailable:
            assert logged(log) in (entries(3), entries(6))
        if log.reader().size == 3:
            log.append(entries(3, 3))
        assert logged(log) == entries(6)


def test_a_turn_that_another_holds_ends_with_audit_unavailable() -> None:
    """The wait is bounded."""
    clock, disk = SimulatedClock(), SimulatedDisk()
    log = open_log(disk, clock=clock)
    with open_log(disk).turn(), pytest.raises(AuditUnavailable, match="Another process"):
        log.append(entries(1))
