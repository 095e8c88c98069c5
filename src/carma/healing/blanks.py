"""Which fragments may be blank: what the ledger says, and what a light look shows.

The ledger knows what a scan found. Beside it the registry itself shows losses: a version whose words nobody
ever read is known by name only, and what lies in a file that is missing beyond its spread's parity cannot be
decoded. These are candidates; whether each can be read is for the reader to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from carma.healing.priority import Threads, priority, references
from carma.store.segments import REWRITTEN, is_log
from carma.store.store import Store

__all__ = ["BlankCount", "Candidate", "candidates", "count_blanks"]

_LOST = -1
"""Spare shards of what is lost: too few are left, and how many too few changes nothing."""
_CANDIDATES = """
SELECT seq, segment, offset, length, id, created FROM fragments
WHERE live AND (expires IS NULL OR expires > :now) AND (
    seq IN (SELECT seq FROM blanks) OR seq IN (SELECT lost_seq FROM reconstructions)
    OR seq NOT IN (SELECT rowid FROM words)
    OR segment IN (SELECT value FROM json_each(:missing)))
"""
_COUNT = """
SELECT coalesce(sum(r.lost_seq IS NULL), 0), coalesce(sum(r.lost_seq IS NOT NULL AND NOT r.exact), 0),
coalesce(sum(r.lost_seq IS NOT NULL AND r.exact), 0)
FROM fragments f LEFT JOIN blanks b ON b.seq = f.seq LEFT JOIN reconstructions r ON r.lost_seq = f.seq
WHERE f.live AND (b.seq IS NOT NULL OR r.lost_seq IS NOT NULL)
"""


class Candidate(NamedTuple):
    """A newest version that may be blank, where it should lie, and the priority of its repair."""

    seq: int
    segment: int
    offset: int
    length: int
    priority: float


class BlankCount(NamedTuple):
    """As the ledger knows it: newest versions without a text, with a reconstructed one, and with the true one
    in another place than their own.
    """

    blanks: int
    reconstructed: int
    repaired: int


def candidates(
    store: Store, threads: Threads | None = None, reads: Mapping[str, int] | None = None
) -> list[Candidate]:
    """Newest versions that may be blank, the most urgent first. threads, reads: as `references` has them."""
    store.settle()
    bindings = {"now": store.clock.now(), "missing": json.dumps(sorted(_missing(store)))}
    rows = store.registry.rows(_CANDIDATES, bindings)
    pointed_at = references(store, {row[4]: row[0] for row in rows}, threads=threads, reads=reads)
    found = [
        Candidate(seq, segment, offset, length, priority(_LOST, pointed_at[id], created / 1000))
        for seq, segment, offset, length, id, created in rows
    ]
    return sorted(found, key=lambda each: (-each.priority, each.seq))


def count_blanks(store: Store) -> BlankCount:
    """How many fragments that are not intact the ledger knows of, by state."""
    return BlankCount(*store.registry.rows(_COUNT)[0])


def _missing(store: Store) -> set[int]:
    """Segments that are not there and of which parity cannot give every record back."""
    there = set(store.segments.numbers("segments"))
    columns = set(store.segments.columns())
    named = {row[0] for row in store.registry.rows("SELECT DISTINCT segment FROM fragments WHERE live")}
    mirrored = set(store.segments.numbers("mirror"))
    found = {n for n in named if is_log(n) and n not in there and n not in mirrored}
    decodable: set[int] = set()
    for manifest in store.spreads.manifests():
        gone = set(manifest.segments) - there
        if len(gone) <= len(columns.intersection(manifest.columns)):
            decodable |= gone
    return found | {n for n in named if n >= REWRITTEN and n not in there and n not in decodable}
