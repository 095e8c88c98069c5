"""Rest rewrites little, drops only what is dead, and can stop anywhere."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.faults.scenario import (
    FOLDER,
    LINGER_S,
    Promised,
    Writer,
    check_all,
    check_reopening,
    everything,
    id_of,
    open_on,
    text_of,
)

from carma.ports.disk import LocalDisk
from carma.store.manifest import Manifest
from carma.store.plan import Plan
from carma.store.record import RecordKind
from carma.store.repair import restore_file
from carma.store.rest import respread
from carma.store.segments import COPIES, PARITY, REWRITTEN, Segments, is_log
from carma.store.spread import gather, write_spreads
from carma.store.store import Store
from carma.store.sweep import is_whole, sweep_files
from carma.testing import (
    Crash,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
)

CHANGES = {"write", "create", "rename", "unlink", "truncate", "mkdir"}


def filled(count: int, clock: SimulatedClock | None = None) -> tuple[SimulatedDisk, Promised]:
    """A memory at rest with so many fragments, and nothing left over."""
    clock = clock or SimulatedClock()
    disk, promised = SimulatedDisk(clock=clock), Promised()
    store = open_on(disk, clock)
    Writer(store, promised).say(*((number, text_of(number, 1)) for number in range(1, count + 1)))
    rest(store)
    store.close()
    return disk, promised


def rest(store: Store, dead_share: float = 0.5, linger_s: float = 0.0) -> None:
    respread(store, None, dead_share=dead_share)
    sweep_files(store, linger_s)


def names(disk: SimulatedDisk) -> set[str]:
    return {path for path in disk.paths() if "/segments/c" in path or "/parity/" in path}


def spread_numbers(store: Store) -> list[int]:
    return [manifest.head.spread for manifest in store.spreads.manifests()]


# How much is written


def test_a_rest_after_a_rest_writes_nothing() -> None:
    """Nor does an opening and closing without a write, once what was replaced has gone."""
    disk, _ = filled(30)
    before = {path: disk.contents(path) for path in disk.paths()}
    store = open_on(disk)
    calls = len(disk.log)
    rest(store)
    rest(store, dead_share=0.0)
    assert not [action for action, _ in disk.log[calls:] if action in CHANGES]
    store.close()
    assert {path: disk.contents(path) for path in disk.paths()} == before


def test_one_new_fragment_beside_a_big_memory_rewrites_little() -> None:
    """A twentieth of the memory on the average, a tenth at most, and the spreads stay few."""
    clock = SimulatedClock()
    disk, promised = filled(600, clock)
    total = sum(len(disk.contents(path)) for path in names(disk))
    store = open_on(disk, clock)
    written = []
    for number in range(601, 631):
        before = names(disk)
        Writer(store, promised).say((number, text_of(number, 1)))
        rest(store)
        written.append(sum(len(disk.contents(path)) for path in names(disk) - before))
        assert 0 < written[-1] < total / 10
        assert len(spread_numbers(store)) <= 4
    assert sum(written) / len(written) < total / 20
    check_all(store, promised)
    store.close()


# Numbers


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_numbers_are_never_reused(tmp_path: Path, index: str) -> None:
    """Over many rests, also when everything was deleted and the registry is lost between them."""
    clock = SimulatedClock()
    folder = str(tmp_path / "memory")
    chance = random.Random(1)
    used: set[int] = set()
    here: set[int] = set()
    promised = Promised()
    for turn in range(14):
        store = open_on(LocalDisk(), clock, folder)
        writer = Writer(store, promised)
        alive = [int.from_bytes(id, "big") for id, said in promised.said.items() if said[1] is not None]
        if turn % 5 == 4:
            writer.say(*((number, None) for number in alive))
        else:
            numbers = range(turn * 4, turn * 4 + chance.randint(1, 4))
            writer.say(*((number, text_of(number, 1)) for number in numbers))
        rest(store, dead_share=0.01, linger_s=chance.choice([0.0, LINGER_S]))
        clock.advance(chance.choice([0.0, LINGER_S + 1]))
        now = {*store.segments.numbers(), *store.segments.columns()}
        fresh = {number for number in now - here if number >= REWRITTEN}
        assert not fresh & used
        used |= fresh
        here = now
        check_all(store, promised)
        store.close()
        if index == "lost":
            for file in (tmp_path / "memory" / "index").iterdir():
                file.unlink()
    assert len(used) > 50


def orphan(store: Store, spread: int, first: int) -> Manifest:
    """Spread the tail and die before it is announced: what lies there then."""
    with store.alone():
        store.settle()
        number = store.cursor.segment
        store.seal_alone()
        plan, records, _ = gather(store, Plan([number], (), number, spread, first), False)
        (manifest,) = write_spreads(store, plan, records, [], None)
    return manifest


def test_the_number_of_a_swept_orphan_does_not_bring_its_manifest_back(tmp_path: Path) -> None:
    """A reader that has seen a spread which was never announced does not take it for a later one."""
    clock = SimulatedClock()
    folder = str(tmp_path / "memory")
    promised = Promised()
    store = open_on(LocalDisk(), clock, folder)
    writer = Writer(store, promised)
    writer.say((1, text_of(1, 1)), (2, text_of(2, 1)))
    rest(store)
    writer.say((3, text_of(3, 1)), (4, text_of(4, 1)))
    dead = orphan(store, 2, REWRITTEN + 3)
    store.close()
    reader = open_on(LocalDisk(), clock, folder)
    assert spread_numbers(reader) == [1, 2]
    store = open_on(LocalDisk(), clock, folder)
    check_all(store, promised)
    sweep_files(store, -1e12)
    assert spread_numbers(store) == [1]
    assert {name for name in (tmp_path / "memory" / "parity").iterdir() if "000002-" in name.name} == set()
    Writer(store, promised).say((3, text_of(3, 2)), (5, text_of(5, 1)))
    rest(store)
    (manifest,) = (each for each in store.spreads.manifests() if each.head.spread >= dead.head.spread)
    check_all(store, promised)
    store.close()
    check_all(reader, promised)
    assert [each.head for each in reader.spreads.manifests()][-1] == manifest.head
    reader.close()


# Stopping anywhere


def paths_of(store: Store, numbers: Sequence[int]) -> list[str]:
    """Both copies of log segments; the files of spreads."""
    return [
        store.segments.path(copy, number)
        for number in numbers
        for copy in (COPIES if is_log(number) else COPIES[:1])
    ]


def interrupted(when: str) -> Iterator[tuple[SimulatedDisk, SimulatedClock, Promised]]:
    """A memory whose second spreading died at every second call of the disk port, others for each kind."""
    at = -1 if when == "before" else 0
    while True:
        at += 2
        clock = SimulatedClock()
        disk, promised = filled(4, clock)
        store = open_on(disk, clock)
        Writer(store, promised).say((1, text_of(1, 2)), (2, None), (9, text_of(9, 1)))
        disk.faults = [Crash(disk.calls + at, when)]  # type: ignore[arg-type]
        try:
            respread(store, None, dead_share=0.01)
        except SimulatedCrash:
            disk.restart()
            yield disk, clock, promised
        else:
            return


@pytest.mark.parametrize("when", ["before", "middle"])
def test_an_interrupted_spreading_leaves_nothing_that_sweeping_does_not_remove(when: str) -> None:
    """After the next rest, and with the parity files written that the interruption left out, every file
    belongs to a spread that is whole and whose records are known; nothing is lost or comes back.
    """
    seen = 0
    for disk, clock, promised in interrupted(when):
        seen += 1
        store = open_on(disk, clock)
        check_all(store, promised)
        clock.advance(LINGER_S + 1)
        rest(store, dead_share=0.01, linger_s=LINGER_S)
        replaced = {row[0] for row in store.registry.rows("SELECT segment FROM rewritten")}
        for manifest in store.spreads.manifests():
            # One that lacks files is written anew by the rest, and then what it replaced may go.
            if manifest.head.first not in replaced and not is_whole(store, manifest):
                # Its manifest was read when the registry was built, so it counts; what it replaces stays.
                assert all(disk.paths().count(path) for path in paths_of(store, manifest.head.inputs))
                assert all(restore_file(store, number) == 0 for number in manifest.columns)
        clock.advance(LINGER_S + 1)
        sweep_files(store, LINGER_S)
        check_all(store, promised)
        manifests = store.spreads.manifests()
        assert all(is_whole(store, manifest) for manifest in manifests)
        named = {number for each in manifests for number in (*each.segments, *each.columns)}
        there = {number for number in store.segments.numbers() if number >= REWRITTEN}
        assert there | set(store.segments.columns()) == named
        assert not [path for path in disk.paths() if path.endswith(".new")]
        placed = {row[0] for row in store.registry.rows("SELECT segment FROM fragments")}
        assert placed <= named
        assert {seq for each in manifests for seq in (record.seq for record in each.records)} >= {
            row[0] for row in store.registry.rows("SELECT seq FROM fragments")
        }
        store.close()
        check_reopening(disk, promised)
    assert seen > 25


def replaced(disk: SimulatedDisk, clock: SimulatedClock, promised: Promised) -> tuple[Store, set[str]]:
    """A memory whose old spread has just been replaced by a new one; the old files."""
    clock.advance(LINGER_S + 1)
    old = names(disk)
    store = open_on(disk, clock)
    Writer(store, promised).say((1, text_of(1, 2)), (2, None), (9, text_of(9, 1)))
    respread(store, None, dead_share=0.01)
    assert len(spread_numbers(store)) == 2
    return store, old


def test_what_was_replaced_stays_for_readers_until_its_time_is_up() -> None:
    """However old it is: the time runs from when it was replaced."""
    clock = SimulatedClock()
    disk, promised = filled(4, clock)
    store, old = replaced(disk, clock, promised)
    sweep_files(store, LINGER_S)
    assert names(disk) > old
    clock.advance(LINGER_S - 2)
    sweep_files(store, LINGER_S)
    assert names(disk) > old
    clock.advance(3)
    sweep_files(store, LINGER_S)
    assert not names(disk) & old
    check_all(store, promised)
    store.close()


@pytest.mark.parametrize("rot", ["segment", "parity", "lost"])
def test_what_was_replaced_stays_until_every_file_of_its_successor_is_whole(rot: str) -> None:
    """One damaged or missing file of the new spread keeps the old one; once repaired, the old one goes."""
    clock = SimulatedClock()
    disk, promised = filled(4, clock)
    store, old = replaced(disk, clock, promised)
    path = max(path for path in names(disk) if ("/segments/" in path) == (rot == "segment"))
    data = disk.contents(path)
    disk.remove(path)
    if rot != "lost":
        disk.put(path, data[:-1] + bytes([data[-1] ^ 1]))
    store.segments.close()
    for _ in range(2):
        clock.advance(LINGER_S + 1)
        sweep_files(store, LINGER_S)
        assert names(disk) > old - {path}
        assert old <= names(disk)
    (manifest,) = (each for each in store.spreads.manifests() if each.head.spread == 2)
    assert all(restore_file(store, number) == 0 for number in (*manifest.segments, *manifest.columns))
    assert disk.contents(path) == data
    sweep_files(store, LINGER_S)
    assert not names(disk) & old
    check_all(store, promised)
    store.close()


# What is kept and what is dropped


def lose(disk: SimulatedDisk, text: str) -> None:
    """Destroy the record of a text and every parity record of its spread; the manifests stay."""
    wanted = text.encode()
    (path,) = [path for path in names(disk) if wanted in disk.contents(path)]
    disk.put(path, disk.contents(path).replace(wanted, b"\0" * len(wanted)))
    store = open_on(disk, read_only=True)
    for manifest in store.spreads.manifests():
        for at, number in enumerate(manifest.columns):
            name = Segments(disk, FOLDER).path("segments", number)
            data = bytearray(disk.contents(name))
            start, size = manifest.start(at), manifest.parity_bytes
            data[start : start + size] = bytes(size)
            disk.put(name, bytes(data))
    store.close()


def test_a_spread_with_a_record_that_nothing_gives_back_is_never_merged_nor_dropped() -> None:
    """It waits for healing: its files stay as they are, whatever is written, deleted and swept beside it, and
    the record stays a blank.
    """
    clock = SimulatedClock()
    disk, promised = filled(6, clock)
    lose(disk, text_of(4, 1))
    kept = {path: disk.contents(path) for path in names(disk)}
    blanks = frozenset([id_of(4)])
    store = open_on(disk, clock)
    assert everything(store)[id_of(4)] == (1, "")
    for number in (20, 21, 22):
        Writer(store, promised).say((number, text_of(number, 1)), (number - 19, None))
        clock.advance(LINGER_S + 1)
        done = respread(store, None, dead_share=0.0)
        assert done.skipped_damaged == 1
        sweep_files(store, 0.0)
        assert {path: disk.contents(path) for path in kept} == kept
        check_all(store, promised, blanks)
        assert everything(store)[id_of(4)] == (1, "")
    store.close()
    check_reopening(disk, promised, blanks)


def test_compaction_drops_the_dead_and_keeps_tombstones() -> None:
    """Of each fragment the newest version and as many older ones as the settings say; of a deleted one only
    that it was deleted.
    """
    clock = SimulatedClock()
    disk, promised = filled(8, clock)
    store = open_on(disk, clock)
    writer = Writer(store, promised)
    for version in (2, 3, 4):
        writer.say((1, text_of(1, version)))
    writer.say((2, None), (3, None))
    rest(store, dead_share=0.01)
    (manifest,) = store.spreads.manifests()
    held = {(int.from_bytes(r.id, "big"), r.version, r.kind) for r in manifest.records}
    fragment, tombstone = RecordKind.FRAGMENT, RecordKind.TOMBSTONE
    assert held == {
        (1, 4, fragment), (1, 3, fragment), (2, 2, tombstone), (3, 2, tombstone),
        *((number, 1, fragment) for number in range(4, 9)),
    }  # fmt: skip
    gone = [text_of(1, 1), text_of(1, 2), text_of(2, 1), text_of(3, 1)]
    for path in disk.paths():
        assert not [text for text in gone if text.encode() in disk.contents(path)]
    store.close()
    for path in [path for path in disk.paths() if "/mirror/" in path or path.endswith(".json")]:
        disk.remove(path)
    check_reopening(disk, promised)


def test_no_write_counts_as_lost_that_was_left_out_on_purpose() -> None:
    """What is kept and what the manifests say was dropped are all writes there ever were, without the
    registry.
    """
    clock = SimulatedClock()
    disk, promised = filled(5, clock)
    for version in (2, 3, 4, 5):
        store = open_on(disk, clock)
        Writer(store, promised).say((1, text_of(1, version)), (version, None), (30, text_of(30, version)))
        rest(store, dead_share=0.01)
        kept = {record.seq for each in store.spreads.manifests() for record in each.records}
        dropped = {
            seq
            for each in store.spreads.manifests()
            for first, last in each.head.dropped
            for seq in range(first, last + 1)
        }
        assert kept | dropped == set(range(1, store.last_seq + 1))
        assert not kept & dropped
        store.close()


def test_a_deleted_text_is_gone_from_every_file_also_when_the_registry_was_rebuilt_meanwhile() -> None:
    """A spread that was replaced goes when its time is up, though a rebuild has met the dead in it."""
    clock = SimulatedClock()
    disk, promised = filled(4, clock)
    store = open_on(disk, clock)
    Writer(store, promised).say((1, None), (2, None), (3, None))
    rest(store, dead_share=0.5, linger_s=LINGER_S)
    store.close()
    clock.advance(LINGER_S + 1)
    store = open_on(disk, clock)
    check_all(store, promised)
    rest(store, dead_share=0.0)
    for path in disk.paths():
        assert b"fragment 1 version" not in disk.contents(path)
    store.close()


def test_a_deleted_text_is_gone_from_every_file_after_rest_and_linger() -> None:
    """Without `purge`: once enough is dead, the spread is written anew and the old files go."""
    clock = SimulatedClock()
    disk, promised = filled(4, clock)
    store = open_on(disk, clock)
    Writer(store, promised).say((1, None), (2, None), (3, None))
    rest(store, dead_share=0.5)
    for path in disk.paths():
        assert b"fragment 1 version" not in disk.contents(path)
    assert not [number for number in store.segments.columns() if (number - PARITY) >> 4 == 1]
    store.close()
