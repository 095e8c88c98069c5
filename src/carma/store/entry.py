"""A record as the layers above the log see it: decoded, with its place."""

from __future__ import annotations

import struct
from typing import NamedTuple

from carma.store.payload import Content, decode_content
from carma.store.record import HEADER_BYTES, Header, RecordDamaged, RecordKind
from carma.store.scan import Damaged, Intact
from carma.store.sealing import PLAIN, Sealing

__all__ = ["MOVE", "Draft", "Entry", "entry_of", "followed"]

MOVE = struct.Struct("<QIIQ")
"""One move of an announcement, once it is expanded: seq, segment, length, offset."""


class Draft(NamedTuple):
    """A record that waits for its number and its place.

    fresh: the id was made for this record, so nothing else can know it.
    time_ms: when its version was written, if that was earlier than now.
    joined: it and the next draft of the same commit stand or fall together: one append, no half of it after a
    crash.
    """

    kind: RecordKind
    id: bytes
    version: int
    payload: bytes
    text_digest: bytes
    content: Content | None
    fresh: bool = False
    time_ms: int | None = None
    joined: bool = False


class Entry(NamedTuple):
    """A record that is in the log. length: of the whole record, in bytes.

    content: None for what is no fragment, and for a fragment of which only the header can be read.
    """

    seq: int
    kind: int
    id: bytes
    version: int
    time_ms: int
    segment: int
    offset: int
    length: int
    text_digest: bytes
    content: Content | None
    fresh: bool = False
    payload: bytes = b""

    @property
    def created_ms(self) -> int:
        """When the fragment's first version was written, milliseconds since the epoch."""
        if self.content is not None and self.content.created_ms is not None:
            return self.content.created_ms
        return self.time_ms

    @property
    def position(self) -> float:
        """Order among the siblings; a fragment without a wish stands where it was written."""
        if self.content is not None and self.content.position is not None:
            return self.content.position
        return float(self.seq)


def entry_of(item: Intact, sealing: Sealing = PLAIN) -> Entry:
    """Decode a proven record. Raises RecordDamaged ("bad seal")."""
    header = item.header
    payload = sealing.payload(header, item.payload)
    content = decode_content(payload) if header.kind == RecordKind.FRAGMENT else None
    return Entry(
        header.seq, header.kind, header.id, header.version, header.time_ms, header.segment, header.offset,
        HEADER_BYTES + header.length, header.text_digest, content, False,
        b"" if header.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE, RecordKind.FOOTER) else payload,
    )  # fmt: skip


def followed(item: Intact | Damaged | None, sealing: Sealing = PLAIN) -> Entry | None:
    """The entry of what `follow_log` passed; None if it says nothing.

    A fragment of which only the header is whole is an entry without content: readers get a blank, never an
    older text. So is one whose seal is not the owner's. A deletion that cannot be opened deletes nothing, and
    nothing older is shown for it either: it is a version that cannot be read.
    """
    if isinstance(item, Intact):
        try:
            return entry_of(item, sealing)
        except RecordDamaged:
            return _unread(item.header, sealing)
    header = item.named if item is not None else None
    return _unread(header, sealing) if header is not None else None


def _unread(header: Header, sealing: Sealing) -> Entry | None:
    sealed_end = header.kind == RecordKind.TOMBSTONE and sealing.cipher is not None
    if header.kind != RecordKind.FRAGMENT and not sealed_end:
        return None
    return Entry(
        header.seq, RecordKind.FRAGMENT, header.id, header.version, header.time_ms, header.segment,
        header.offset, HEADER_BYTES + header.length, header.text_digest, None,
    )  # fmt: skip
