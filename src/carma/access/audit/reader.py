"""Reading a log so that nothing unproven comes out: every tile is held against the root of a checkpoint.

The tiles that are not full hold the root together; a full one must have the hash that the tile above it says;
an entry must have the hash that stands in its tile. What was proven is kept for a while. Proofs are made from
proven tiles, so a damaged one gives an error that names it and never a wrong proof.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from carma.access.audit.checkpoint import Checkpoint
from carma.access.audit.tiles import (
    ENTRIES,
    WIDTH,
    Place,
    TileDamaged,
    edge_places,
    read_bundle,
    read_tile,
    width_of,
)
from carma.access.audit.tree import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    span_root,
)
from carma.errors import AuditDamaged, EventNotLogged
from carma.ports.disk import Disk

__all__ = ["LogReader", "edges_root"]

_HEIGHT = 8
_KEPT_TILES = 1_024


class LogReader:
    """The log in `folder` as far as `checkpoint` speaks of it, which the caller trusts."""

    def __init__(self, disk: Disk, folder: str, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._disk = disk
        self._folder = folder
        self._edges: dict[int, list[bytes]] | None = None
        self._tiles: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.checkpoint.size

    def edges(self) -> dict[int, list[bytes]]:
        """The hashes of the tiles that are not full, by level, proven. Raises AuditDamaged."""
        if self._edges is None:
            edges = {
                place.level: read_tile(self._disk, self._folder, place) for place in edge_places(self.size)
            }
            if edges_root(edges) != self.checkpoint.root:
                raise AuditDamaged(
                    "The last tiles do not give the root that the checkpoint says: one of "
                    + ", ".join(place.path for place in edge_places(self.size)) + " was changed."
                )  # fmt: skip
            self._edges = edges
        return self._edges

    def tile(self, level: int, index: int) -> list[bytes]:
        """The hashes of a tile, proven. Raises AuditDamaged."""
        known = self._tiles.get((level, index))
        if known is not None:
            return known
        width = width_of(self.size, level, index)
        if width < WIDTH:
            return self.edges()[level]
        place = Place(level, index)
        hashes = read_tile(self._disk, self._folder, place)
        if root_of(hashes) != self.tile(level + 1, index // WIDTH)[index % WIDTH]:
            raise TileDamaged(place, "its hashes are not those that the tile above stands for")
        self._tiles[level, index] = hashes
        if len(self._tiles) > _KEPT_TILES:
            self._tiles.popitem(last=False)
        return hashes

    def node(self, height: int, index: int) -> bytes:
        """The hash of a perfect subtree, proven. Raises AuditDamaged."""
        level, above = divmod(height, _HEIGHT)
        first = index << above
        at = first % WIDTH
        return root_of(self.tile(level, first // WIDTH)[at : at + (1 << above)])

    def root_at(self, size: int) -> bytes:
        """The root when the log had `size` entries. Raises AuditDamaged."""
        return span_root(0, size, self.node)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that entry `index` is in the log of `size` entries (all, if None).

        Raises AuditDamaged, EventNotLogged.
        """
        size = self.size if size is None else size
        if not 0 <= index < size <= self.size:
            raise EventNotLogged(f"The log of {size} entries has no number {index}.")
        return inclusion_proof(index, size, self.node)

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the first `old` entries are those that the log had then. Raises AuditDamaged."""
        if not 0 <= old <= self.size:
            raise AuditDamaged(f"The log has {self.size} entries, not {old}: its end was cut off.")
        return consistency_proof(old, self.size, self.node)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Entries with their numbers, proven, from `start` up to `stop`. Raises AuditDamaged."""
        stop = self.size if stop is None else min(stop, self.size)
        for index in range(start // WIDTH, -(-stop // WIDTH)):
            bundle = self.bundle(index)
            first = index * WIDTH
            for at in range(max(start - first, 0), min(stop - first, len(bundle))):
                yield first + at, bundle[at]

    def bundle(self, index: int) -> list[bytes]:
        """The entries of one bundle, proven. Raises AuditDamaged."""
        place = Place(ENTRIES, index, width_of(self.size, 0, index))
        entries = read_bundle(self._disk, self._folder, place)
        hashes = self.tile(0, index)
        wrong = [at for at, entry in enumerate(entries) if leaf_hash(entry) != hashes[at]]
        if wrong:
            raise TileDamaged(place, f"entry {index * WIDTH + wrong[0]} is not the one that was logged")
        return entries


def edges_root(edges: dict[int, list[bytes]]) -> bytes:
    """The root of a tree from the hashes of its tiles that are not full, by level."""
    root: bytes | None = None
    for level in sorted(edges):
        row = edges[level]
        end = len(row)
        while end:
            size = end & -end
            peak = root_of(row[end - size : end])
            root = peak if root is None else node_hash(peak, root)
            end -= size
    return EMPTY_ROOT if root is None else root
