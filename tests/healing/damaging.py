"""Real damage to the real files of a memory: each function does one thing and says how it must be found.

The memory is the one of `rested`: 300 fragments in one spread of 20 segments and 8 parity files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from carma.memory.memory import Memory
from carma.ports.disk import LocalDisk
from carma.reports import Finding, FindingKind
from carma.store.manifest import Listed, Manifest
from carma.store.parity import Spreads
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header
from carma.store.scan import Intact, merge_copies
from carma.store.segments import REWRITTEN, Segments
from carma.testing import HashEmbedder

LONG_AGO = (1_000_000_000, 1_000_000_000)
"""Access and modification time of files that are no longer taken for unfinished."""


def open_at(folder: Path, **options: object) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(), **options)  # type: ignore[arg-type]


class Expected(NamedTuple):
    """The finding that a damage must lead to."""

    kind: FindingKind
    path: str
    offset: int | None = None
    seq: int | None = None
    id: str | None = None


def seen_as(finding: Finding) -> Expected:
    return Expected(finding.kind, finding.path, finding.offset, finding.seq, finding.id)


def spreads_of(folder: Path) -> list[Manifest]:
    return Spreads(Segments(LocalDisk(), str(folder))).manifests()


def records_of(folder: Path, number: int) -> list[Intact]:
    segments = Segments(LocalDisk(), str(folder))
    data = segments.read_all("segments", number)
    assert data is not None
    return [item for item in merge_copies(data, bytes, len(data), number) if isinstance(item, Intact)]


def segment_path(number: int) -> str:
    return f"segments/c{number:06d}.seg"


def of_record(kind: FindingKind, item: Intact) -> Expected:
    header = item.header
    return Expected(
        kind, segment_path(header.segment - REWRITTEN), header.offset, header.seq, header.id.hex()
    )


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def lose_a_segment(folder: Path) -> Expected:
    (folder / segment_path(3)).unlink()
    return Expected("missing file", segment_path(3))


def lose_a_parity_file(folder: Path) -> Expected:
    (folder / "parity/000001-0.par").unlink()
    return Expected("missing file", "parity/000001-0.par")


def cut_a_segment(folder: Path) -> Expected:
    last = records_of(folder, REWRITTEN + 3)[-1].header
    os.truncate(folder / segment_path(3), last.end - 7)
    return Expected("truncated", segment_path(3), last.end - 7)


def cut_a_parity_file(folder: Path) -> Expected:
    path = folder / "parity/000001-5.par"
    os.truncate(path, path.stat().st_size - 20)
    return Expected("truncated", "parity/000001-5.par", path.stat().st_size)


def lengthen_a_segment(folder: Path) -> Expected:
    path = folder / segment_path(4)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")
    return Expected("bad digest", segment_path(4), size)


def rot_a_header(folder: Path) -> Expected:
    item = records_of(folder, REWRITTEN + 5)[4]
    flip(folder / segment_path(5), item.header.offset + 17)
    return of_record("bad header", item)


def rot_a_text(folder: Path) -> Expected:
    item = records_of(folder, REWRITTEN + 5)[6]
    flip(folder / segment_path(5), item.header.offset + HEADER_BYTES + 5)
    return of_record("bad digest", item)


def misdirect_a_file(folder: Path) -> Expected:
    shutil.copyfile(folder / segment_path(6), folder / segment_path(7))
    first = spreads_of(folder)[0]
    index = first.index_at(REWRITTEN + 7, 0)
    assert index is not None
    record = first.records[index]
    return Expected("misdirected", segment_path(7), 0, record.seq, record.id.hex())


def rot_parity(folder: Path) -> Expected:
    flip(folder / "parity/000001-1.par", HEADER_BYTES + 30)
    return Expected("bad digest", "parity/000001-1.par", 0)


def rot_a_copies_file(folder: Path) -> Expected:
    number = Segments(LocalDisk(), str(folder)).columns()[-1]
    copies = [i for i in records_of(folder, number) if i.header.kind == RecordKind.COPIES]
    assert copies, "without vectors there are no sketches"
    flip(folder / "parity/000001-7.par", copies[0].header.offset + HEADER_BYTES + 3)
    return Expected("bad digest", "parity/000001-7.par", copies[0].header.offset)


def misdirect_parity(folder: Path) -> Expected:
    shutil.copyfile(folder / "parity/000001-4.par", folder / "parity/000001-5.par")
    return Expected("misdirected", "parity/000001-5.par", 0)


def write_wrong_shards(folder: Path) -> Expected:
    """A PARITY record that proves itself and holds something else than encoding gives."""
    segments = Segments(LocalDisk(), str(folder))
    number = segments.columns()[4]
    item = next(i for i in records_of(folder, number) if i.header.kind == RecordKind.PARITY)
    payload = item.payload[:-1] + bytes([item.payload[-1] ^ 1])
    h = item.header
    header = encode_header(h.kind, 0, 0, h.time_ms, NO_ID, h.segment, h.offset, payload)
    path = folder / "parity/000001-4.par"
    data = path.read_bytes()
    path.write_bytes(data[: h.offset] + header + payload + data[h.end :])
    return Expected("parity mismatch", "parity/000001-4.par", h.offset)


def lose_the_mirror(folder: Path) -> Expected:
    (path,) = (folder / "mirror").glob("*.seg")
    path.unlink()
    return Expected("missing file", f"mirror/{path.name}")


def rot_the_mirror(folder: Path) -> Expected:
    (path,) = (folder / "mirror").glob("*.seg")
    flip(path, HEADER_BYTES + 3)
    return Expected("bad digest", f"mirror/{path.name}", 0)


def lose_memory_json(folder: Path) -> Expected:
    (folder / "memory.json").unlink()
    return Expected("missing file", "memory.json")


def rot_memory_json(folder: Path) -> Expected:
    path = folder / "memory.json"
    path.write_text(path.read_text().replace('"created": 1', '"created": 2'))
    return Expected("bad digest", "memory.json")


def swap_memory_json(folder: Path) -> Expected:
    with open_at(folder.parent / "other"):
        pass
    shutil.copyfile(folder.parent / "other/memory.json", folder / "memory.json")
    return Expected("misdirected", "memory.json")


def leave_a_stranger(folder: Path) -> Expected:
    path = folder / "segments/notes.txt"
    path.write_text("not mine")
    os.utime(path, LONG_AGO)
    return Expected("orphan", "segments/notes.txt")


def leave_an_unknown_segment(folder: Path) -> Expected:
    path = folder / segment_path(900_000)
    path.write_bytes(b"nothing that anybody announced")
    os.utime(path, LONG_AGO)
    return Expected("orphan", segment_path(900_000))


def rot_the_vectors(folder: Path) -> Expected:
    (path,) = (folder / "index").glob("vectors-*.f32")
    flip(path, path.stat().st_size // 2)
    return Expected("bad digest", f"index/{path.name}")


DAMAGES: list[Callable[[Path], Expected]] = [
    lose_a_segment, lose_a_parity_file, cut_a_segment, cut_a_parity_file, lengthen_a_segment, rot_a_header,
    rot_a_text, misdirect_a_file, rot_parity, rot_a_copies_file, misdirect_parity, write_wrong_shards,
    lose_the_mirror, rot_the_mirror, lose_memory_json, rot_memory_json, swap_memory_json, leave_a_stranger,
    leave_an_unknown_segment, rot_the_vectors,
]  # fmt: skip
BY_NAMES = {
    lose_a_segment, lose_a_parity_file, cut_a_segment, cut_a_parity_file, lengthen_a_segment,
    misdirect_a_file, misdirect_parity, lose_the_mirror, lose_memory_json, rot_memory_json, swap_memory_json,
    leave_a_stranger, leave_an_unknown_segment,
}  # fmt: skip
"""Those that names, sizes and first headers give away."""


def rot_a_stripe(folder: Path, stripe: int = 2, members: int = 9) -> list[Listed]:
    """Bits flip in so many records of a stripe, one more than it has parity; whose records they are.

    Each at another place: the same bit of all may cancel out.
    """
    manifest = spreads_of(folder)[0]
    hit = manifest.members(stripe)[:members]
    for at, index in enumerate(hit):
        segment, offset, _ = manifest.place(index)
        flip(folder / segment_path(segment - REWRITTEN), offset + HEADER_BYTES + 4 + at)
    return [manifest.records[index] for index in hit]
