"""Sweeping: files that a spread replaced, and registry rows that nothing can reach any more."""

from __future__ import annotations

from blake3 import blake3

from carma.store.apply import insert_replaced
from carma.store.encrypting import UNFINISHED
from carma.store.manifest import Manifest
from carma.store.record import RecordKind
from carma.store.scan import Damaged, merge_copies
from carma.store.segments import COPIES, PARITY, REWRITTEN
from carma.store.spread import Ground
from carma.store.store import Store

__all__ = ["is_whole", "sweep_files", "sweep_quarantine", "sweep_registry"]


def sweep_files(store: Store, linger_s: float) -> int:
    """Remove replaced files whose time is up and orphans of an interrupted spreading; how many files went.

    Before a replaced file goes, the spread that took its place is read and proven from its first byte to its
    last.
    """
    store.settle()
    now = store.now_ms()
    removed = 0
    whole: dict[int, bool] = {}
    with store.alone():
        for number, replaced_ms, spread in store.registry.rows(
            "SELECT segment, replaced_ms, output FROM rewritten ORDER BY segment"
        ):
            if replaced_ms + linger_s * 1000 > now or not _there(store, number) or not _unused(store, number):
                continue
            if spread not in whole:
                whole[spread] = _stands(store, spread)
            if whole[spread]:
                removed += _remove(store, number)
        orphans = _orphans(store, linger_s)
        with store.registry.transaction() as db:
            # Their numbers are not used again: somebody may have read a manifest that never counted.
            insert_replaced(db, orphans, 0, now, ())
        removed += sum(_remove(store, number) for number in orphans)
        for place in (*COPIES, "parity"):
            for name in store.disk.listdir(f"{store.folder}/{place}"):
                if name.endswith((".new", UNFINISHED)):
                    store.disk.unlink(f"{store.folder}/{place}/{name}")
                    removed += 1
        if removed:
            for place in (*COPIES, "parity"):
                store.disk.sync_dir(f"{store.folder}/{place}")
            store.spreads.forget()
    return removed


def sweep_quarantine(store: Store) -> int:
    """Remove what repairs and recoveries have set aside; how many files went."""
    folder = f"{store.folder}/quarantine"
    names = store.disk.listdir(folder)
    for name in names:
        store.disk.unlink(f"{folder}/{name}")
    if names:
        store.disk.sync_dir(folder)
    return len(names)


def is_whole(store: Ground, manifest: Manifest) -> bool:
    """Whether every file of a spread is there and proven, from its first byte to its last."""
    for at, number in enumerate(manifest.segments):
        data = store.segments.read_all("segments", number)
        if data is None or blake3(data).digest(8) != manifest.head.digests[at * 8 : at * 8 + 8]:
            return False
    for at, number in enumerate(manifest.columns):
        data = store.segments.read_all("segments", number)
        if data is None or len(data) != manifest.column_size(at):
            return False
        if any(isinstance(item, Damaged) for item in merge_copies(data, bytes, len(data), number)):
            return False
    return True


def _stands(store: Store, spread: int) -> bool:
    """Whether a spread is whole, or was itself replaced since (then its successor is asked).

    Number 0: nothing was worth keeping.
    """
    if not spread:
        return True
    later = store.registry.one("SELECT output FROM rewritten WHERE segment=?", (PARITY + spread * 16,))
    if later is not None:
        return _stands(store, later[0])
    manifest = store.spreads.get(spread)
    return manifest is not None and is_whole(store, manifest)


def _there(store: Store, number: int) -> bool:
    return any(store.disk.size(store.segments.path(copy, number)) is not None for copy in COPIES)


def _unused(store: Store, number: int) -> bool:
    """Whether the registry knows of nothing there that must be kept."""
    if number >= PARITY:
        # A manifest names what is lost of its segments, also when a spread has taken their place.
        manifest = store.spreads.of_segment(number)
        return manifest is None or all(_unused(store, each) for each in manifest.segments)
    kept = store.registry.one(
        "SELECT 1 FROM fragments WHERE segment=?1 UNION ALL SELECT 1 FROM other WHERE segment=?1 "
        "AND (kind=?2 OR seq IN (SELECT seq FROM reconstructions)) LIMIT 1",
        (number, int(RecordKind.LEDGER)),
    )
    return kept is None


def _orphans(store: Store, linger_s: float) -> list[int]:
    """Files of spreads that nothing announced, older than the time a spreading may take to announce them."""
    found: list[int] = []
    for manifest in store.spreads.manifests():
        if not all(_unused(store, number) for number in manifest.segments):
            continue
        modified = store.disk.modified(store.segments.path("segments", manifest.column(0)))
        if modified is None or modified + linger_s <= store.clock.now():
            found += (*manifest.segments, *manifest.columns)
    named = {number for each in store.spreads.manifests() for number in each.segments}
    for number in store.segments.numbers():
        # Segments whose manifest was never written.
        if number < REWRITTEN or number in named or not _unused(store, number):
            continue
        modified = store.disk.modified(store.segments.path("segments", number))
        if modified is None or modified + linger_s <= store.clock.now():
            found.append(number)
    # What a spread took the place of is no orphan: it goes when its time is up and its successor stands.
    replaced = {row[0] for row in store.registry.rows("SELECT segment FROM rewritten")}
    return [number for number in found if number not in replaced and _there(store, number)]


def _remove(store: Store, number: int) -> int:
    """Remove the copies of a segment or a parity file; the folder is the caller's to sync."""
    count = 0
    for copy in COPIES if number < REWRITTEN else COPIES[:1]:
        path = store.segments.path(copy, number)
        if store.disk.size(path) is not None:
            store.disk.unlink(path)
            count += 1
    store.segments.forget(number)
    return count


def sweep_registry(store: Store, *, thorough: bool = False) -> None:
    """Drop metadata of dead versions; `thorough` leaves no trace of a deleted word in the file or its log."""
    with store.registry.transaction() as db:
        db.execute("DELETE FROM metadata WHERE seq NOT IN (SELECT seq FROM fragments WHERE live)")
        if thorough:
            # FTS5 keeps the tokens of deleted rows until its segments are merged.
            db.execute("INSERT INTO words(words) VALUES('optimize')")
            db.execute("INSERT INTO tokens(tokens) VALUES('optimize')")
            db.execute(
                "INSERT OR REPLACE INTO state SELECT 'scrubbed', coalesce(max(seq), 0) FROM fragments "
                "WHERE kind = 'tombstone'"
            )
    if thorough:
        store.registry.scrub()
