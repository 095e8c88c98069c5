"""The vectors file: appended by several processes, read past any damage, never a wrong vector."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from carma.errors import InvalidInput, MemoryBusy
from carma.ports.disk import LocalDisk
from carma.store.vectors import BLOCK_VECTORS, VectorsFile

DIMENSION = 3
TAG = b"embedder"


def vectors_of(seqs: np.ndarray, dimension: int = DIMENSION) -> np.ndarray:
    """The vectors that belong to seqs in these tests."""
    return (seqs[:, None] * 10 + np.arange(dimension)).astype(np.float32)


def digests_of(seqs: np.ndarray) -> bytes:
    """The text digests that belong to seqs in these tests."""
    return b"".join(blake3(str(seq).encode()).digest(16) for seq in seqs.tolist())


def file_in(folder: Path, **options: int) -> VectorsFile:
    return VectorsFile(LocalDisk(), str(folder), DIMENSION, TAG, **options)


def append(file: VectorsFile, *seqs: int) -> None:
    numbers = np.array(seqs)
    file.append(numbers, digests_of(numbers), vectors_of(numbers))


def followed(file: VectorsFile) -> list[int]:
    """The seqs that follow; asserts that every vector and digest is the one of its seq."""
    seqs: list[int] = []
    for block in file.follow():
        assert np.array_equal(block.vectors, vectors_of(block.seqs))
        assert block.text_digests.tobytes() == digests_of(block.seqs)
        seqs += block.seqs.tolist()
    return seqs


def path_in(folder: Path) -> Path:
    (path,) = folder.glob("vectors-*.f32")
    return path


def test_what_one_process_appends_every_process_follows(tmp_path: Path) -> None:
    """Each block once, in order, to the one that appended it as well."""
    ours, theirs = file_in(tmp_path), file_in(tmp_path)
    assert followed(ours) == []
    append(ours, 1, 2)
    assert followed(theirs) == [1, 2]
    append(theirs, 3)
    append(ours, 4)
    append(ours)
    assert followed(ours) == [1, 2, 3, 4] and followed(theirs) == [3, 4] and followed(theirs) == []
    theirs.restart()
    assert followed(theirs) == [1, 2, 3, 4] and theirs.damaged_blocks == 0


def test_many_vectors_are_cut_into_blocks(tmp_path: Path) -> None:
    """One damaged bit costs at most one block of them."""
    seqs = np.arange(1, 2 * BLOCK_VECTORS + 2)
    file = file_in(tmp_path)
    file.append(seqs, digests_of(seqs), vectors_of(seqs))
    assert [len(block.seqs) for block in file.follow()] == [BLOCK_VECTORS, BLOCK_VECTORS, 1]


def test_blocks_that_are_not_needed_are_skipped(tmp_path: Path) -> None:
    """At open, what the saved index covers is not read again."""
    file = file_in(tmp_path)
    append(file, 1, 2)
    append(file, 3)
    asked: list[int] = []

    def needed(seqs: np.ndarray, digests: np.ndarray) -> bool:
        assert digests.tobytes() == digests_of(seqs)
        asked.extend(seqs.tolist())
        return 3 in seqs

    assert [block.seqs.tolist() for block in file.follow(needed)] == [[3]] and asked == [1, 2, 3]


def test_every_flipped_bit_costs_at_most_its_own_block(tmp_path: Path) -> None:
    """Never a wrong vector, never an error; the other blocks survive, and appending goes on."""
    writer = file_in(tmp_path)
    for seqs in ((1, 2), (3,), (4, 5)):
        append(writer, *seqs)
    path = path_in(tmp_path)
    intact = path.read_bytes()
    blocks = [start for start in range(len(intact)) if intact.startswith(b"\x93CVECTS\n", start)]
    survivors = [[3, 4, 5], [1, 2, 4, 5], [1, 2, 3]]
    for bit in range(len(intact) * 8):
        flipped = bytearray(intact)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        reader = file_in(tmp_path)
        struck = sum(start <= bit // 8 for start in blocks) - 1
        assert followed(reader) == survivors[struck], bit
        assert reader.damaged_blocks == 1, bit
        if bit % 37 == 0:
            append(file_in(tmp_path), 6)
            assert followed(file_in(tmp_path)) == [*survivors[struck], 6]


def test_a_file_cut_anywhere_keeps_its_whole_blocks(tmp_path: Path) -> None:
    """A torn end is no damage; the next one that appends overwrites it, and who waited there sees that."""
    writer = file_in(tmp_path)
    append(writer, 1, 2)
    ends = [path_in(tmp_path).stat().st_size]
    append(writer, 3)
    path = path_in(tmp_path)
    intact = path.read_bytes()
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        reader = file_in(tmp_path)
        expected = [1, 2] if length >= ends[0] else []
        assert followed(reader) == expected
        append(file_in(tmp_path), 4)
        assert followed(reader) == [4] and followed(file_in(tmp_path)) == [*expected, 4]


def test_a_block_that_was_written_elsewhere_is_no_block(tmp_path: Path) -> None:
    """Bytes that moved, or that another embedder's file holds, prove nothing."""
    writer = file_in(tmp_path)
    append(writer, 1)
    append(writer, 2)
    path = path_in(tmp_path)
    intact = path.read_bytes()
    path.write_bytes(intact[len(intact) // 2 :] + intact[len(intact) // 2 :])
    assert followed(file_in(tmp_path)) == [2]
    path.write_bytes(intact)
    other = VectorsFile(LocalDisk(), str(tmp_path), DIMENSION, b"other")
    assert followed(other) == []
    path.rename(tmp_path / path.name.replace(TAG.hex(), b"other".hex()))
    assert followed(other) == [] and other.damaged_blocks == 1


def test_a_rewrite_keeps_what_it_is_told_and_nothing_else(tmp_path: Path) -> None:
    """The bytes of the others are gone, of a seq that came twice the later stays, and followers go over."""
    writer, reader = file_in(tmp_path), file_in(tmp_path)
    for seqs in ((1, 2), (3,), (2, 4), (5,)):
        append(writer, *seqs)
    assert followed(reader) == [1, 2, 3, 2, 4, 5]
    writer.rewrite(np.array([1, 2, 5, 99]))
    assert followed(reader) == [1, 2, 5] and followed(writer) == [1, 2, 5]
    append(reader, 6)
    assert followed(writer) == [6]
    data = path_in(tmp_path).read_bytes()
    assert digests_of(np.array([3])) not in data and vectors_of(np.array([4])).tobytes() not in data
    writer.rewrite({6})
    assert followed(reader) == [6]
    writer.remove()
    assert followed(reader) == [] and list(tmp_path.glob("vectors-*")) == []


def test_a_rewrite_gathers_thin_blocks(tmp_path: Path) -> None:
    """A thousand vectors embedded one by one become full blocks."""
    writer = file_in(tmp_path)
    for start in range(0, 3000, 50):
        append(writer, *range(start, start + 50))
    writer.rewrite(range(1, 3000))
    sizes = [len(block.seqs) for block in writer.follow()]
    assert sizes == [BLOCK_VECTORS, BLOCK_VECTORS, 2999 - 2 * BLOCK_VECTORS]
    writer.restart()
    assert followed(writer) == list(range(1, 3000))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Nothing is written of vectors, seqs and digests that are not of one number."""
    file = file_in(tmp_path)
    with pytest.raises(InvalidInput):
        file.append(np.array([1]), bytes(16), np.zeros((1, DIMENSION + 1), np.float32))
    with pytest.raises(InvalidInput):
        file.append(np.array([1, 2]), bytes(16), np.zeros((2, DIMENSION), np.float32))
    assert followed(file) == []


def test_waiting_for_another_process_has_a_bound(tmp_path: Path) -> None:
    """Whoever holds the lock too long makes the others give up, not hang."""
    append(file_in(tmp_path), 1)
    lock = LocalDisk().lock(str(tmp_path))
    assert lock.try_acquire()
    with pytest.raises(MemoryBusy):
        append(file_in(tmp_path, wait_ms=20), 2)
    assert followed(file_in(tmp_path)) == [1]
    lock.close()
    append(file_in(tmp_path), 2)


def _append_many(folder: str, first: int) -> None:
    file = file_in(Path(folder))
    for seq in range(first, first + 60, 3):
        append(file, seq, seq + 1, seq + 2)


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    """They take turns; every vector of both is there, whole and once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(str(tmp_path), first)) for first in (1000, 2000)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    reader = file_in(tmp_path)
    assert sorted(followed(reader)) == [*range(1000, 1060), *range(2000, 2060)]
    assert reader.damaged_blocks == 0
