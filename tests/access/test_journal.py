"""The journal keeps what it acknowledged through crashes, rot and lost files, and forgets what it must."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.journal import Journal
from carma.errors import JournalBusy, JournalDamaged, StorageError, TooLarge
from carma.ports.disk import LocalDisk
from carma.testing import Crash, Refuse, SimulatedClock, SimulatedCrash, SimulatedDisk

FOLDER = "/keys"
COPIES = 4
PATHS = [f"{FOLDER}/{number}.log" for number in range(COPIES)]
POWER_SEEDS = 3

Content = list[bytes]


def opened(disk: SimulatedDisk) -> Journal:
    return Journal(disk, FOLDER, clock=SimulatedClock(), wait_ms=50)


def content(journal: Journal) -> Content:
    """All records, as a process reads them that has just come."""
    records = journal.news()
    assert journal.start_over or not records
    return records


def add(journal: Journal, *records: bytes) -> None:
    with journal.turn():
        journal.append(records)


class Workload:
    """Appends and rewrites, and remembers which contents a restart may find."""

    def __init__(self) -> None:
        self.allowed: list[Content] = [[]]

    def run(self, disk: SimulatedDisk) -> None:
        journal = opened(disk)
        self.step(journal, [b"one"], rewrite=False)
        self.step(journal, [b"two", b"three " * 200, b"four"], rewrite=False)
        self.step(journal, [b"five", b"six " * 150], rewrite=True)
        self.step(journal, [b"seven", b"eight"], rewrite=False)
        self.step(journal, [b"nine"], rewrite=True)
        self.step(journal, [b"ten"], rewrite=False)
        journal.close()

    def step(self, journal: Journal, records: Content, *, rewrite: bool) -> None:
        held = self.allowed[-1]
        self.allowed = [held, records if rewrite else held + records]
        with journal.turn():
            (journal.rewrite if rewrite else journal.append)(records)
        self.allowed = [self.allowed[1]]


def calls() -> int:
    disk = SimulatedDisk()
    Workload().run(disk)
    return disk.calls


CALLS = calls()


def check_found(disk: SimulatedDisk, allowed: list[Content]) -> None:
    """A process that comes finds one of the contents, without loss, and all copies equal; twice the same."""
    journal = opened(disk)
    found = content(journal)
    assert found in allowed
    assert not journal.lost
    journal.close()
    if disk.is_folder(FOLDER):
        assert len({disk.contents(path) for path in PATHS}) == 1
    again = opened(disk)
    assert content(again) == found
    add(again, b"later")
    assert again.news() == [b"later"]
    again.close()


@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_killed_at_any_call_keeps_what_was_acknowledged(when: str) -> None:
    """Each append and rewrite is there wholly or not at all, wherever the process dies."""
    for at in range(1, CALLS + 1):
        disk, workload = SimulatedDisk([Crash(at, when)], seed=at), Workload()
        try:
            workload.run(disk)
        except SimulatedCrash:
            disk.restart()
            check_found(disk, workload.allowed)


def test_power_lost_at_any_call_keeps_what_was_acknowledged() -> None:
    """The same when unsynced writes and names survive, vanish or tear independently of each other."""
    for at in range(1, CALLS + 1):
        disk, workload = SimulatedDisk([Crash(at)], seed=at), Workload()
        with pytest.raises(SimulatedCrash):
            workload.run(disk)
        for seed in range(POWER_SEEDS):
            check_found(disk.power_loss(at * POWER_SEEDS + seed), workload.allowed)


def test_killed_while_mending_loses_nothing() -> None:
    """Copies with different damage are mended; dying at any call of it leaves what can still be mended."""
    for at in range(1, 80):
        disk = SimulatedDisk()
        journal = opened(disk)
        add(journal, b"one")
        add(journal, b"two")
        add(journal, b"three")
        journal.close()
        for number, path in enumerate(PATHS):
            data = bytearray(disk.contents(path))
            data[60 + 75 * number] ^= 1
            disk.put(path, bytes(data))
        disk.faults = [Crash(disk.calls + at, "middle")]
        try:
            opened(disk).news()
        except SimulatedCrash:
            pass
        else:
            break
        disk.restart()
        check_found(disk, [[b"one", b"two", b"three"]])
    else:
        pytest.fail("mending never came to its end")


def test_an_append_that_the_disk_refused_is_not_seen_by_anybody() -> None:
    """Whichever call fails, the other process sees the old content or the new one, and writing goes on."""
    for reason in ("io", "full"):
        for at in range(1, 60):
            disk = SimulatedDisk()
            first, second = opened(disk), opened(disk)
            add(first, b"one")
            disk.faults = [Refuse(disk.calls + at, reason)]
            try:
                add(first, b"two", b"three")
                acknowledged = True
            except StorageError:
                acknowledged = False
            disk.faults = []
            seen = content(second)
            assert seen == [b"one", b"two", b"three"] or (not acknowledged and seen == [b"one"])
            add(first, b"four")
            assert second.news() == [b"four"]
            check_found(disk, [[*seen, b"four"]])


def small() -> SimulatedDisk:
    """A disk with a small journal of five records, of which two were rewritten."""
    disk = SimulatedDisk()
    journal = opened(disk)
    add(journal, b"old")
    with journal.turn():
        journal.rewrite([b"a", b"bc"])
    add(journal, b"def", b"")
    add(journal, b"g")
    journal.close()
    return disk


SMALL = [b"a", b"bc", b"def", b"", b"g"]


@pytest.mark.parametrize("kept", range(COPIES))
def test_any_three_of_four_files_may_be_lost(kept: int) -> None:
    """One file is enough, whether the others are gone, empty or full of noise; all four are there again."""
    damages: list[Callable[[SimulatedDisk, str], None]] = [
        lambda disk, path: disk.remove(path),
        lambda disk, path: disk.put(path, b""),
        lambda disk, path: disk.put(path, bytes(range(256)) * 3),
    ]
    for damage in damages:
        disk = small()
        for path in PATHS:
            if path != PATHS[kept]:
                damage(disk, path)
        check_found(disk, [SMALL])


def test_any_flipped_bit_costs_nothing() -> None:
    """Every single bit of the first file and of the one with the newest number, some of the last file."""
    clean = small()
    for path, step in ((PATHS[0], 1), (PATHS[3], 11), (f"{FOLDER}/newest", 1)):
        data = clean.contents(path)
        for bit in range(0, len(data) * 8, step):
            disk = clean.copy()
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            disk.put(path, bytes(flipped))
            journal = opened(disk)
            assert journal.news() == SMALL
            assert not journal.lost
            assert disk.contents(path) == data


def test_what_differs_in_each_copy_is_put_together() -> None:
    """Four copies with four different records damaged, and one without its end, still hold everything."""
    disk = small()
    for number, path in enumerate(PATHS):
        data = bytearray(disk.contents(path))
        data[90 + 73 * number] ^= 4
        disk.put(path, bytes(data[: -10 * (number == 1) or None]))
    journal = opened(disk)
    findings = journal.check()
    assert len(findings) == COPIES
    assert journal.check() == []
    assert journal.news() == SMALL


def test_what_no_copy_holds_is_named_and_the_rest_is_kept() -> None:
    """The same record damaged in all copies is reported, after a restart too; nothing takes its place."""
    disk = small()
    start = disk.contents(PATHS[0]).index(b"def")
    for path in PATHS:
        data = bytearray(disk.contents(path))
        data[start] ^= 1
        disk.put(path, bytes(data))
    for _ in range(2):
        journal = opened(disk)
        assert journal.news() == [b"a", b"bc", b"", b"g"]
        assert len(journal.lost) == 1
        assert any("no copy" in finding for finding in journal.check())
    add(journal, b"h")
    assert opened(disk).news() == [b"a", b"bc", b"", b"g", b"h"]


def test_an_end_that_was_acknowledged_and_is_gone_is_a_loss() -> None:
    """All copies cut by one record: the newest number is a witness that it had been there."""
    disk = small()
    for path in PATHS:
        disk.put(path, disk.contents(path)[:-20])
    journal = opened(disk)
    assert journal.news() == SMALL[:-1]
    assert len(journal.lost) == 1


@pytest.mark.parametrize("left", [b"", b"noise " * 50])
def test_when_all_copies_are_gone_it_says_so(left: bytes) -> None:
    """It does not begin anew as if nothing had been there, and it changes nothing."""
    disk = small()
    for path in PATHS:
        disk.put(path, left)
    journal = opened(disk)
    with pytest.raises(JournalDamaged):
        journal.news()
    with pytest.raises(JournalDamaged):
        add(journal, b"new")
    assert [disk.contents(path) for path in PATHS] == [left] * COPIES


def test_an_older_copy_that_was_put_back_does_not_count() -> None:
    """A copy from before a rewrite is overwritten, and what it held does not come back."""
    disk = SimulatedDisk()
    journal = opened(disk)
    add(journal, b"secret of old", b"more")
    old = disk.contents(PATHS[2])
    with journal.turn():
        journal.rewrite([b"new"])
    for path in PATHS[1:]:
        disk.put(path, old)
    assert content(opened(disk)) == [b"new"]
    assert not any(b"secret of old" in disk.contents(path) for path in disk.paths())


def test_a_rewrite_leaves_no_old_byte() -> None:
    """Longer or shorter than before: nothing of the old records is in any file, and it was overwritten."""
    for new in ([b"short"], [b"long " * 400]):
        disk = SimulatedDisk()
        journal = opened(disk)
        add(journal, b"wrapped secret " * 20, b"another")
        before, calls = disk.contents(PATHS[0]), disk.calls
        with journal.turn():
            journal.rewrite(new)
        log = disk.log[calls:]
        assert journal.news() == new and journal.start_over
        for path in disk.paths():
            assert b"wrapped secret" not in disk.contents(path)
        assert not any(action in ("rename", "unlink") for action, _ in log)
        cuts = [at for at, (action, _) in enumerate(log) if action == "truncate"]
        assert bool(cuts) == (len(disk.contents(PATHS[0])) < len(before))
        assert all(log[at - 2][0] == "sync" for at in cuts)


def test_another_reader_sees_appends_and_rewrites_at_once() -> None:
    """`mark` differs after each change, and `news` says whether to start over."""
    disk = SimulatedDisk()
    writer, reader = opened(disk), opened(disk)
    add(writer, b"one")
    assert content(reader) == [b"one"]
    mark = reader.mark()
    assert reader.mark() == mark and reader.news() == []
    add(writer, b"two", b"three")
    assert reader.mark() != mark
    assert reader.news() == [b"two", b"three"] and not reader.start_over
    with writer.turn():
        writer.rewrite([b"three"])
    assert reader.news() == [b"three"] and reader.start_over
    add(reader, b"four")
    assert writer.news()[-1:] == [b"four"]
    assert reader.news() == [b"four"] and not reader.start_over


def test_nothing_new_costs_one_read() -> None:
    """A reader that has seen everything makes a single call of the disk."""
    disk = SimulatedDisk()
    journal = opened(disk)
    add(journal, b"one")
    journal.news()
    journal.news()
    before = disk.calls
    assert journal.news() == []
    assert disk.calls == before + 1


def test_a_folder_that_cannot_be_written_can_be_read() -> None:
    """With a damaged copy too; nothing is changed."""
    disk = small()
    disk.put(PATHS[0], b"")
    disk.read_only = True
    reader = opened(disk)
    assert reader.news() == SMALL and reader.news() == []
    assert reader.check() == [f"{PATHS[0]} differs in 6 records."]
    disk.read_only = False
    add(opened(disk), b"h")
    disk.read_only = True
    assert reader.news() == [b"h"]


def test_no_folder_is_an_empty_journal() -> None:
    """Reading makes nothing."""
    disk = SimulatedDisk()
    assert opened(disk).news() == [] and opened(disk).check() == []
    assert disk.paths() == []


def test_bounds_are_kept() -> None:
    """A record that is too long, and a turn that is not given back, are refused with their own errors."""
    disk = SimulatedDisk()
    first, second = opened(disk), opened(disk)
    with first.turn():
        with pytest.raises(TooLarge):
            first.append([bytes((1 << 20) + 1)])
        with pytest.raises(JournalBusy), second.turn():
            pass
    add(second, b"now")
    assert first.news() == [b"now"]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.lists(st.binary(max_size=40), max_size=4)), max_size=12
    )
)
def test_three_processes_agree_on_any_history(steps: list[tuple[int, bool, Content]]) -> None:
    """Whoever appends and rewrites, each reader that applies the news ends with the same list."""
    disk = SimulatedDisk()
    journals = [opened(disk) for _ in range(3)]
    views: list[Content] = [[], [], []]
    expected: Content = []

    def read(who: int) -> None:
        records = journals[who].news()
        views[who] = records if journals[who].start_over else views[who] + records

    for who, rewrite, records in steps:
        with journals[who].turn():
            (journals[who].rewrite if rewrite else journals[who].append)(records)
        expected = records if rewrite else expected + records
        read(who)
        assert views[who] == expected
    for who in range(3):
        read(who)
    assert views == [expected] * 3


def _take_turns(folder: str, who: int, times: int) -> None:
    journal = Journal(LocalDisk(), folder)
    for number in range(times):
        with journal.turn():
            seen = journal.news()
            journal.append([b"%d %d %d" % (who, number, len(seen)), b"end"])


def test_processes_take_turns_on_a_real_disk(tmp_path: Path) -> None:
    """Three processes append at the same time: every record is there once, in each one's own order."""
    folder = str(tmp_path / "keys")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_take_turns, args=(folder, who, 15)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    records = Journal(LocalDisk(), folder).news()
    said = [tuple(map(int, record.split()[:2])) for record in records[::2]]
    assert records[1::2] == [b"end"] * 45
    assert sorted(said) == [(who, number) for who in range(3) for number in range(15)]
    for who in range(3):
        assert [number for speaker, number in said if speaker == who] == list(range(15))


def test_a_witness_taken_away_under_a_reader_is_noticed_within_a_second(tmp_path: Path) -> None:
    """The reader holds the file that was removed; it looks by name again after one second."""
    clock = SimulatedClock()
    reader, writer = (Journal(LocalDisk(), str(tmp_path / "keys"), clock=clock) for _ in range(2))
    add(writer, b"one")
    assert reader.news() == [b"one"]
    (tmp_path / "keys" / "newest").unlink()
    add(writer, b"two")
    clock.advance(1.1)
    assert reader.news() == [b"two"]


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Folder and files carry no right for group or others."""
    add(Journal(LocalDisk(), str(tmp_path / "data" / "keys")), b"one")
    for path in [tmp_path / "data" / "keys", *(tmp_path / "data" / "keys").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0


def test_any_two_damaged_files_and_a_lost_one_cost_nothing() -> None:
    """Combinations of a lost file with rot in two others, record by record."""
    for gone, one, two in combinations(range(COPIES), 3):
        disk = small()
        disk.remove(PATHS[gone])
        for number in (one, two):
            data = disk.contents(PATHS[number])
            disk.put(PATHS[number], data[:100] + bytes(150) + data[250:])
        check_found(disk, [SMALL])
