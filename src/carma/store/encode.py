"""From drafts to bytes: each gets its number and its place, is sealed, and is written as a record. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from carma.store.entry import Draft, Entry
from carma.store.record import APPEND, FOLLOWS, HEADER_BYTES, JOINED, RecordKind, Said, encode_header
from carma.store.sealing import Sealing

__all__ = ["Start", "encode"]


class Start(NamedTuple):
    """Where an append begins. seq: the last number that was used; now_ms: the time of drafts without one."""

    segment: int
    offset: int
    seq: int
    now_ms: int


def encode(
    drafts: Sequence[Draft], at: int, start: Start, sealing: Sealing, most_bytes: int
) -> tuple[list[Entry], bytes, int]:
    """Entries and bytes of one append of the drafts from `at` on; and where it stopped.

    It stops at `most_bytes`, but never between drafts that are joined.
    """
    parts: list[bytes] = []
    entries: list[Entry] = []
    offset, seq = start.offset, start.seq
    follows = False
    while at < len(drafts) and (offset - start.offset < most_bytes or not entries or follows):
        draft = drafts[at]
        flags = APPEND * (not entries) | JOINED * draft.joined | FOLLOWS * follows
        follows = draft.joined
        # An announcement says nothing that the manifests do not say too, so its loss is no gap.
        numbered = draft.kind != RecordKind.REWRITE
        seq += numbered
        own, time_ms = seq * numbered, draft.time_ms or start.now_ms
        kind, id, version, digest = draft.kind, draft.id, draft.version, draft.text_digest
        payload = sealing.seal(Said(kind, version, own, time_ms, id, digest, draft.payload))
        header = encode_header(kind, version, own, time_ms, id, start.segment, offset, payload, digest, flags)
        length = HEADER_BYTES + len(payload)
        raw = draft.payload if draft.content is None else b""
        entries.append(
            Entry(
                own, kind, id, version, time_ms, start.segment, offset, length, digest, draft.content,
                draft.fresh, raw,
            )
        )  # fmt: skip
        parts += (header, payload)
        offset += length
        at += 1
    return entries, b"".join(parts), at
