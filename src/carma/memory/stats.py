"""Counts and sizes of a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carma.store.segments import COPIES

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["stats"]


def stats(parts: Parts) -> dict[str, Any]:
    """What is stored, where, and how fresh the indexes are. All sizes in bytes."""
    store = parts.store
    store.settle()
    registry = store.registry
    live, versions, tombstones = registry.rows(
        "SELECT coalesce(sum(live), 0), count(*), coalesce(sum(kind='tombstone'), 0) FROM fragments"
    )[0]
    other = registry.rows("SELECT count(*) FROM other")[0][0]
    dropped = registry.rows("SELECT coalesce(sum(last - first + 1), 0) FROM dropped")[0][0]
    kinds = dict(registry.rows("SELECT kind, count(*) FROM fragments WHERE live GROUP BY kind ORDER BY kind"))
    gaps = max(store.last_seq - versions - other - dropped, 0)
    return {
        "path": store.folder,
        "id": store.identity.id,
        "created": store.identity.created,
        "read_only": store.read_only,
        "fragments": live,
        "kinds": kinds,
        "versions": versions - tombstones,
        "deleted": tombstones,
        "writes": store.last_seq,
        "gaps": gaps,
        "segments": len(store.segments.numbers()),
        "bytes": {place: _folder_bytes(parts, place) for place in (*COPIES, "index", "quarantine")},
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
