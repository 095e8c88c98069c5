"""The frame: one record of a journal as bytes, and the search for the truth among four copies of a file.

A frame says of itself which generation of the journal it belongs to, which record it is, at which offset it
was written and where it stands in its append, and a BLAKE3 digest covers all of it. So a valid frame is never
taken for another one, and the copies of a journal, which are equal byte for byte, mend each other frame by
frame. Everything here is a function of bytes; the files are in `journal`.

Rejected: a checksum per file (one flipped bit would cost a copy), trusting the longest copy (an append that
was torn would count).

Layout, little-endian:

    magic 4 | payload length 4 | generation 8 | sequence 8 | offset 8 | place 4 | left 4 | payload | BLAKE3 32

`place` and `left` count the records of the same append before and after this one. The first frame of a file
is the head; in a rewritten journal the head and all records that were rewritten are one append.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3

__all__ = [
    "HEAD",
    "MAX_RECORD_BYTES",
    "OVERHEAD_BYTES",
    "Frame",
    "Image",
    "acknowledged_of",
    "assemble",
    "encode",
    "frame_at",
    "frames_in",
]

HEAD = b"carma journal 1"
MAX_RECORD_BYTES = 1 << 20
_MAGIC = b"\xc4JR\x1f"
_HEADER = struct.Struct("<4sIQQQII")
_HEADER_BYTES = _HEADER.size
_DIGEST_BYTES = 32
OVERHEAD_BYTES = _HEADER_BYTES + _DIGEST_BYTES


class Frame(NamedTuple):
    """A valid frame. `raw` is all of it."""

    generation: int
    sequence: int
    offset: int
    place: int
    left: int
    raw: bytes

    @property
    def payload(self) -> bytes:
        """The record."""
        return self.raw[_HEADER_BYTES:-_DIGEST_BYTES]

    @property
    def end(self) -> int:
        """Offset of the byte past the frame."""
        return self.offset + len(self.raw)

    @property
    def first(self) -> int:
        """Sequence number of the first record of the same append."""
        return self.sequence - self.place

    @property
    def last(self) -> int:
        """Sequence number of the last record of the same append."""
        return self.sequence + self.left


@dataclass(frozen=True, slots=True)
class Image:
    """What a journal holds, and the bytes that every copy should have.

    lost: sequence numbers of records that no copy holds any more.
    """

    generation: int
    data: bytes
    frames: tuple[Frame, ...]
    newest: int
    lost: tuple[int, ...] = field(default=())

    @property
    def ranges(self) -> Iterator[tuple[int, int]]:
        """(first, end) of each frame and each gap between frames, in order."""
        at = 0
        for frame in self.frames:
            if frame.offset > at:
                yield at, frame.offset
            yield frame.offset, frame.end
            at = frame.end


def encode(records: Sequence[bytes], generation: int, sequence: int, offset: int) -> bytes:
    """One append: the frames of `records`; the first has number `sequence` and begins at `offset`."""
    parts = []
    count = len(records)
    for place, record in enumerate(records):
        header = _HEADER.pack(
            _MAGIC, len(record), generation, sequence + place, offset, place, count - 1 - place
        )
        frame = header + record + blake3(header + record).digest()
        offset += len(frame)
        parts.append(frame)
    return b"".join(parts)


def frame_at(data: bytes, at: int, base: int = 0) -> Frame | None:
    """The frame at `data[at:]`, where `data` begins at offset `base` of the file; None if there is none."""
    if len(data) - at < OVERHEAD_BYTES:
        return None
    magic, length, generation, sequence, offset, place, left = _HEADER.unpack_from(data, at)
    if magic != _MAGIC or length > MAX_RECORD_BYTES or offset != at + base:
        return None
    raw = data[at : at + OVERHEAD_BYTES + length]
    body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
    if len(raw) != OVERHEAD_BYTES + length or blake3(body).digest() != digest:
        return None
    return Frame(generation, sequence, offset, place, left, raw)


def frames_in(data: bytes) -> Iterator[Frame]:
    """Every valid frame of a file, also behind damage."""
    at = 0
    while at >= 0:
        frame = frame_at(data, at)
        if frame is not None:
            yield frame
            at = frame.end
        else:
            at = data.find(_MAGIC, at + 1)


def assemble(copies: Sequence[bytes], witness: int) -> Image | None:
    """What the copies of a journal hold together; None if there is no valid frame.

    witness: a sequence number that is known to have been acknowledged, 0 if none is known.
    """
    found: dict[int, Counter[Frame]] = {}
    for data, times in Counter(copies).items():
        for frame in frames_in(data):
            found.setdefault(frame.generation, Counter())[frame] += times
    for generation in sorted(found, reverse=True):
        frames = _agreed(found[generation])
        if generation == min(found) or _was_committed(frames, found[generation], witness):
            return _image(generation, frames, witness)
    return None


def acknowledged_of(image: Image | None, acknowledged: int) -> Image | None:
    """The image without what is being appended at this moment: it may still be taken back, and other records
    come in its place. A rewrite that is whole stays as it is.
    """
    if image is None or not image.frames:
        return image
    newest = max(acknowledged, image.frames[0].last)
    if image.newest <= newest:
        return image
    frames = tuple(frame for frame in image.frames if frame.sequence <= newest)
    lost = tuple(sequence for sequence in image.lost if sequence <= newest)
    return Image(image.generation, image.data[: frames[-1].end], frames, newest, lost)


def _agreed(found: Counter[Frame]) -> dict[int, Frame]:
    """One frame for each sequence number: the one that most copies hold."""
    frames: dict[int, Frame] = {}
    for frame, _ in found.most_common():
        frames.setdefault(frame.sequence, frame)
    return frames


def _was_committed(frames: dict[int, Frame], found: Counter[Frame], witness: int) -> bool:
    """Whether a rewrite came to its end in one copy: copies are rewritten one after the other.

    So it did if its first append is whole, if something was appended to it, or if two copies had begun it.
    """
    head = frames[min(frames)]
    return (
        witness >= head.last
        or any(frame.first != head.first for frame in frames.values())
        or max(found.values()) > 1
        or (head.place == 0 and _whole(frames, head))
    )


def _whole(frames: dict[int, Frame], one: Frame) -> bool:
    """Whether all records of the append to which `one` belongs are there."""
    return all(sequence in frames for sequence in range(one.first, one.last + 1))


def _image(generation: int, frames: dict[int, Frame], witness: int) -> Image | None:
    """The image of one generation, without an append at its end that was torn and never acknowledged."""
    last = frames[max(frames)]
    if witness < last.last and last.first != frames[min(frames)].first and not _whole(frames, last):
        frames = {sequence: frame for sequence, frame in frames.items() if sequence < last.first}
    kept = sorted(frames.values(), key=lambda frame: frame.offset)
    parts, at = [], 0
    for frame in kept:
        parts += [bytes(frame.offset - at), frame.raw]
        at = frame.end
    first = frames[min(frames)].first if kept[0].offset == 0 else frames[min(frames)].first - 1
    newest = max(max(frames), witness)
    lost = tuple(sequence for sequence in range(first, newest + 1) if sequence not in frames)
    return Image(generation, b"".join(parts), tuple(kept), newest, lost)
