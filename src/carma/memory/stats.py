"""Counts and sizes of a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carma.healing.blanks import count_blanks
from carma.healing.breaker import tripped
from carma.healing.ledger import unnamed_writes
from carma.store.segments import COPIES

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["stats"]


def stats(parts: Parts) -> dict[str, Any]:
    """What is stored, where, how whole it is, and how fresh the indexes are. All sizes in bytes.

    blanks, reconstructed, repaired: as the damage ledger knows it; a scan looks. What a read decodes from
    parity counts as intact until its file is made again. gaps: numbers of writes that nothing names. expired:
    of the fragments, those that nobody is shown any more. segments: files of records, parity not counted.
    sketches: how many fragments at rest (older versions too) have a sketch or short copy, and how many have
    none yet.
    """
    store = parts.store
    store.settle()
    registry = store.registry
    live, expired, versions, tombstones = registry.rows(
        "SELECT coalesce(sum(live), 0), coalesce(sum(live AND expires <= ?), 0), count(*), "
        "coalesce(sum(kind='tombstone'), 0) FROM fragments",
        (store.clock.now(),),
    )[0]
    kinds = dict(registry.rows("SELECT kind, count(*) FROM fragments WHERE live GROUP BY kind ORDER BY kind"))
    blanks, reconstructed, repaired = count_blanks(store)
    made, missing = parts.exact.copies.count()
    places = (*COPIES, "parity", "index", "quarantine")
    return {
        "path": store.folder,
        "id": store.identity.id,
        "created": store.identity.created,
        "read_only": store.read_only,
        "fragments": live,
        "expired": expired,
        "blanks": blanks,
        "reconstructed": reconstructed,
        "repaired": repaired,
        "kinds": kinds,
        "versions": versions - tombstones,
        "deleted": tombstones,
        "writes": store.last_seq,
        "gaps": unnamed_writes(store),
        "breaker": tripped(store),
        "segments": len(store.segments.numbers()),
        "spreads": len(store.spreads.manifests()),
        "sketches": {"made": made, "missing": missing},
        "bytes": {
            **{place: _folder_bytes(parts, place) for place in places},
            "reserve": store.disk.size(f"{store.folder}/reserve") or 0,
        },
        "embedder": dict(store.identity.embedder) if store.identity.embedder else None,
        "vectors": parts.keeper.freshness(),
        "recovered": [
            {"segment": r.number, "mended": r.mended, "torn_bytes": r.torn_bytes, "damaged": r.damaged}
            for r in store.recovered
        ],
    }


def _folder_bytes(parts: Parts, place: str) -> int:
    store = parts.store
    folder = f"{store.folder}/{place}"
    return sum(store.disk.size(f"{folder}/{name}") or 0 for name in store.disk.listdir(folder))
