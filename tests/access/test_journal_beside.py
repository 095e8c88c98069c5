"""Readers wait for nobody's turn: what was acknowledged is there, whoever holds it, writes or fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from carma.access.frames import encode
from carma.access.journal import Journal
from carma.errors import JournalBusy
from carma.testing import SimulatedDisk

from .test_journal import PATHS, add, opened


@contextmanager
def held(journal: Journal, work: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Another thread has the journal's turn, has done some work in it, and goes on having it."""
    ready, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def hold() -> None:
        try:
            with journal.turn():
                work()
                ready.set()
                over.wait(30)
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=hold)
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        over.set()
        thread.join(30)
        assert not failed, failed


@pytest.mark.parametrize("same", [True, False])
def test_an_append_is_seen_while_its_turn_goes_on(same: bool) -> None:
    """By the journal that made it and by another one; and the next record comes once, too."""
    disk = SimulatedDisk()
    writer = opened(disk)
    add(writer, b"one")
    reader = writer if same else opened(disk)
    assert b"one" in reader.news()
    with held(writer, lambda: writer.append([b"two"])):
        assert reader.news() == [b"two"]
        assert reader.news() == []
    add(writer, b"three")
    assert reader.news() == [b"three"]


def test_a_rewrite_is_seen_while_its_turn_goes_on() -> None:
    """Who read the old records gets all the new ones, and knows that they are all."""
    disk = SimulatedDisk()
    writer, reader, fresh = (opened(disk) for _ in range(3))
    add(writer, b"one", b"two")
    assert reader.news() == [b"one", b"two"]
    with held(writer, lambda: writer.rewrite([b"three"])):
        assert reader.news() == fresh.news() == [b"three"]
        assert reader.start_over and reader.lost == () == fresh.lost
    add(writer, b"four")
    assert reader.news() == [b"four"] and not reader.start_over


def test_beside_a_turn_only_what_was_acknowledged_is_taken() -> None:
    """An append behind a rewrite that nobody acknowledged could still fail."""
    disk = SimulatedDisk()
    writer, reader = opened(disk), opened(disk)
    add(writer, b"one")
    assert reader.news() == [b"one"]

    def work() -> None:
        writer.rewrite([b"two"])
        data = encode([b"ghost"], writer._generation, writer._newest + 1, writer._end)
        for path in PATHS:
            disk.put(path, disk.contents(path) + data)

    with held(writer, work):
        assert reader.news() == [b"two"]
        for path in PATHS:
            disk.put(path, disk.contents(path)[: writer._end])
    add(writer, b"three")
    assert reader.news() == [b"three"] == opened(disk).news()[1:]


def test_a_damaged_copy_does_not_make_a_reader_wait() -> None:
    """It is read around, and mended when the turn is free."""
    disk = SimulatedDisk()
    writer = opened(disk)
    add(writer, b"one")
    disk.put(PATHS[0], b"\0" * len(disk.contents(PATHS[0])))
    reader = opened(disk)
    with held(opened(disk), lambda: disk.put(PATHS[0], b"rot")):
        assert reader.news() == [b"one"] and reader.lost == ()
        assert disk.contents(PATHS[0]) == b"rot"
    assert reader.news() == []
    assert len({disk.contents(path) for path in PATHS}) == 1


def test_copies_that_never_stand_still_are_said_to_be_busy() -> None:
    """Nothing is guessed about them, and the next look finds what is there."""
    disk = SimulatedDisk()
    writer, reader = opened(disk), opened(disk)
    add(writer, b"one")
    assert reader.news() == [b"one"]
    number, sleep = 0, reader._clock.sleep

    def changing(seconds: float) -> None:
        nonlocal number
        number += 1
        disk.put(PATHS[2], disk.contents(PATHS[2])[:-1] + bytes([number % 256]))
        sleep(seconds)

    with held(writer, lambda: writer.rewrite([b"two"])):
        reader._clock.sleep = changing  # type: ignore[method-assign]
        with pytest.raises(JournalBusy):
            reader.news()
    reader._clock.sleep = sleep  # type: ignore[method-assign]
    assert reader.news() == [b"two"]


def test_threads_that_write_and_read_agree() -> None:
    """Four write while four read by the same journal: everybody's records are seen once each, in order."""
    disk = SimulatedDisk()
    journal, over = opened(disk), threading.Event()
    add(journal, b"begin")
    seen: list[bytes] = []
    taking = threading.Lock()

    def write(name: int) -> None:
        for number in range(30):
            add(journal, f"{name} {number}".encode())

    def read() -> None:
        while not over.is_set():
            with taking:
                seen.extend(journal.news())
            time.sleep(0.0001)

    readers = [threading.Thread(target=read) for _ in range(4)]
    writers = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in readers:
        thread.join()
    seen += journal.news()
    assert seen == opened(disk).news() and len(seen) == 121
