"""Taking away what could give a lost record back: so that the later rungs of the ladder have to do the work.

    full     nothing is taken away
    none     every other copy of the record, the parity of its stripe and its short copy are gone; the index
    survives sketch   the index is gone too: registry, words, vectors; sketches and context are left

In parity files records are overwritten by zeros whole, as a bad sector does: a short copy goes with the up to
63 others of its record, and the shard of a stripe with those of its neighbours. Nothing else needs them.

Rejected: cutting one entry out of a record and proving the rest anew, or single rows out of the registry (no
disk does that; SQLite's checksums would tell). The registry goes as a whole and is rebuilt from what is left;
only the vectors, which would take long to make again, are taken away one by one.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Literal

import msgpack
import numpy as np

from carma.embed import Fingerprint
from carma.memory.kept import tag_of
from carma.ports.disk import LocalDisk
from carma.prove.damage import Done, Place, records_in, segments_of, zero
from carma.store.manifest import Manifest
from carma.store.parity import Spreads
from carma.store.record import HEADER_BYTES, RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.segments import COPIES, Segments
from carma.store.vectors import VectorsFile

__all__ = ["REDUNDANCIES", "Redundancy", "still_exact", "strip", "strip_index"]

Redundancy = Literal["full", "none", "sketch"]
REDUNDANCIES: tuple[Redundancy, ...] = ("full", "none", "sketch")


def strip(folder: str, lost: Collection[int], *, copies: bool = True) -> list[Done]:
    """Destroy every other copy of these writes and the parity of their stripes.

    copies: also their short copies, or sketches, whichever the memory keeps.
    """
    segments = segments_of(folder)
    out = [done for number in segments.numbers() for done in _strip_copies(segments, number, set(lost))]
    spreads = Spreads(segments)
    for manifest in spreads.manifests():
        found = (manifest.index_of(seq) for seq in lost)
        indices = {index for index in found if index is not None}
        for number in manifest.columns:
            kinds = (RecordKind.PARITY, RecordKind.COPIES) if copies else (RecordKind.PARITY,)
            items = (item for item in records_in(segments, number) if item.header.kind in kinds)
            helpful = [item for item in items if _helps(item, manifest, indices)]
            out += [_blot(segments, "segments", item) for item in helpful]
    return out


def _strip_copies(segments: Segments, number: int, lost: set[int]) -> list[Done]:
    """Zero whatever record of a segment, in either copy, holds one of the writes."""
    out = []
    for copy in COPIES:
        data = segments.read_all(copy, number) or b""
        items = merge_copies(data, bytes, len(data), number)
        hit = [item for item in items if isinstance(item, Intact) and item.header.seq in lost]
        out += [_blot(segments, copy, item) for item in hit]
    return out


def _helps(item: Intact, manifest: Manifest, indices: set[int]) -> bool:
    """Whether a record of a parity file says anything exact of one of these records of its spread."""
    if item.header.kind == RecordKind.PARITY:
        first, count = (int.from_bytes(item.payload[at : at + 4], "little") for at in (0, 4))
        return any(first <= manifest.stripe_of(index) < first + count for index in indices)
    part = msgpack.unpackb(item.payload, raw=False)
    first = part.get("i", 0)
    return any(first <= index < first + len(part.get("n", b"")) for index in indices)


def _blot(segments: Segments, copy: Literal["segments", "mirror"], item: Intact) -> Done:
    header = item.header
    path = segments.path(copy, header.segment)
    zero(path, header.offset, HEADER_BYTES + header.length)
    seqs = (header.seq,) if header.seq else ()
    return Done(
        "delete", os.path.relpath(path, segments.folder), header.offset, HEADER_BYTES + header.length, seqs
    )


def strip_index(
    folder: str, lost: Collection[int], kept: Collection[int], embedder: Fingerprint
) -> list[Done]:
    """Destroy what the index knows of these writes: the registry, the saved vector index, their vectors.

    kept: the writes whose vectors stay. The registry goes as a whole; what is rebuilt from the files cannot
    hold what they do not hold.
    """
    index = os.path.join(os.path.abspath(folder), "index")
    vectors = VectorsFile(LocalDisk(), index, embedder.dimension, tag_of(embedder))
    vectors.rewrite(np.array(sorted(set(kept) - set(lost)), np.int64))
    out = []
    for name in sorted(os.listdir(index)):
        if not name.endswith(".f32"):
            path = os.path.join(index, name)
            size = os.path.getsize(path)
            os.unlink(path)
            out.append(Done("file", f"index/{name}", 0, size, ()))
    return [*out, Done("delete", "index", 0, 0, tuple(sorted(lost)))]


def still_exact(folder: str, lost: Collection[Place]) -> list[int]:
    """Which of these writes can still be given back from segments, mirror and parity."""
    segments = segments_of(folder)
    wanted = {place.seq for place in lost}
    found = set()
    for number in segments.numbers():
        for item in merge_copies(*segments.both(number), number):
            if isinstance(item, Intact) and item.header.seq in wanted:
                found.add(item.header.seq)
    spreads = Spreads(segments)
    for place in lost:
        if place.seq not in found and spreads.rebuild(place.segment, place.offset) is not None:
            found.add(place.seq)
    return sorted(found)
