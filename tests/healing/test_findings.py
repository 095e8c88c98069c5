"""Every kind of damage is found: its kind, its place, whose it is, and whether anything is lost by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from carma.config import Settings
from carma.errors import StorageError
from carma.healing.beacon import Beacon
from carma.healing.exact import Exact
from carma.ports.clock import SystemEntropy
from carma.ports.disk import LocalDisk
from carma.reports import Finding
from carma.store.identity import read_identity
from carma.store.record import HEADER_BYTES
from carma.store.segments import REWRITTEN
from carma.store.store import open_store
from carma.testing import SeededEntropy, SimulatedClock

from .conftest import Watched
from .damaging import (
    BY_NAMES,
    DAMAGES,
    Expected,
    flip,
    lose_a_parity_file,
    open_at,
    records_of,
    rot_a_stripe,
    rot_a_text,
    seen_as,
    segment_path,
)  # fmt: skip


def findings(folder: Path, deep: bool = True, **options: object) -> list[Finding]:
    with open_at(folder, **options) as memory:
        return list(memory.scan(deep=deep).findings)


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found_by_kind_and_place(watched: Watched, damage: Callable[[Path], Expected]) -> None:
    """The deep tour finds it and nothing is lost by it; the light one finds what names and sizes show."""
    folder, _, beacon = watched
    expected = damage(folder)
    light, deep = beacon.tour().report, beacon.tour(deep=True).report
    for report in (deep, light) if damage in BY_NAMES else (deep,):
        assert any(seen_as(f) == expected for f in report.findings)
        assert all(finding.redundant for finding in report.findings)
        assert {finding.path for finding in report.findings} == {expected.path}
        assert report.lost == report.unnamed == 0
    if damage not in BY_NAMES:
        assert light.healthy


def flips_are_found(folder: Path, positions: Callable[[int], Iterable[int]]) -> None:
    """Flip one bit at each of these positions of each file in turn, and look."""
    store = open_store(LocalDisk(), str(folder), Settings(), SimulatedClock(), SystemEntropy())
    beacon = Beacon(store, Exact(store), SeededEntropy(1), keeps=False)
    files = [p for p in sorted(folder.rglob("*")) if p.parent.name in ("segments", "mirror", "parity")]
    for path in [*files, folder / "memory.json"]:
        whole = path.read_bytes()
        for bit in positions(len(whole) * 8):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            if path.name == "memory.json" and read_identity(store.disk, str(folder)) == store.identity:
                continue  # It says the same: the last digit of a number that floats do not tell apart.
            report = beacon.tour(deep=True).report
            assert {each.path for each in report.findings} == {path.relative_to(folder).as_posix()}, bit
            assert all(each.redundant for each in report.findings) and not report.lost
        path.write_bytes(whole)
    assert beacon.tour(deep=True).report.healthy
    store.close()


def test_a_flipped_bit_is_found_in_whatever_file_it_is(rested: Path) -> None:
    """Two bits of every file of a memory at rest, one after the other: the finding names that file."""
    chance = Random(11)
    flips_are_found(rested, lambda bits: [chance.randrange(bits) for _ in range(2)])


@pytest.mark.nightly
def test_every_flipped_bit_of_a_small_memory_is_found(tmp_path: Path) -> None:
    """All bits of all files of a memory of two fragments."""
    with open_at(tmp_path / "memory", settings=Settings(linger_s=0.0)) as memory:
        memory.add_many(["first", "second"])
        memory.rest()
    flips_are_found(tmp_path / "memory", range)


def test_an_outdated_registry_is_found(rested: Path) -> None:
    """A write that a manifest names and the registry does not know makes the index stale."""
    with open_at(rested) as memory:
        with memory._store.registry.transaction() as db:
            db.execute("DELETE FROM fragments WHERE seq = 7")
        (finding,) = memory.scan().findings
    assert (finding.kind, finding.seq, finding.redundant) == ("stale index", 7, True)
    assert finding.path.startswith("index/registry-")


def test_a_rotten_registry_page_is_found(rested: Path) -> None:
    """A flipped bit on a page that nobody has read is found by the deep tour."""
    (path,) = (rested / "index").glob("registry-*.sqlite")
    flip(path, path.stat().st_size - 3_000)
    found = findings(rested, read_only=True)
    assert [(each.kind, each.path) for each in found] == [("bad digest", f"index/{path.name}")]


def test_a_registry_that_rots_under_an_open_memory_is_found(watched: Watched) -> None:
    """Noise over the whole file: the deep tour reads it from the disk, whatever is cached."""
    folder, _, beacon = watched
    (path,) = (folder / "index").glob("registry-*.sqlite")
    path.write_bytes(b"\xa5" * path.stat().st_size)
    report = beacon.tour(deep=True).report
    assert {(each.kind, each.redundant) for each in report.findings} == {("bad digest", True)}
    assert all(each.path.startswith("index") for each in report.findings)
    assert report.lost == report.unnamed == 0


def test_a_segment_that_somebody_put_back_is_a_duplicate(tmp_path: Path) -> None:
    """A replaced log segment that comes back when nothing remembers it holds what stands elsewhere."""
    with open_at(tmp_path / "other", settings=Settings(linger_s=0.0)) as memory:
        memory.add_many(f"Fragment {at}." for at in range(30))
        old = tmp_path / "other/segments/000001.seg"
        kept = old.read_bytes()
        for _ in range(2):
            memory.rest()
            memory.add_many(f"Fragment {at}." for at in range(30, 60))
        memory.rest()
        assert not old.exists()
    shutil.rmtree(tmp_path / "other/index")
    old.write_bytes(kept)
    shutil.copyfile(old, tmp_path / "other/mirror/000001.seg")
    (finding,) = findings(tmp_path / "other")
    assert (finding.kind, finding.path, finding.redundant) == ("duplicate", "segments/000001.seg", True)


class FailingDisk(LocalDisk):
    """A disk that cannot read one file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self, path: str, *, write: bool = False, create: bool = False):  # type: ignore[no-untyped-def]
        if path.endswith(self.name):
            raise StorageError(f"Could not read {path}.")
        return super().open(path, write=write, create=create)


