"""The exact rungs that a read can afford: what gives a record back bit for bit, within a bounded time.

They run inside a read as well as in a dream. What they cost is bounded: a stripe has at most 28 shards of one
length, and one that is wider than `Settings.read_repair_bytes` is left to a dream.
"""

from __future__ import annotations

from carma.healing.condense import Copies
from carma.store.scan import Intact
from carma.store.segments import PARITY, REWRITTEN
from carma.store.store import Store

__all__ = ["Exact"]


class Exact:
    """Exact repairs of single records of one memory. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.copies = Copies(store)

    def record(self, seq: int, segment: int, offset: int) -> tuple[Intact, str] | None:
        """The record of a write that is gone from its place, decoded and proven, and by which rung."""
        decoded = self.any_record(segment, offset)
        return (decoded, "parity") if decoded is not None and decoded.header.seq == seq else None

    def text(self, seq: int) -> str | None:
        """The text of a write from its short copy, proven; None if it has none that can be read."""
        return self.copies.text(seq)

    def any_record(self, segment: int, offset: int) -> Intact | None:
        """Whatever record should be at a place, decoded."""
        if not REWRITTEN <= segment < PARITY:
            return None
        return self._store.spreads.rebuild(segment, offset, self._store.settings.read_repair_bytes)
