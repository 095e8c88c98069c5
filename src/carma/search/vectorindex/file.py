"""A trained part on disk: one file, replaced as a whole, every block of it with a digest.

FAISS's own reader trusts what it reads and can end the process on damaged bytes, so nothing reaches it before
its digest was checked. What fails a check is not repaired: the index is disposable, and the caller builds a
new one.

    magic 8, format u32, header length u32, file length u64, header (MessagePack), BLAKE3 of all that 32
    section after section, in blocks of 1 MiB; their BLAKE3 digests stand in the header

In an encrypted memory (format 2) the header is sealed, and so is every block, bound to this very header and
to its place; then the header holds no digests. An embedding tells as much as its text.

Sections: `base` (FAISS's serialisation of what finds candidates), `halves` (the float16 vectors), `alive` (a
    byte per position), `seqs` (u64 each) and `digests` (the first 16 bytes of the BLAKE3 of each text: a seq
    alone does not prove that a vector belongs to a text).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import msgpack
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from carma.errors import CarmaError
from carma.ports.disk import Disk, File
from carma.search.vectorindex.plan import Plan
from carma.search.vectorindex.scan import Ints
from carma.search.vectorindex.trained import TrainedPart, codes_of, float16_store
from carma.store.sealing import Sealer

__all__ = ["Contents", "Loaded", "load_contents", "save_contents"]

MAGIC = b"CARMAVIX"
FORMAT, SEALED_FORMAT = 1, 2
_PREFIX = struct.Struct("<8sIIQ")
_BLOCK = 2**20
_DIGEST = 32
_HEADER_MAX = 16 * 2**20
_HEADER = b"header"
_SECTIONS = ("base", "halves", "alive", "seqs", "digests")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading: how many vectors, and if none, why."""

    vectors: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Contents:
    """A trained part with the identity of its vectors; arrays by position."""

    base: Any
    store: Any
    alive: NDArray[np.bool_]
    seqs: Ints
    digests: NDArray[np.uint8]
    fingerprint: bytes
    plan: Plan
    trained_on: int

    @classmethod
    def of(
        cls, part: TrainedPart, fingerprint: bytes, identify: Callable[[Ints], tuple[Ints, bytes]]
    ) -> Contents:
        """The contents of `part`; `identify` gives the seqs and the text digests of rows."""
        alive = part.alive_mask().copy()
        seqs = np.zeros(len(alive), np.int64)
        digests = np.zeros((len(alive), 16), np.uint8)
        known_seqs, known_digests = identify(part.rows[alive])
        seqs[alive] = known_seqs
        digests[alive] = np.frombuffer(known_digests, np.uint8).reshape(-1, 16)
        return cls(part.base, part.store, alive, seqs, digests, fingerprint, part.plan, part.trained_on)

    def part(self, rows: Ints, alive: NDArray[np.bool_]) -> TrainedPart:
        """A trained part in which position i has the row `rows[i]`."""
        bits = np.packbits(alive, bitorder="little")
        return TrainedPart(self.base, self.store, rows, self.plan, self.trained_on, bits)


def save_contents(disk: Disk, path: str, contents: Contents, sealer: Sealer | None = None) -> None:
    """Write `contents` to `path`, atomically. sealer: seals the file of an encrypted memory.

    Raises StorageError.
    """
    sections = {
        "base": _bytes(faiss.serialize_index(contents.base)),
        "halves": _bytes(codes_of(contents.store)),
        "alive": _bytes(contents.alive.view(np.uint8)),
        "seqs": _bytes(contents.seqs.astype("<i8").view(np.uint8)),
        "digests": _bytes(contents.digests.reshape(-1)),
    }
    header = {
        "dimension": contents.store.d,
        "count": len(contents.seqs),
        "fingerprint": contents.fingerprint,
        "plan": contents.plan.as_dict(),
        "trained_on": contents.trained_on,
        "lengths": [len(sections[name]) for name in _SECTIONS],
        "blocks": b"" if sealer else b"".join(blake3(block).digest() for _, _, block in _all(sections)),
    }
    packed: bytes = msgpack.packb(header)
    stored = sealer.seal(packed, _HEADER) if sealer is not None else packed
    bound = _Bound(sealer, stored)
    head = _head(stored, sum(header["lengths"]) + bound.added * sum(1 for _ in _all(sections)), sealer)
    temporary = f"{path}.new"
    file = disk.open(temporary, write=True, create=True)
    try:
        file.truncate(0)
        file.pwrite(head, 0)
        offset = len(head)
        for name, start, block in _all(sections):
            written = bound.sealed(block, name, start)
            file.pwrite(written, offset)
            offset += len(written)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)


def load_contents(
    disk: Disk, path: str, dimension: int, fingerprint: bytes, sealer: Sealer | None = None
) -> Contents | str:
    """The contents of `path`, or the reason why there are none. Never raises for what is in the file."""
    try:
        file = disk.open(path)
    except FileNotFoundError:
        return "there is no trained index yet"
    except CarmaError as error:
        return error.message
    try:
        return _read(file, dimension, fingerprint, sealer)
    except _Unusable as error:
        return str(error)
    except CarmaError as error:
        return error.message
    finally:
        file.close()


class _Unusable(Exception):
    """The file is not what was written, or not for this index."""


