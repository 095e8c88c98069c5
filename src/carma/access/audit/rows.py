"""What the entries of a log give: all hashes of the tree, made anew from the bundles, level by level.

Tiles are only compared with them. A bundle that cannot be read leaves holes (None), and so does every hash
above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carma.access.audit.differences import Finding
from carma.access.audit.leaf import event_of
from carma.access.audit.tiles import ENTRIES, WIDTH, Place, bundle_entries, read_tile, width_of
from carma.access.audit.tree import leaf_hash, root_of, span_root
from carma.errors import AuditDamaged, StorageError
from carma.ports.disk import Disk

__all__ = ["Rows", "read_rows"]

_HEIGHT = 8


class Rows:
    """The hashes of a log by level: `levels[0]` of its entries, `levels[n + 1]` of the full tiles of level n.

    events: of each entry; None where it is no leaf. findings: bundles that cannot be read or hold too much.
    """

    def __init__(
        self,
        disk: Disk,
        folder: str,
        leaves: list[bytes | None],
        events: list[str | None],
        findings: list[Finding],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self.events = events
        self.findings = findings
        self.levels: list[list[bytes | None]] = [leaves]
        while len(self.levels[-1]) >= WIDTH:
            row = self.levels[-1]
            full = len(row) // WIDTH * WIDTH
            self.levels.append([_root(row[at : at + WIDTH]) for at in range(0, full, WIDTH)])

    def root(self, size: int) -> bytes | None:
        """The root over the first `size` entries; None where some cannot be read."""
        try:
            return span_root(0, size, self._node)
        except _Hole:
            return None

    def _node(self, height: int, index: int) -> bytes:
        level, above = divmod(height, _HEIGHT)
        first = index << above
        found = _root(self.levels[level][first : first + (1 << above)])
        if found is None:
            raise _Hole
        return found

    def wrong_tiles(self) -> Iterator[Place]:
        """Tiles that are missing, or hold other hashes than the entries give."""
        for level, row in enumerate(self.levels):
            for at in range(0, len(row), WIDTH):
                part = row[at : at + WIDTH]
                place = Place(level, at // WIDTH, len(part))
                if None not in part and self._tile(place) != part:
                    yield place

    def unlike_tiles(self) -> Iterator[tuple[int, bytes]]:
        """Entries that differ from their tile of level 0, and the hashes that stand there. Proves nothing."""
        row = self.levels[0]
        for at in range(0, len(row), WIDTH):
            stored = self._tile(Place(0, at // WIDTH, len(row[at : at + WIDTH])))
            for index, hash in enumerate(stored or (), at):
                if row[index] != hash:
                    yield index, hash

    def hashes(self, place: Place) -> list[bytes]:
        """The hashes that a tile should hold, as far as they are known."""
        first = place.number * WIDTH
        return [each for each in self.levels[place.level][first : first + place.width] if each is not None]

    def bundle_path(self, index: int) -> str:
        """The path of the bundle that holds an entry."""
        number = index // WIDTH
        width = width_of(len(self.levels[0]), 0, number) or WIDTH
        return Place(ENTRIES, number, width).path

    def _tile(self, place: Place) -> list[bytes] | None:
        try:
            return read_tile(self._disk, self._folder, place)
        except (AuditDamaged, StorageError):
            return None


class _Hole(Exception):
    """A hash over entries of which some cannot be read."""


def read_rows(disk: Disk, folder: str, size: int) -> Rows:
    """Read every entry of a log of `size` entries."""
    leaves: list[bytes | None] = []
    events: list[str | None] = []
    findings: list[Finding] = []
    for number in range(-(-size // WIDTH)):
        place = Place(ENTRIES, number, width_of(size, 0, number))
        start, stop = place.interval
        try:
            entries = bundle_entries(disk, folder, place)
        except (AuditDamaged, StorageError) as error:
            findings.append(
                Finding(kind="missing", path=place.path, start=start, stop=stop, what=error.message)
            )
            entries = []
        if len(entries) > place.width:
            what = f"The bundle holds {len(entries)} entries in the place of {place.width}."
            findings.append(Finding(kind="inserted", path=place.path, start=start, stop=stop, what=what))
        entries = entries[: place.width]
        holes = place.width - len(entries)
        leaves += [*map(leaf_hash, entries), *[None] * holes]
        events += [*map(event_of, entries), *[None] * holes]
    return Rows(disk, folder, leaves, events, findings)


def _root(hashes: Sequence[bytes | None]) -> bytes | None:
    whole = [each for each in hashes if each is not None]
    return root_of(whole) if len(whole) == len(hashes) else None
