"""The vectors of one embedder as they are kept between two openings: the vectors file and the saved index.

Both are disposable. A vector counts only for the write and the text that it was made for: the caller says
which row a pair of write number and text digest has now, if any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from carma.embed import Fingerprint
from carma.store.encrypting import refuse_if_encrypted
from carma.store.store import Store
from carma.store.vectors import Block, VectorsFile

if TYPE_CHECKING:
    from carma.search.vectorindex import VectorIndex

__all__ = ["KeptVectors", "tag_of"]

RowsOf = Callable[[NDArray[Any], NDArray[np.uint8]], NDArray[np.int64]]
Made = tuple[int, bytes, NDArray[np.float32]]
"""A vector that was made: write number, text digest, vector."""


def tag_of(fingerprint: Fingerprint) -> bytes:
    """Eight bytes that name an embedder in a record."""
    return blake3(f"{fingerprint.name}\0{fingerprint.dimension}\0{fingerprint.digest}".encode()).digest(8)


class KeptVectors:
    """The files of one embedder's vectors in the index folder of a memory."""

    def __init__(self, store: Store, fingerprint: Fingerprint) -> None:
        self.tag = tag_of(fingerprint)
        self._dimension, self._exact_below = fingerprint.dimension, store.settings.exact_below
        self._disk = store.disk
        folder = f"{store.folder}/index"
        self._index_path = f"{folder}/vectors-{self.tag.hex()}.faiss"
        sealing = store.sealing
        self._sealer = sealing.file(b"trained index", self.tag)
        self._refuse = partial(refuse_if_encrypted, store.disk, store.folder, sealing)
        self._file = VectorsFile(
            store.disk, folder, fingerprint.dimension, self.tag, sealer=sealing.file(b"vectors", self.tag),
            guard=self._refuse,
        )  # fmt: skip

    @property
    def damaged_blocks(self) -> int:
        """Blocks of the vectors file that were skipped because they are not intact."""
        return self._file.damaged_blocks

    def empty_index(self) -> VectorIndex:
        """A new one for vectors of this embedder."""
        from carma.search.vectorindex import VectorIndex  # Heavy: it brings FAISS along.

        return VectorIndex(self._dimension, exact_below=self._exact_below)

    def load(self, index: VectorIndex, rows_of: RowsOf) -> None:
        """Fill an empty index: from the saved one what it covers, from the vectors file the rest."""
        index.load(self._disk, self._index_path, fingerprint=self.tag, rows_of=rows_of, sealer=self._sealer)
        self._file.restart()

        def missing(seqs: NDArray[np.int64], digests: NDArray[np.uint8]) -> bool:
            rows = rows_of(seqs, digests)
            return not bool(index.has(rows[rows >= 0]).all())

        for block in self._file.follow(missing):
            rows = rows_of(block.seqs, block.text_digests)
            index.add(rows[rows >= 0], block.vectors[rows >= 0])

    def follow(self) -> Iterator[Block]:
        """What any process has appended since the last look."""
        return self._file.follow()

    def append(self, made: Sequence[Made]) -> None:
        """Keep vectors. Raises MemoryBusy, StorageError."""
        self._file.append(
            np.array([seq for seq, _, _ in made], np.int64),
            b"".join(digest for _, digest, _ in made),
            np.stack([vector for _, _, vector in made]),
        )

    def save(
        self, index: VectorIndex, identify: Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], bytes]]
    ) -> None:
        """Save a trained index. Raises StorageError, BecameEncrypted."""
        self._refuse()
        index.save(self._disk, self._index_path, fingerprint=self.tag, identify=identify, sealer=self._sealer)

    def purge(self, alive: NDArray[np.int64]) -> None:
        """Keep only the vectors of these writes, and no index. Raises MemoryBusy, StorageError."""
        self._file.rewrite(alive)
        self._disk.unlink(self._index_path)

    def remove(self) -> None:
        """Remove all of it. Raises MemoryBusy, StorageError."""
        self._file.remove()
        self._disk.unlink(self._index_path)
