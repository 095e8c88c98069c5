"""Who reads a journal sees what was acknowledged, also while others write, fail, or the disk is full."""

from __future__ import annotations

import pytest

from carma.access.frames import encode
from carma.access.journal import Journal
from carma.errors import StorageError
from carma.testing import SimulatedDisk

from .test_journal import FOLDER, PATHS, SMALL, add, opened, small


def written(disk: SimulatedDisk, journal: Journal, record: bytes, paths: list[str]) -> dict[str, bytes]:
    """Put an append that nobody has acknowledged into some copies; what these were before."""
    with journal.turn():
        before = {path: disk.contents(path) for path in paths}
        data = encode([record], journal._generation, journal._newest + 1, journal._end)
    for path, old in before.items():
        disk.put(path, old + data)
    return before


def test_a_reader_does_not_take_an_append_that_is_being_made() -> None:
    """It could still fail, and another record come in its place: the reader would keep the one that never
    was, and never see the other.
    """
    disk = SimulatedDisk()
    writer, reader = opened(disk), opened(disk)
    add(writer, b"one")
    assert reader.news() == [b"one"]
    add(writer, b"two")
    before = written(disk, writer, b"ghost", PATHS)
    assert reader.news() == [b"two"]
    for path, data in before.items():
        disk.put(path, data)
    add(writer, b"three")
    assert reader.news() == [b"three"]
    assert opened(disk).news() == [b"one", b"two", b"three"]


def test_an_append_whose_writer_died_is_there_for_all_or_for_none() -> None:
    """The next writer finds it whole in one copy and completes it; every reader then has the same list."""
    disk = SimulatedDisk()
    writer, reader, other = opened(disk), opened(disk), opened(disk)
    add(writer, b"one")
    seen = reader.news()
    written(disk, writer, b"half", PATHS[2:])
    seen += reader.news()
    add(other, b"next")
    seen += reader.news()
    assert seen == opened(disk).news() == [b"one", b"half", b"next"]


def test_a_full_disk_does_not_keep_readers_out() -> None:
    """A copy is gone and cannot be made again: what the others hold is read, and appends are refused."""
    disk = small()
    disk.remove(PATHS[1])
    disk.capacity_bytes = 1
    reader = opened(disk)
    assert reader.news() == SMALL and reader.news() == []
    with pytest.raises(StorageError):
        add(reader, b"more")
    assert reader.news() == []
    disk.capacity_bytes = None
    add(opened(disk), b"more")
    assert reader.news() == [b"more"]
    assert len({disk.contents(path) for path in PATHS}) == 1


def test_a_damaged_copy_on_a_disk_that_refuses_writes_does_not_keep_readers_out() -> None:
    """The folder says that it can be written, and no write succeeds."""
    disk = small()
    rotten = bytes([disk.contents(PATHS[0])[0] ^ 1]) + disk.contents(PATHS[0])[1:]
    disk.put(PATHS[0], rotten)
    disk.read_only = True
    disk.writable = lambda path: True  # type: ignore[method-assign]
    assert opened(disk).news() == SMALL
    assert disk.contents(PATHS[0]) == rotten


def test_a_witness_that_was_damaged_while_somebody_reads_hides_nothing() -> None:
    """The reader looks at the copies themselves, and the number is put right."""
    disk = SimulatedDisk()
    writer, reader = opened(disk), opened(disk)
    add(writer, b"one")
    assert reader.news() == [b"one"]
    add(writer, b"two")
    disk.put(f"{FOLDER}/newest", b"\xff" * 16)
    assert reader.news() == [b"two"]
    assert reader.news() == []
    add(writer, b"three")
    assert reader.news() == [b"three"]
