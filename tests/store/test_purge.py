"""A purge leaves no byte of a text in any file; a memory that is only read keeps its files as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.scenario import FOLDER, LINGER_S

from carma import Memory
from carma.config import Settings
from carma.errors import FragmentNotFound
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

SLICE = 12
"""Characters of a purged text that may not turn up anywhere."""


def memory_on(disk: SimulatedDisk | LocalDisk, clock: SimulatedClock, path: str = FOLDER) -> Memory:
    seed = disk.calls if isinstance(disk, SimulatedDisk) else int(clock.now())
    return Memory.open(
        path, embedder=HashEmbedder(8), settings=Settings(), disk=disk, clock=clock,
        entropy=SeededEntropy(seed),
    )  # fmt: skip


def test_memories_that_are_opened_and_closed_stay_as_they_are() -> None:
    """Through `Memory`, ten times: the files are the same afterwards, and none is new."""
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    with memory_on(disk, clock) as memory:
        memory.add_many([f"fragment {number}" for number in range(25)])
    clock.advance(LINGER_S + 1)
    with memory_on(disk, clock) as memory:
        memory.rest()
    before = {path: disk.contents(path) for path in disk.paths()}
    for _ in range(10):
        with memory_on(disk, clock) as memory:
            memory.search("fragment", mode="words")
    assert {path: disk.contents(path) for path in disk.paths()} == before


SECRET = "Unmistakable: the zebra Kowalczyk paid 91,442 dinars in Ouagadougou, café « Ünïcødé », on 4 May."


def traces(read: Callable[[], Iterator[tuple[str, bytes]]], secret: str) -> list[str]:
    """Files that hold the text, or any twelve characters of it in a row, whatever their case."""
    slices = {secret[at : at + SLICE] for at in range(len(secret) - SLICE + 1)}
    wanted = [part.encode() for one in slices for part in (one, one.lower())]
    return sorted({name for name, data in read() for part in wanted if part in data})


def work_with_a_secret(memory: Memory, clock: SimulatedClock) -> str:
    """Fragments around one that will be purged, with an older version of it, at rest in between."""
    memory.add_many([f"an innocent fragment {number} " * (number % 9 + 1) for number in range(40)])
    id = memory.add(f"An older version. {SECRET}", metadata={"secret": SECRET}).id
    memory.rest()
    clock.advance(1)
    memory.update(id, SECRET, metadata={"secret": SECRET})
    memory.add_many([f"another fragment {number}" for number in range(25)])
    memory.search(SECRET[:40], limit=3)
    memory.rest()
    return id


def test_a_purge_leaves_no_byte_of_the_text_in_any_file_of_a_real_disk(tmp_path: Path) -> None:
    """Segments, mirror, parity, copies, registry with its words and its log, quarantine: not the text, its
    older version or its metadata, nor any twelve characters of them; and after a rebuild it stays deleted.
    """
    clock = SimulatedClock()
    folder = tmp_path / "memory"

    def files() -> Iterator[tuple[str, bytes]]:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()

    with memory_on(LocalDisk(), clock, str(folder)) as memory:
        id = work_with_a_secret(memory, clock)
        memory.flush()
        assert traces(files, SECRET)
        memory.delete(id, purge=True)
        assert traces(files, SECRET) == []
    assert traces(files, SECRET) == []
    for path in (folder / "index").iterdir():
        path.unlink()
    with memory_on(LocalDisk(), clock, str(folder)) as memory:
        with pytest.raises(FragmentNotFound):
            memory.get(id)
        assert memory.count() == 65
        assert not [hit for hit in memory.search("zebra Kowalczyk", mode="words") if "zebra" in hit.text]


def test_a_purge_leaves_no_byte_in_what_was_only_replaced() -> None:
    """Also of a text that rests in files which an earlier spread replaced and which still linger."""
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)

    def files() -> Iterator[tuple[str, bytes]]:
        for path in disk.paths():
            yield path, disk.contents(path)

    with memory_on(disk, clock) as memory:
        id = work_with_a_secret(memory, clock)
    assert len(traces(files, SECRET)) > 3
    with memory_on(disk, clock) as memory:
        memory.delete(id, purge=True)
        assert traces(files, SECRET) == []
    assert traces(files, SECRET) == []