class _Bound:
    """Seals blocks as those of the file with this header, or leaves them as they are."""

    def __init__(self, sealer: Sealer | None, header: bytes) -> None:
        self._sealer = sealer
        self._file = blake3(header).digest()
        self.added = sealer.overhead if sealer is not None else 0

    def sealed(self, block: memoryview, name: str, start: int) -> bytes | memoryview:
        if self._sealer is None:
            return block
        return self._sealer.seal(bytes(block), self._file, name.encode(), start.to_bytes(8, "little"))

    def opened(self, block: bytes, name: str, start: int, digest: bytes) -> bytes | None:
        """The block; None if it is not what was written."""
        if self._sealer is None:
            return block if blake3(block).digest() == digest else None
        return self._sealer.open(block, self._file, name.encode(), start.to_bytes(8, "little"))


def _read(file: File, dimension: int, fingerprint: bytes, sealer: Sealer | None) -> Contents:
    header, bound, offset = _read_header(file, sealer)
    if header["dimension"] != dimension or header["fingerprint"] != fingerprint:
        raise _Unusable("the trained index belongs to another embedder")
    count, lengths = header["count"], dict(zip(_SECTIONS, header["lengths"], strict=True))
    store = float16_store(dimension, count)
    buffers = {name: np.empty(lengths[name], np.uint8) for name in _SECTIONS if name != "halves"}
    buffers["halves"] = codes_of(store)
    if any(len(buffers[name]) != lengths[name] for name in _SECTIONS):
        raise _Unusable("the trained index contradicts itself")
    digests = _digests(header["blocks"])
    for name in _SECTIONS:
        offset = _fill(file, offset, buffers[name], name, bound, digests)
    return Contents(
        base=_base(buffers["base"], dimension, count),
        store=store,
        alive=buffers["alive"].view(np.bool_),
        seqs=buffers["seqs"].view("<i8").astype(np.int64, copy=False),
        digests=buffers["digests"].reshape(count, 16),
        fingerprint=fingerprint,
        plan=Plan(**header["plan"]),
        trained_on=header["trained_on"],
    )


def _head(header: bytes, body: int, sealer: Sealer | None) -> bytes:
    length = _PREFIX.size + len(header) + _DIGEST + body
    head = _PREFIX.pack(MAGIC, _format(sealer), len(header), length) + header
    return head + blake3(head).digest()


def _format(sealer: Sealer | None) -> int:
    return FORMAT if sealer is None else SEALED_FORMAT


def _read_header(file: File, sealer: Sealer | None) -> tuple[dict[str, Any], _Bound, int]:
    """The header, what opens the blocks, and where they begin."""
    prefix = file.pread(_PREFIX.size, 0)
    if len(prefix) < _PREFIX.size:
        raise _Unusable("the trained index is cut off")
    magic, version, length, total = _PREFIX.unpack(prefix)
    if magic != MAGIC or length > _HEADER_MAX:
        raise _Unusable("the trained index is damaged")
    head = file.pread(_PREFIX.size + length + _DIGEST, 0)
    if blake3(head[:-_DIGEST]).digest() != head[-_DIGEST:]:
        raise _Unusable("the header of the trained index is damaged")
    if version != _format(sealer):
        raise _Unusable(f"the trained index has format {version}, not {_format(sealer)}")
    if file.size() != total:
        raise _Unusable("the trained index is cut off")
    stored = head[_PREFIX.size : -_DIGEST]
    packed = sealer.open(stored, _HEADER) if sealer is not None else stored
    if packed is None:
        raise _Unusable("the trained index is not sealed by this memory's owner")
    return msgpack.unpackb(packed), _Bound(sealer, stored), len(head)


def _digests(joined: bytes) -> Iterator[bytes]:
    return (joined[start : start + _DIGEST] for start in range(0, len(joined), _DIGEST))


def _fill(
    file: File, offset: int, buffer: NDArray[np.uint8], name: str, bound: _Bound, digests: Iterator[bytes]
) -> int:
    """Read one section into `buffer`, block by block, each verified; return where the next one begins."""
    for start in range(0, len(buffer), _BLOCK):
        length = min(_BLOCK, len(buffer) - start)
        stored = file.pread(length + bound.added, offset)
        block = bound.opened(stored, name, start, next(digests, b""))
        if block is None or len(block) != length:
            raise _Unusable("a block of the trained index is damaged")
        buffer[start : start + length] = np.frombuffer(block, np.uint8)
        offset += len(stored)
    return offset


def _base(data: NDArray[np.uint8], dimension: int, count: int) -> Any:
    try:
        base = faiss.deserialize_index(data)
    except Exception as error:  # FAISS raises RuntimeError for what another version of it wrote.
        raise _Unusable(f"FAISS does not read the trained index ({error})") from error
    if base.d != dimension or base.ntotal != count:
        raise _Unusable("the trained index contradicts itself")
    return base


def _all(sections: Mapping[str, memoryview]) -> Iterator[tuple[str, int, memoryview]]:
    """Every block with its section and where it begins in it."""
    for name in _SECTIONS:
        section = sections[name]
        for start in range(0, len(section), _BLOCK):
            yield name, start, section[start : start + _BLOCK]


def _bytes(array: NDArray[np.uint8]) -> memoryview:
    # NumPy arrays are buffers; its stubs know from Python 3.12 on.
    return memoryview(array)  # type: ignore[arg-type]
