"""What is left of a stripe: whether a damaged record can still be had, and how much more may be lost.

A stripe of which any k of its k + m shards are left gives all of its records back. Where the shards are not
wide the record is decoded, which is the proof; where they are, the proven shards are counted, because
decoding would hold all of them in memory.
"""

from __future__ import annotations

from carma.healing.exact import Exact
from carma.store.manifest import Manifest
from carma.store.record import HEADER_BYTES, RecordDamaged
from carma.store.store import Store

__all__ = ["Survivors", "spare_shards"]

_GROUP_HEAD_BYTES = 8


class Survivors:
    """Answers for one tour; remembers the stripes of the spread that was asked about last."""

    def __init__(self, store: Store, exact: Exact) -> None:
        self._store = store
        self._exact = exact
        self._spread = 0
        self._lost: dict[int, frozenset[int]] = {}

    def lost(self, manifest: Manifest, index: int) -> bool:
        """Whether neither its place nor an exact rung gives the record back, or at least its text."""
        segment, offset, _ = manifest.place(index)
        if self._store.spreads.rebuild(segment, offset, self._store.settings.read_repair_bytes) is not None:
            return False
        if self._spread != manifest.head.spread:
            self._spread, self._lost = manifest.head.spread, {}
        stripe = manifest.stripe_of(index)
        if stripe not in self._lost:
            self._lost[stripe] = frozenset(self._in_stripe(manifest, stripe))
        return index in self._lost[stripe]

    def _in_stripe(self, manifest: Manifest, stripe: int) -> list[int]:
        members = manifest.members(stripe)
        if manifest.width(stripe) <= self._store.settings.read_repair_bytes:
            found = self._store.spreads.stripe(manifest, stripe)
            gone = [at for at, item in zip(members, found, strict=True) if item is None]
        else:
            gone = [at for at in members if self._store.spreads.member(manifest, at) is None]
            if _shards(self._store, manifest, stripe) >= len(gone):
                gone = []
        return [at for at in gone if self._exact.text(manifest.records[at].seq) is None]


def spare_shards(store: Store, manifest: Manifest, index: int) -> int:
    """How many more shards of a record's stripe may be lost before something is; negative: too few are
    left.
    """
    stripe = manifest.stripe_of(index)
    members = manifest.members(stripe)
    gone = sum(store.spreads.member(manifest, at) is None for at in members)
    return _shards(store, manifest, stripe) - gone


def _shards(store: Store, manifest: Manifest, stripe: int) -> int:
    """How many parity shards of a stripe are proven."""
    first, count, behind = next(group for group in reversed(manifest.groups) if group[0] <= stripe)
    length = HEADER_BYTES + _GROUP_HEAD_BYTES + sum(map(manifest.width, range(first, first + count)))
    held = 0
    for at in range(manifest.head.m):
        try:
            store.segments.read_copy("segments", manifest.column(at), manifest.start(at) + behind, length)
        except RecordDamaged:
            continue
        held += 1
    return held
