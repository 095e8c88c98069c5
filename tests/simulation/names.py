"""What the files of a memory still name, read past the memory itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from carma.store.parity import Spreads
from carma.store.record import RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.segments import Segments
from carma.testing import SimulatedDisk

__all__ = ["Named", "named"]


@dataclass
class Named:
    """newest: the highest version of each fragment that a header or a manifest names, and whether it is a
    deletion; only what was acknowledged counts. seqs: all numbers of writes that anything names.
    """

    newest: dict[str, tuple[int, bool]] = field(default_factory=dict)
    seqs: set[int] = field(default_factory=set)

    def add(self, kind: int, id: bytes, version: int, seq: int, acknowledged: set[tuple[str, int]]) -> None:
        if seq:
            self.seqs.add(seq)
        key = (id.hex(), version)
        if kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE) and key in acknowledged:
            found = (version, kind == RecordKind.TOMBSTONE)
            self.newest[key[0]] = max(self.newest.get(key[0], found), found)


def named(disk: SimulatedDisk, folder: str, acknowledged: set[tuple[str, int]]) -> Named:
    """Every name on a disk."""
    segments = Segments(disk.copy(), folder)
    found = Named()
    for number in segments.numbers():
        for item in merge_copies(*segments.both(number), number):
            header = item.header if isinstance(item, Intact) else item.named
            if header is not None:
                found.add(header.kind, header.id, header.version, header.seq, acknowledged)
    for manifest in Spreads(segments).manifests():
        for record in manifest.records:
            found.add(record.kind, record.id, record.version, record.seq, acknowledged)
    return found