@pytest.mark.parametrize("name", [segment_path(9), "parity/000001-6.par"])
def test_an_unreadable_file_is_a_finding_and_the_tour_goes_on(rested: Path, name: str) -> None:
    """What the disk refuses is named; everything else is looked at."""
    rot_a_text(rested)
    found = findings(rested, disk=FailingDisk(name))
    assert {(each.kind, each.path) for each in found} == {
        ("unreadable", name),
        ("bad digest", segment_path(5)),
    }


@pytest.mark.parametrize("read_repair_bytes", [Settings().read_repair_bytes, 64])
def test_a_loss_has_the_ids_of_what_is_lost(rested: Path, read_repair_bytes: int) -> None:
    """Beyond the parity every record is named, and what can be decoded is redundant; in wide stripes the
    shards are only counted, with the same result.
    """
    gone = rot_a_stripe(rested, 2, members=9)
    rot_a_stripe(rested, 5, members=1)
    settings = Settings(read_repair_bytes=read_repair_bytes)
    with open_at(rested, read_only=True, settings=settings) as memory:
        report = memory.scan(deep=True)
    lost = [each for each in report.findings if not each.redundant]
    assert {each.id for each in lost} == {record.id.hex() for record in gone}
    assert {each.seq for each in lost} == {record.seq for record in gone}
    assert (report.damaged, report.lost, len(report.findings)) == (10, 9, 10)


def test_after_a_hit_the_light_tour_looks_closely_at_the_spread(rested: Path) -> None:
    """A flipped bit that the light tour would pass over is found because a file beside it is missing."""
    expected = rot_a_text(rested)
    assert not findings(rested, deep=False)
    lose_a_parity_file(rested)
    found = findings(rested, deep=False)
    assert expected in {seen_as(f) for f in found}
    assert len(found) == 2


# The log, and what has no manifest


