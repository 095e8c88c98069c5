"""Damage on purpose: what a disk, a crash or a hand does to the files of a memory.

A table of functions, one for each kind, that work on the real files and on nothing else: they change bytes in
place, as a disk does, so a memory that is open sees it too. Where a record lies is told by its caller, who
asks the registry before; which records a cut or a removed file takes with it is read from the files.

    damage(folder, victims, "flip", random.Random(1))

After restic's tests, which hold their damage as a table of functions. Rejected: damage through the disk port
of a simulation (`carma.testing` does that): what is to be proven to a stranger has to happen to files they
can look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from random import Random
from typing import NamedTuple

from carma.errors import InvalidInput
from carma.ports.disk import LocalDisk
from carma.store.parity import Spreads
from carma.store.record import RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.segments import Segments, is_log

__all__ = ["DAMAGES", "Done", "Place", "damage", "records_in", "segments_of", "zero"]

MOST_FILES = 3
"""Whole files of one spread that may be lost at rest with nothing lost."""


class Place(NamedTuple):
    """Where the record of a write lies: number of its segment, offset and length in bytes, header
    included.
    """

    seq: int
    segment: int
    offset: int
    length: int


class Done(NamedTuple):
    """One thing that was done to one file.

    path: relative to the memory's folder. offset, length: the bytes that were hit or are gone.
    seqs: the fragments' records that the file does not hold any more.
    """

    kind: str
    path: str
    offset: int
    length: int
    seqs: tuple[int, ...]


class _Scene(NamedTuple):
    """What a damage function works on. most: whole files of a spread it may take, None for all it likes."""

    segments: Segments
    live: AbstractSet[int] | None
    most: int | None
    taken: set[int]

    def lost_in(self, number: int, start: int = 0) -> tuple[int, ...]:
        """The fragments' records of a segment that reach beyond `start`, those of dead versions left out."""
        return tuple(
            item.header.seq
            for item in records_in(self.segments, number)
            if item.header.kind == RecordKind.FRAGMENT
            and item.header.end > start
            and (self.live is None or item.header.seq in self.live)
        )

    def done(self, kind: str, number: int, offset: int, length: int, seqs: Sequence[int]) -> Done:
        path = os.path.relpath(self.segments.path("segments", number), self.segments.folder)
        return Done(kind, path, offset, length, tuple(seqs))


Damage = Callable[[_Scene, Sequence[Place], Random], list[Done]]


def damage(
    folder: str,
    victims: Sequence[Place],
    kind: str,
    rng: Random,
    *,
    live: AbstractSet[int] | None = None,
    most_files: int | None = MOST_FILES,
) -> list[Done]:
    """Do one kind of damage to the first place of records, and say what was done.

    victims: what to hit. "delete" overwrites each record by zeros, "flip" turns one bit within each;
    "truncate" cuts and "file" removes segments in which victims lie until at least as many fragments are lost
    as there are victims; "mixed" does each in turn to a part of them.
    live: the writes that count as fragments (all if None). most_files: of each spread, for "truncate" and
    "file"; None for no bound. What the bound leaves undone shows in the counts of what comes back.

    Raises InvalidInput for an unknown kind.
    """
    if kind not in DAMAGES:
        raise InvalidInput(f"The damage {kind!r} is not known; there are {', '.join(DAMAGES)}.")
    scene = _Scene(segments_of(folder), live, most_files, set())
    return DAMAGES[kind](scene, victims, rng)


def segments_of(folder: str) -> Segments:
    """The segment files of a memory's folder, whether or not it is open."""
    return Segments(LocalDisk(), os.path.abspath(folder))


def records_in(segments: Segments, number: int) -> Iterator[Intact]:
    """The proven records of the first copy of a segment, or of a parity file."""
    data = segments.read_all("segments", number) or b""
    for item in merge_copies(data, bytes, len(data), number):
        if isinstance(item, Intact):
            yield item


def zero(path: str, offset: int, length: int) -> None:
    """Overwrite a part of a file with zeros; the file keeps its length."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(offset)
        file.write(bytes(max(min(length, size - offset), 0)))


def _delete(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[Done]:
    """A hole: the record's bytes become zeros."""
    out = []
    for victim in victims:
        zero(scene.segments.path("segments", victim.segment), victim.offset, victim.length)
        out.append(scene.done("delete", victim.segment, victim.offset, victim.length, [victim.seq]))
    return out


def _flip(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[Done]:
    """One bit of the record, header or payload, turns around."""
    out = []
    for victim in victims:
        at = victim.offset + rng.randrange(victim.length)
        with open(scene.segments.path("segments", victim.segment), "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
        out.append(scene.done("flip", victim.segment, at, 1, [victim.seq]))
    return out


def _truncate(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[Done]:
    """Segments end at the border of a record, a byte before or a byte behind it."""
    out: list[Done] = []
    missing = len(victims)
    numbers = _files_to_take(scene, victims, rng)
    while missing > 0 and numbers:
        number = numbers.pop()
        path = scene.segments.path("segments", number)
        size = os.path.getsize(path)
        cuts = [item.header.offset for item in records_in(scene.segments, number)]
        # Each file has to lose its part of what is missing, or the last ones cannot make it good.
        part = -(-missing // (len(numbers) + 1))
        deep = [cut for cut in cuts if len(scene.lost_in(number, cut)) >= part] or [0]
        cut = max(min(rng.choice(deep) + rng.choice((-1, 0, 1)), size - 1), 0)
        seqs = scene.lost_in(number, cut)
        os.truncate(path, cut)
        scene.taken.add(number)
        out.append(scene.done("truncate", number, cut, size - cut, seqs))
        missing -= len(seqs)
    return out


def _file(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[Done]:
    """Whole segments are gone."""
    out: list[Done] = []
    missing = len(victims)
    numbers = _files_to_take(scene, victims, rng)
    while missing > 0 and numbers:
        number = numbers.pop()
        path = scene.segments.path("segments", number)
        size, seqs = os.path.getsize(path), scene.lost_in(number)
        os.unlink(path)
        scene.taken.add(number)
        out.append(scene.done("file", number, 0, size, seqs))
        missing -= len(seqs)
    return out


def _mixed(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[Done]:
    """Each kind in turn, on a part of the victims each; files first, so that what else is hit is still
    there.
    """
    out: list[Done] = []
    kinds = (_file, _truncate, _delete, _flip)
    for turn, kind in enumerate(kinds):
        part = [victim for victim in victims[turn :: len(kinds)] if victim.segment not in scene.taken]
        bound = None if scene.most is None else (1 if kind is _truncate else scene.most - 1)
        out += kind(scene._replace(most=bound), part, rng)
    return out


def _files_to_take(scene: _Scene, victims: Sequence[Place], rng: Random) -> list[int]:
    """Segments that hold a victim, in random order; of each spread no more than the bound allows."""
    numbers = sorted({victim.segment for victim in victims} - scene.taken)
    rng.shuffle(numbers)
    if scene.most is None:
        return numbers
    spreads = Spreads(scene.segments)
    left: dict[int | None, int] = {}
    out = []
    for number in numbers:
        manifest = spreads.of_segment(number)
        spread = manifest.head.spread if manifest is not None else None
        if manifest is None and is_log(number):
            out.append(number)  # The mirror holds all of it.
        elif left.setdefault(spread, scene.most) > 0:
            left[spread] -= 1
            out.append(number)
    return out


DAMAGES: Mapping[str, Damage] = {
    "delete": _delete,
    "flip": _flip,
    "truncate": _truncate,
    "file": _file,
    "mixed": _mixed,
}
"""What each kind does, by name."""
