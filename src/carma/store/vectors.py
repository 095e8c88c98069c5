"""The vectors file: what the embedder made, kept so that it need not be made again.

`<folder>/vectors-<tag>-<generation>.f32` is a row of blocks. A block holds up to 1,024 vectors with the seqs
they belong to and the digests of their texts (after a rebuild of the registry a seq alone proves nothing):

    head  magic 8, format u32, count u32, dimension u32, 0 u32, offset u64 (the block's own place), tag 32
          BLAKE3 of head and body's first part, 16 bytes
    body  seqs u64 * count, text digests 16 * count, | BLAKE3 of the data 16 | data float32 * dimension *
    count

In an encrypted memory (format 2) what follows the head is sealed in two parts, `seqs and text digests` and
`data`, each longer by what sealing adds, and the digests are those of the sealed bytes: an embedding tells as
much as its text.

All of it can be made again, so nothing is synced, nothing is repaired and no damage raises: a block that
fails its digest is counted and skipped, and reading goes on at the next magic. What a killed process left at
the end is overwritten by the next one that appends. Processes take turns with the lock of the folder.

Rejected: NumPy's own format and one file per batch (no digest, thousands of files); SQLite (three times
slower to read, and one flipped bit costs more than a block).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from carma.errors import InvalidInput
from carma.ports.clock import Clock, SystemClock
from carma.ports.disk import Disk, File
from carma.store.sealing import Sealer
from carma.store.turn import Turn
from carma.store.vectorblocks import (
    BLOCK_VECTORS,
    FRONT_BYTES,
    HEAD_BYTES,
    MAGIC,
    Block,
    Blocks,
    Front,
    Gathered,
)

__all__ = ["BLOCK_VECTORS", "MAGIC", "Block", "VectorsFile"]

_WINDOW = 64 * 2**10
_MAX_DIMENSION = 65_536


class VectorsFile:
    """The vectors of one embedder in one folder. Not for two threads at once.

    Args:
        disk: where it is.
        folder: made if it does not exist.
        dimension: of every vector.
        tag: names the embedder, at most 32 bytes; files of other embedders are not touched.
        clock: for waiting.
        wait_ms: how long `append`, `rewrite` and `remove` wait for another process.
        sealer: seals the blocks of an encrypted memory.
        suffix: behind the name of the file, while it is not to be found by others.
        guard: asked under the lock before anything is written; may raise.
    """

    def __init__(
        self,
        disk: Disk,
        folder: str,
        dimension: int,
        tag: bytes,
        *,
        clock: Clock | None = None,
        wait_ms: int = 10_000,
        sealer: Sealer | None = None,
        suffix: str = "",
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        if not 1 <= dimension <= _MAX_DIMENSION or len(tag) > 32:
            raise InvalidInput(f"dimension {dimension} or tag of {len(tag)} bytes is out of bounds")
        self.dimension = dimension
        self.damaged_blocks = 0
        """Runs of bytes that were skipped because they are no intact block."""
        self._disk = disk
        self._folder = folder
        self._tag = tag.ljust(32, b"\0")
        self._prefix = f"vectors-{tag.hex()}-"
        self._clock = clock or SystemClock()
        self._wait_ms = wait_ms
        self._guard = guard
        self._blocks = Blocks(dimension, self._tag, sealer)
        self._end = f".f32{suffix}"
        self._generation = 0
        self._next = 0
        """Everything before this offset was followed."""

    # Reading

    def follow(
        self, needed: Callable[[NDArray[np.int64], NDArray[np.uint8]], bool] | None = None
    ) -> Iterator[Block]:
        """The intact blocks that were appended since the last call, by any process.

        After a `rewrite` by any process everything comes again. Iterate to the end, or the rest comes next
        time.

        Args:
            needed: given seqs (n,) and text digests (n, 16), whether the block is wanted. The data of a block
                that is not wanted is neither read nor verified.
        """
        generation = self._newest()
        if generation != self._generation:
            self._generation, self._next = generation, 0
        try:
            file = self._disk.open(self._path(generation))
        except FileNotFoundError:
            return
        try:
            for front in self._fronts(file, self._next):
                block = None
                if needed is None or needed(front.seqs, front.text_digests):
                    block = self._blocks.block(file, front)
                    self.damaged_blocks += block is None
                self._next = front.end
                if block is not None:
                    yield block
        finally:
            file.close()

    def restart(self) -> None:
        """Let `follow` begin from the start again."""
        self._next, self.damaged_blocks = 0, 0

    # Writing

    def append(
        self, seqs: NDArray[np.int64] | NDArray[np.uint64], text_digests: bytes, vectors: NDArray[np.float32]
    ) -> None:
        """Append vectors; other processes see them with their next `follow`, this one does too.

        Args:
            seqs: shape (n,).
            text_digests: the first 16 bytes of the BLAKE3 of each text, n * 16 bytes.
            vectors: shape (n, d).

        Raises:
            MemoryBusy: another process held the lock too long.
            StorageError: the disk refused.
        """
        numbers = np.asarray(seqs).astype(np.int64)
        vectors = np.ascontiguousarray(vectors, "<f4")
        if vectors.shape != (len(numbers), self.dimension) or len(text_digests) != 16 * len(seqs):
            raise InvalidInput(
                f"{len(seqs)} seqs, {len(text_digests)} bytes, vectors {vectors.shape} do not fit"
            )
        if len(seqs) == 0:
            return
        with self._turn():
            file = self._disk.open(self._path(self._newest()), write=True, create=True)
            try:
                end = self._intact_end(file)
                if end < file.size():
                    file.truncate(end)
                self._write(file, end, numbers, text_digests, vectors)
            finally:
                file.close()

    def rewrite(self, keep: Iterable[int] | NDArray[np.int64]) -> None:
        """Write a new generation that holds only the vectors of the seqs in `keep`, and remove the older
        ones.

        Of a seq that was appended twice the later vector stays. Raises MemoryBusy, StorageError.
        """
        wanted = np.unique(
            np.fromiter(keep, np.int64) if not isinstance(keep, np.ndarray) else keep.astype(np.int64)
        )
        with self._turn():
            old = self._newest()
            temporary = f"{self._folder}/{self._prefix}new"
            source = self._disk.open(self._path(old), write=True, create=True)
            target = self._disk.open(temporary, write=True, create=True)
            try:
                target.truncate(0)
                self._copy(source, target, wanted)
                target.sync()
            finally:
                source.close()
                target.close()
            self._disk.rename(temporary, self._path(old + 1))
            self._disk.sync_dir(self._folder)
            self._remove_before(old + 1)

    def remove(self) -> None:
        """Remove every generation. Raises MemoryBusy, StorageError."""
        with self._turn():
            self._remove_before(self._newest() + 1)

    # Blocks

    def _fronts(self, file: File, start: int) -> Iterator[Front]:
        """The intact fronts from `start` on; damage is counted and skipped.

        It ends before a block that is not all there: the process that writes it may be about to.
        """
        size = file.size()
        window, base, damaged = b"", 0, False
        at = start
        while at + FRONT_BYTES <= size:
            if not base <= at <= base + len(window) - HEAD_BYTES:
                window, base = file.pread(_WINDOW, at), at
            if window[at - base : at - base + len(MAGIC)] == MAGIC:
                front = self._blocks.front(file, at, window[at - base :])
                if front is not None:
                    self.damaged_blocks += damaged
                    damaged = False
                    if front.end > size:
                        return
                    yield front
                    at = front.end
                    continue
            damaged = True
            found = window.find(MAGIC, at - base + 1)
            at = base + (found if found >= 0 else max(at - base + 1, len(window) - len(MAGIC) + 1))
        self.damaged_blocks += damaged

    def _write(
        self,
        file: File,
        offset: int,
        seqs: NDArray[np.int64],
        text_digests: bytes,
        vectors: NDArray[np.float32],
    ) -> int:
        """Write blocks from `offset` on; return where they end."""
        for start in range(0, len(seqs), BLOCK_VECTORS):
            part = slice(start, start + BLOCK_VECTORS)
            block = self._blocks.encoded(
                offset, seqs[part], text_digests[16 * start : 16 * part.stop], vectors[part]
            )
            file.pwrite(block, offset)
            offset += len(block)
        return offset

    def _intact_end(self, file: File) -> int:
        """Where the next block goes: behind the last block that is all there."""
        # Only what nobody has followed yet is looked at again; `_next` is always the end of a block.
        generation = self._newest()
        start = self._next if generation == self._generation and self._next <= file.size() else 0
        counted = self.damaged_blocks
        end = start
        for front in self._fronts(file, start):
            end = front.end
        self.damaged_blocks = counted
        return end

    def _copy(self, source: File, target: File, wanted: NDArray[np.int64]) -> None:
        """Copy the wanted vectors of `source` into `target`, in full blocks, of each seq the last one."""
        fronts = list(self._fronts(source, 0))
        if not fronts:
            return
        seqs = np.concatenate([front.seqs for front in fronts])
        _, last = np.unique(seqs[::-1], return_index=True)
        chosen = np.zeros(len(seqs), np.bool_)
        chosen[len(seqs) - 1 - last] = True
        chosen &= np.isin(seqs, wanted)
        gathered, offset, at = Gathered(), 0, 0
        for front in fronts:
            mask = chosen[at : at + len(front.seqs)]
            at += len(front.seqs)
            block = self._blocks.block(source, front) if mask.any() else None
            if block is not None:
                gathered.take(block, mask)
            if gathered.count >= BLOCK_VECTORS:
                offset = self._write(target, offset, *gathered.full_blocks())
        self._write(target, offset, *gathered.rest())

    # Files

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._disk.mkdir(self._folder)
        turn = Turn(self._disk, self._folder, self._clock, self._wait_ms)
        try:
            with turn.held():
                self._guard()
                yield
        finally:
            turn.close()

    def _newest(self) -> int:
        """The newest generation; the first one if there is none yet."""
        return max(self._generations(), default=1)

    def _generations(self) -> list[int]:
        names = self._disk.listdir(self._folder)
        ours = [name for name in names if name.startswith(self._prefix) and name.endswith(self._end)]
        numbers = [name.removeprefix(self._prefix).removesuffix(self._end) for name in ours]
        return [int(number) for number in numbers if number.isdecimal()]

    def _path(self, generation: int) -> str:
        return f"{self._folder}/{self._prefix}{generation:06d}{self._end}"

    def _remove_before(self, generation: int) -> None:
        for older in self._generations():
            if older < generation:
                self._disk.unlink(self._path(older))
