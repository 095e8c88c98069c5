"""A trained part on disk: one file, replaced as a whole, every block of it with a digest.

FAISS's own reader trusts what it reads and can end the process on damaged bytes, so nothing reaches it before
its digest was checked. What fails a check is not repaired: the index is disposable, and the caller builds a
new one.

    magic 8, format u32, header length u32, file length u64, header (MessagePack), BLAKE3 of all that 32
    section after section, in blocks of 1 MiB; their BLAKE3 digests stand in the header

Sections: `base` (FAISS's serialisation of what finds candidates), `halves` (the float16 vectors), `alive` (a
    byte per position), `seqs` (u64 each) and `digests` (the first 16 bytes of the BLAKE3 of each text: a seq
    alone does not prove that a vector belongs to a text).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
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

__all__ = ["Contents", "Loaded", "load_contents", "save_contents"]

MAGIC = b"CARMAVIX"
FORMAT = 1
_PREFIX = struct.Struct("<8sIIQ")
_BLOCK = 2**20
_DIGEST = 32
_HEADER_MAX = 16 * 2**20
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


def save_contents(disk: Disk, path: str, contents: Contents) -> None:
    """Write `contents` to `path`, atomically. Raises StorageError."""
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
        "blocks": b"".join(blake3(block).digest() for name in _SECTIONS for block in _blocks(sections[name])),
    }
    head = _head(msgpack.packb(header), sum(header["lengths"]))
    temporary = f"{path}.new"
    file = disk.open(temporary, write=True, create=True)
    try:
        file.truncate(0)
        file.pwrite(head, 0)
        offset = len(head)
        for name in _SECTIONS:
            for block in _blocks(sections[name]):
                file.pwrite(block, offset)
                offset += len(block)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)


def load_contents(disk: Disk, path: str, dimension: int, fingerprint: bytes) -> Contents | str:
    """The contents of `path`, or the reason why there are none. Never raises for what is in the file."""
    try:
        file = disk.open(path)
    except FileNotFoundError:
        return "there is no trained index yet"
    except CarmaError as error:
        return error.message
    try:
        return _read(file, dimension, fingerprint)
    except _Unusable as error:
        return str(error)
    except CarmaError as error:
        return error.message
    finally:
        file.close()


class _Unusable(Exception):
    """The file is not what was written, or not for this index."""


def _read(file: File, dimension: int, fingerprint: bytes) -> Contents:
    header, offset = _read_header(file)
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
        offset = _fill(file, offset, buffers[name], digests)
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


def _head(header: bytes, body: int) -> bytes:
    length = _PREFIX.size + len(header) + _DIGEST + body
    head = _PREFIX.pack(MAGIC, FORMAT, len(header), length) + header
    return head + blake3(head).digest()


def _read_header(file: File) -> tuple[dict[str, Any], int]:
    """The header and where the sections begin."""
    prefix = file.pread(_PREFIX.size, 0)
    if len(prefix) < _PREFIX.size:
        raise _Unusable("the trained index is cut off")
    magic, version, length, total = _PREFIX.unpack(prefix)
    if magic != MAGIC or length > _HEADER_MAX:
        raise _Unusable("the trained index is damaged")
    head = file.pread(_PREFIX.size + length + _DIGEST, 0)
    if blake3(head[:-_DIGEST]).digest() != head[-_DIGEST:]:
        raise _Unusable("the header of the trained index is damaged")
    if version != FORMAT:
        raise _Unusable(f"the trained index has format {version}, not {FORMAT}")
    if file.size() != total:
        raise _Unusable("the trained index is cut off")
    return msgpack.unpackb(head[_PREFIX.size : -_DIGEST]), len(head)


def _digests(joined: bytes) -> Iterator[bytes]:
    return (joined[start : start + _DIGEST] for start in range(0, len(joined), _DIGEST))


def _fill(file: File, offset: int, buffer: NDArray[np.uint8], digests: Iterator[bytes]) -> int:
    """Read one section into `buffer`, block by block, each verified; return where the next one begins."""
    for start in range(0, len(buffer), _BLOCK):
        length = min(_BLOCK, len(buffer) - start)
        block = file.pread(length, offset)
        if len(block) != length or blake3(block).digest() != next(digests, b""):
            raise _Unusable("a block of the trained index is damaged")
        buffer[start : start + length] = np.frombuffer(block, np.uint8)
        offset += length
    return offset


def _base(data: NDArray[np.uint8], dimension: int, count: int) -> Any:
    try:
        base = faiss.deserialize_index(data)
    except Exception as error:  # FAISS raises RuntimeError for what another version of it wrote.
        raise _Unusable(f"FAISS does not read the trained index ({error})") from error
    if base.d != dimension or base.ntotal != count:
        raise _Unusable("the trained index contradicts itself")
    return base


def _blocks(section: memoryview) -> Iterator[memoryview]:
    return (section[start : start + _BLOCK] for start in range(0, len(section), _BLOCK))


def _bytes(array: NDArray[np.uint8]) -> memoryview:
    # NumPy arrays are buffers; its stubs know from Python 3.12 on.
    return memoryview(array)  # type: ignore[arg-type]