def test_a_write_that_rotted_in_both_copies_is_lost(tmp_path: Path) -> None:
    """Found at its place in the tail of an open memory, with its fragment's id; its neighbours are whole."""
    with open_at(tmp_path) as memory:
        notes = memory.add_many(f"Note {at}." for at in range(5))
        for place in ("segments", "mirror"):
            path = tmp_path / place / "000001.seg"
            flip(path, path.read_bytes().index(b"Note 2."))
        report = memory.scan(deep=True)
        (finding,) = report.findings
        assert (finding.kind, finding.path, finding.redundant) == ("bad digest", "segments/000001.seg", False)
        assert (finding.id, finding.seq) == (notes[2].id, notes[2].seq)
        assert (report.damaged, report.lost) == (1, 1)
        assert [each.id for each in memory.blanks()] == [notes[2].id]


def test_an_unfinished_write_at_the_end_is_no_finding(tmp_path: Path) -> None:
    """Half a record behind the last one, in one copy or in both, was never acknowledged."""
    with open_at(tmp_path) as memory:
        memory.add("first")
        begun = (tmp_path / "segments/000001.seg").read_bytes()
        memory.add("second")
        both = (tmp_path / "segments/000001.seg").read_bytes()
        half = both[len(begun) : len(begun) + 60]
        for place in ("segments", "mirror"):
            with (tmp_path / place / "000001.seg").open("ab") as file:
                file.write(half)
            assert memory.scan().healthy
            assert memory.scan(deep=True).healthy


def test_a_lost_tail_is_never_healthy(tmp_path: Path) -> None:
    """Both copies of the log are gone: every write is a loss or a gap."""
    with open_at(tmp_path) as memory:
        memory.add_many(f"Note {at}." for at in range(5))
        for place in ("segments", "mirror"):
            (tmp_path / place / "000001.seg").unlink()
        report = memory.scan()
        assert not report.healthy
        assert report.lost + report.unnamed == 6, "five notes, and which embedder filled the memory"


def test_without_a_manifest_the_segments_are_still_looked_at(rested: Path) -> None:
    """The folder of parity is gone: nothing is lost by it yet; a record that rots then is."""
    shutil.rmtree(rested / "parity")
    with open_at(rested, read_only=True) as memory:
        report = memory.scan(deep=True)
    assert {(each.kind, each.path) for each in report.findings} == {("missing file", "parity")}
    assert all(each.redundant for each in report.findings) and report.damaged == 0
    item = records_of(rested, REWRITTEN + 5)[6]
    flip(rested / segment_path(5), item.header.offset + HEADER_BYTES + 5)
    with open_at(rested, read_only=True) as memory:
        report = memory.scan(deep=True)
    (lost,) = [each for each in report.findings if each.seq]
    assert (lost.path, lost.offset, lost.id) == (segment_path(5), item.header.offset, item.header.id.hex())
    assert not lost.redundant and report.lost == 1


def test_a_lost_index_is_found(watched: Watched) -> None:
    """The folder of the index is gone under an open memory."""
    folder, _, beacon = watched
    shutil.rmtree(folder / "index")
    found = beacon.tour().report.findings
    assert [(each.kind, each.path, each.redundant) for each in found] == [("missing file", "index", True)]


def test_what_was_left_behind_is_still_named(rested: Path) -> None:
    """Purging writes files anew without what is lost in them; the losses stay findings and blanks."""
    gone = rot_a_stripe(rested)
    with open_at(rested, settings=Settings(linger_s=0.0)) as memory:
        memory.scan(deep=True)
        memory.clear_breaker()
        victim = next(each for each in memory.list(limit=300) if each.state == "intact")
        memory.delete(victim.id, purge=True)
        report = memory.scan(deep=True)
        assert {each.seq for each in report.findings} == {record.seq for record in gone}
        assert report.lost == 9 and not report.breaker and report.unnamed == 0
        assert {each.id for each in memory.blanks()} == {record.id.hex() for record in gone}
    shutil.rmtree(rested / "index")
    with open_at(rested) as memory:
        assert memory.scan(deep=True).lost == 9
        assert {each.id for each in memory.blanks()} == {record.id.hex() for record in gone}
