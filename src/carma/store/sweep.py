"""Sweeping: files that compaction replaced, and registry rows that nothing can reach any more."""

from __future__ import annotations

from carma.store.record import RecordKind
from carma.store.scan import Damaged, merge_copies
from carma.store.segments import COPIES, REWRITTEN
from carma.store.store import Store

__all__ = ["sweep_files", "sweep_registry"]


def sweep_files(store: Store, linger_s: float) -> int:
    """Remove replaced segments whose time is up and orphans of an interrupted compaction; how many files
    went.

    Before a replaced segment goes, the one that took its place is read and proven from its first byte to its
    last.
    """
    store.settle()
    now = store.now_ms()
    removed = 0
    with store.alone():
        for segment, replaced_ms, output in store.registry.rows(
            "SELECT segment, replaced_ms, output FROM rewritten"
        ):
            due = replaced_ms + linger_s * 1000 <= now and store.segments.exists(segment)
            if due and _unused(store, segment) and _whole(store, output):
                removed += _remove(store, segment)
        removed += sum(_remove(store, number) for number in _orphans(store, linger_s))
        for copy in COPIES:
            for name in store.disk.listdir(f"{store.folder}/{copy}"):
                if name.endswith(".new"):
                    store.disk.unlink(f"{store.folder}/{copy}/{name}")
                    removed += 1
    return removed


def _unused(store: Store, segment: int) -> bool:
    """Whether the registry knows of nothing there that must be kept."""
    kept = store.registry.one(
        "SELECT 1 FROM fragments WHERE segment=?1 UNION ALL "
        "SELECT 1 FROM other WHERE segment=?1 AND kind=?2 LIMIT 1",
        (segment, int(RecordKind.LEDGER)),
    )
    return kept is None


def _whole(store: Store, segment: int) -> bool:
    """Whether both copies of a segment are proven, or it was itself replaced since (then its successor is
    asked).
    """
    later = store.registry.one("SELECT output FROM rewritten WHERE segment=?", (segment,))
    if later is not None:
        return _whole(store, later[0])
    size = store.segments.size(segment)
    for copy in COPIES:
        data = store.segments.read_all(copy, segment)
        if data is None or len(data) != size or size == 0:
            return False
        if any(isinstance(item, Damaged) for item in merge_copies(data, bytes, size, segment)):
            return False
    return True


def _orphans(store: Store, linger_s: float) -> list[int]:
    """Rewritten segments that nothing announced, older than the time a compaction may take to announce
    them.
    """
    announced = {row[0] for row in store.registry.rows("SELECT output FROM rewritten")}
    found = []
    for number in store.segments.numbers():
        if number < REWRITTEN or number in announced or not _unused(store, number):
            continue
        modified = store.disk.modified(store.segments.path("segments", number))
        if modified is None or modified + linger_s <= store.clock.now():
            found.append(number)
    return found


def _remove(store: Store, segment: int) -> int:
    count = 0
    for copy in COPIES:
        path = store.segments.path(copy, segment)
        if store.disk.size(path) is not None:
            store.disk.unlink(path)
            count += 1
    store.segments.forget(segment)
    for copy in COPIES:
        store.disk.sync_dir(f"{store.folder}/{copy}")
    return count


def sweep_registry(store: Store, *, thorough: bool = False) -> None:
    """Drop metadata of dead versions; `thorough` leaves no trace of a deleted word in the file or its log."""
    with store.registry.transaction() as db:
        db.execute("DELETE FROM metadata WHERE seq NOT IN (SELECT seq FROM fragments WHERE live)")
        if thorough:
            # FTS5 keeps the tokens of deleted rows until its segments are merged.
            db.execute("INSERT INTO words(words) VALUES('optimize')")
    if thorough:
        store.registry.scrub()
