"""Blocks of vectors: how the vectors file cuts, proves and seals what it holds (layout in `vectors`)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from carma.ports.disk import File
from carma.store.sealing import Sealer

__all__ = ["BLOCK_VECTORS", "FRONT_BYTES", "HEAD_BYTES", "MAGIC", "Block", "Blocks", "Front", "Gathered"]

MAGIC = b"\x93CVECTS\n"
FORMAT, SEALED_FORMAT = 1, 2
BLOCK_VECTORS = 1024
"""Vectors in one block: what one damaged bit costs at most."""

_HEAD = struct.Struct("<8sIIIIQ32s")
_DIGEST = 16
HEAD_BYTES = _HEAD.size
FRONT_BYTES = HEAD_BYTES + _DIGEST
"""As many bytes begin every block, whatever it holds."""


@dataclass(frozen=True, slots=True)
class Block:
    """Vectors as they were appended; verified."""

    seqs: NDArray[np.int64]
    """Shape (n,)."""
    text_digests: NDArray[np.uint8]
    """Shape (n, 16)."""
    vectors: NDArray[np.float32]
    """Shape (n, d)."""


@dataclass(frozen=True, slots=True)
class Front:
    """A block's head and identities, verified; its data is not read yet."""

    offset: int
    seqs: NDArray[np.int64]
    text_digests: NDArray[np.uint8]
    data_digest: bytes
    data_at: int
    end: int


class Blocks:
    """Encodes and decodes the blocks of one embedder. tag: 32 bytes. sealer: None where nothing is sealed."""

    def __init__(self, dimension: int, tag: bytes, sealer: Sealer | None) -> None:
        self._dimension = dimension
        self._tag = tag
        self._sealer = sealer
        self._format = FORMAT if sealer is None else SEALED_FORMAT
        self._added = 0 if sealer is None else sealer.overhead

    def front(self, file: File, offset: int, data: bytes) -> Front | None:
        """The front at `offset`, None if it is not intact; `data` begins there and may be too short."""
        magic, version, count, dimension, _, place, tag = _HEAD.unpack_from(data)
        if (version, dimension, place, tag) != (self._format, self._dimension, offset, self._tag):
            return None
        if magic != MAGIC or not 1 <= count <= BLOCK_VECTORS:
            return None
        length = _HEAD.size + _DIGEST + 24 * count + self._added + _DIGEST
        if len(data) < length:
            data = file.pread(length, offset)
        head, digest, identities = (
            data[: _HEAD.size],
            data[_HEAD.size :][:_DIGEST],
            data[_HEAD.size + _DIGEST : length],
        )
        if blake3(head + identities).digest(_DIGEST) != digest:
            return None
        data_digest, identities = identities[-_DIGEST:], identities[:-_DIGEST]
        if self._sealer is not None:
            opened = self._sealer.open(identities, head, data_digest)
            if opened is None:
                return None
            identities = opened
        return Front(
            offset=offset,
            seqs=np.frombuffer(identities, "<i8", count).astype(np.int64),
            text_digests=np.frombuffer(identities, np.uint8, 16 * count, 8 * count).reshape(count, 16),
            data_digest=data_digest,
            data_at=offset + length,
            end=offset + length + 4 * dimension * count + self._added,
        )

    def block(self, file: File, front: Front) -> Block | None:
        """The block with its data, None if that is damaged."""
        data = file.pread(front.end - front.data_at, front.data_at)
        if len(data) != front.end - front.data_at or blake3(data).digest(_DIGEST) != front.data_digest:
            return None
        if self._sealer is not None:
            opened = self._sealer.open(data, _number(front.offset))
            if opened is None:
                return None
            data = opened
        vectors = np.frombuffer(data, "<f4").reshape(-1, self._dimension)
        return Block(front.seqs, front.text_digests, vectors)

    def encoded(
        self, offset: int, seqs: NDArray[np.int64], text_digests: bytes, vectors: NDArray[np.float32]
    ) -> bytes:
        data = vectors.tobytes()
        head = _HEAD.pack(MAGIC, self._format, len(seqs), self._dimension, 0, offset, self._tag)
        identities = seqs.astype("<i8").tobytes() + text_digests
        if self._sealer is not None:
            data = self._sealer.seal(data, _number(offset))
            identities = self._sealer.seal(identities, head, blake3(data).digest(_DIGEST))
        identities += blake3(data).digest(_DIGEST)
        return b"".join([head, blake3(head + identities).digest(_DIGEST), identities, data])


def _number(offset: int) -> bytes:
    return offset.to_bytes(8, "little")


class Gathered:
    """Vectors on their way from thin blocks into full ones."""

    def __init__(self) -> None:
        self.count = 0
        self._blocks: list[Block] = []

    def take(self, block: Block, mask: NDArray[np.bool_]) -> None:
        """Add the vectors of `block` that `mask` names."""
        self._blocks.append(Block(block.seqs[mask], block.text_digests[mask], block.vectors[mask]))
        self.count += len(self._blocks[-1].seqs)

    def full_blocks(self) -> tuple[NDArray[np.int64], bytes, NDArray[np.float32]]:
        """As many vectors as fill whole blocks, as `append` takes them; the others stay."""
        return self._give(self.count - self.count % BLOCK_VECTORS)

    def rest(self) -> tuple[NDArray[np.int64], bytes, NDArray[np.float32]]:
        """All that is left."""
        return self._give(self.count)

    def _give(self, count: int) -> tuple[NDArray[np.int64], bytes, NDArray[np.float32]]:
        if not self._blocks:
            return np.empty(0, np.int64), b"", np.empty((0, 0), np.float32)
        seqs = np.concatenate([block.seqs for block in self._blocks])
        digests = np.concatenate([block.text_digests for block in self._blocks])
        vectors = np.concatenate([block.vectors for block in self._blocks])
        self._blocks = [Block(seqs[count:], digests[count:], vectors[count:])]
        self.count -= count
        return seqs[:count], digests[:count].tobytes(), vectors[:count]
