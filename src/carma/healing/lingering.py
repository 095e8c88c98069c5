"""Records in files that a spread replaced and that linger for readers: older copies in the same memory.

They are about to be removed and nobody counts on them; while they are there, they are as good as a mirror.
"""

from __future__ import annotations

from carma.store.manifest import Manifest
from carma.store.record import RecordDamaged, encode_header
from carma.store.scan import Intact, merge_copies, record_at
from carma.store.store import Store

__all__ = ["Lingering", "moved_to"]


class Lingering:
    """Reads the replaced files when a record is first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[int, Intact] | None = None

    def record(self, manifest: Manifest, index: int) -> Intact | None:
        """The record of a spread as it stood in a file that the spread replaced; None if it does not."""
        if self._found is None:
            self._found = self._read()
        there = self._found.get(manifest.records[index].seq)
        return moved_to(manifest, index, there) if there is not None else None

    def _read(self) -> dict[int, Intact]:
        found: dict[int, Intact] = {}
        gone = {row[0] for row in self._store.registry.rows("SELECT segment FROM rewritten")}
        segments = self._store.segments
        for number in gone.intersection(segments.numbers()):
            for item in merge_copies(*segments.both(number), number):
                if isinstance(item, Intact) and item.header.seq:
                    found[item.header.seq] = item
        return found


def moved_to(manifest: Manifest, index: int, there: Intact) -> Intact | None:
    """A record of this memory from elsewhere, as it lies in its place in a spread; None if it is another.

    The write's number, version, time, id, length and text say that it is the same; its payload is proven.
    """
    listed = manifest.records[index]
    h, payload = there
    same = (h.seq, h.kind, h.version, h.time_ms, h.id, h.length) == (
        listed.seq, listed.kind, listed.version, listed.time_ms, listed.id, listed.length,
    )  # fmt: skip
    if not same or not h.text_digest.startswith(listed.digest):
        return None
    segment, offset, _ = manifest.place(index)
    header = encode_header(h.kind, h.version, h.seq, h.time_ms, h.id, segment, offset, payload, h.text_digest)
    try:
        return record_at(header + payload, 0, segment, offset)
    except RecordDamaged:
        return None
