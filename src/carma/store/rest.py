"""Rest: what a memory does to its files when nothing is written, so that any three of them may be lost.

The sealed log, and spreads that are small or mostly dead, are written anew as spreads (`spread`); this is
also how compaction and purging work, for a record that is not carried over is gone with its file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from carma.store.acts import DONE
from carma.store.manifest import Listed, Manifest
from carma.store.payload import pack_map, unpack_map
from carma.store.plan import Plan, merge, ranges
from carma.store.record import RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.segments import PARITY, REWRITTEN, is_log
from carma.store.spread import Condense, Spreading, announce, gather, write_spreads
from carma.store.store import Store

__all__ = ["next_numbers", "respread"]

_HOUR_MS = 3_600_000
_KEPT = """
SELECT seq FROM fragments WHERE segment IN (SELECT value FROM json_each(:segments))
AND (live OR kind = 'tombstone' OR seq IN (
    SELECT old.seq FROM fragments old WHERE old.id = fragments.id AND NOT old.live AND old.kind <> 'tombstone'
    AND EXISTS (SELECT 1 FROM fragments new WHERE new.id = old.id AND new.live)
    ORDER BY old.version DESC, old.seq DESC LIMIT :keep))
UNION ALL
SELECT r.seq FROM reconstructions r JOIN fragments f ON f.seq = r.lost_seq WHERE f.live
"""
_GONE = """
SELECT segment FROM rewritten WHERE segment NOT IN (SELECT segment FROM fragments WHERE live)
"""
_DEAD = """
SELECT segment, sum(length) FROM (
    SELECT segment, length, row_number() OVER (PARTITION BY id ORDER BY version DESC, seq DESC) AS age,
        EXISTS (SELECT 1 FROM fragments new WHERE new.id = old.id AND new.live) AS alive
    FROM fragments old WHERE NOT live AND kind <> 'tombstone')
WHERE age > :keep OR NOT alive GROUP BY segment
UNION ALL
SELECT segment, sum(length) FROM other WHERE kind = :rebuilt AND seq NOT IN (SELECT seq FROM reconstructions)
GROUP BY segment
"""
_DONE = f"SELECT segment, sum(length) FROM other WHERE seq IN ({DONE}) GROUP BY segment"
_SAYS = """
SELECT 1 FROM fragments WHERE segment IN (SELECT value FROM json_each(:segments))
UNION ALL SELECT 1 FROM other WHERE kind IN (:ledger, :rebuilt) AND segment IN
(SELECT value FROM json_each(:segments)) LIMIT 1
"""


def respread(
    store: Store,
    condense: Condense | None,
    *,
    dead_share: float,
    anew: Sequence[int] = (),
    leave_lost: bool = False,
) -> Spreading:
    """Seal the tail and spread what is not spread yet, with what is small or at least `dead_share` dead.

    condense: makes the sketches and short copies. anew: numbers of spreads to write anew in any case.
    leave_lost: go on where records are lost (purging must): their names go into the ledger, so that they stay
    blanks. Holds the turn. Raises MemoryBusy, StorageError; then everything stays as it was.
    """
    with store.alone():
        store.settle()
        if store.doubtful:
            return Spreading()
        plan = _plan(store, dead_share, anew)
        if not plan.spreads and not _says_anything(store, plan.segments):
            return Spreading()
        if store.cursor.segment in plan.segments:
            store.seal_alone()
        wanted = len(plan.segments) + len(plan.spreads)
        plan, records, lost = gather(store, plan, leave_lost)
        if lost:
            note = pack_map({"named": [list(record) for record in lost]})
            entry = store.append_alone(RecordKind.LEDGER, note)
            records.append(store.read(entry.segment, entry.offset, entry.length))
        if not plan.segments and not plan.spreads:
            return Spreading(skipped_damaged=wanted)
        return _carry_out(store, plan, records, lost, wanted, condense)


def _carry_out(
    store: Store,
    plan: Plan,
    records: list[Intact],
    lost: Sequence[Listed],
    wanted: int,
    condense: Condense | None,
) -> Spreading:
    kept_seqs = _kept(store, plan)
    done = {row[0] for row in store.registry.rows(DONE, _expired(store))}
    kept = [
        item
        for item in records
        if item.header.seq in kept_seqs
        or (item.header.kind == RecordKind.LEDGER and item.header.seq not in done)
    ]
    kept_seqs = {item.header.seq for item in kept}
    dropped = [item.header.seq for item in records if item.header.seq not in kept_seqs]
    carried = [pair for each in plan.spreads for pair in each.head.dropped]
    carried += _dropped_in_log(store, plan.segments)
    written = write_spreads(store, plan, kept, ranges(dropped) + carried, condense)
    announce(store, plan.inputs, written, dropped, lost)
    before = sum(store.segments.size(number) for number in plan.inputs)
    after = sum(store.segments.size(n) for each in written for n in (*each.segments, *each.columns))
    skipped = wanted - len(plan.segments) - len(plan.spreads)
    return Spreading(len(plan.inputs), len(written), len(kept), len(dropped), before, after, skipped)


def _plan(store: Store, dead_share: float, anew: Sequence[int]) -> Plan:
    gone = {row[0] for row in store.registry.rows(_GONE)}
    spreads = [each for each in store.spreads.manifests() if not gone.issuperset(each.segments)]
    named = {number for each in spreads for number in each.segments}
    tail = store.cursor
    loose = [
        number
        for number in store.segments.numbers()
        if number not in gone and number not in named and (not is_log(number) or number <= tail.segment)
    ]
    loose = [n for n in loose if n != tail.segment or tail.offset > 0]
    new_bytes = sum(store.segments.size(number) for number in loose) if _says_anything(store, loose) else 0
    chosen = merge(new_bytes, spreads, _dead(store, spreads), dead_share)
    taken = {each.head.spread for each in chosen}
    # One that was interrupted, or lost parity, has less than it should.
    there = set(store.segments.columns())
    wanting = {each.head.spread for each in spreads if not there.issuperset(each.columns)} | set(anew)
    chosen += [each for each in spreads if each.head.spread in wanting - taken]
    return Plan(loose, tuple(chosen), tail.segment, *next_numbers(store))


def _dead(store: Store, spreads: Sequence[Manifest]) -> dict[int, float]:
    """The share of dead bytes of each spread."""
    bindings = {"keep": store.settings.keep_versions, "rebuilt": int(RecordKind.RECONSTRUCTION)}
    dead: Counter[int] = Counter()
    rows = store.registry.rows
    for segment, size in [*rows(_DEAD, bindings), *rows(_DONE, _expired(store))]:
        dead[segment] += size
    return {
        each.head.spread: sum(dead[number] for number in each.segments) / max(each.bytes, 1)
        for each in spreads
    }


def _expired(store: Store) -> dict[str, int]:
    """The time before which an Idempotency-Key is forgotten, as bindings."""
    return {"expired": store.now_ms() - int(store.settings.idempotency_hours * _HOUR_MS)}


def _says_anything(store: Store, segments: Sequence[int]) -> bool:
    """Whether segments hold more than announcements and what is said in every manifest."""
    bindings = {
        "segments": json.dumps(list(segments)),
        "ledger": int(RecordKind.LEDGER),
        "rebuilt": int(RecordKind.RECONSTRUCTION),
    }
    return bool(store.registry.rows(_SAYS, bindings))


def _kept(store: Store, plan: Plan) -> set[int]:
    numbers = [number for number in plan.inputs if number < PARITY]
    bindings = {"segments": json.dumps(numbers), "keep": store.settings.keep_versions}
    return {row[0] for row in store.registry.rows(_KEPT, bindings)}


def _dropped_in_log(store: Store, segments: Sequence[int]) -> list[list[int]]:
    """What the announcements in these log segments said to be dropped."""
    return [
        pair
        for number in segments
        for item in merge_copies(*store.segments.both(number), number)
        if isinstance(item, Intact) and item.header.kind == RecordKind.REWRITE and store.is_ours(item)
        for pair in unpack_map(store.payload(item))["dropped"]
    ]


def next_numbers(store: Store) -> tuple[int, int]:
    """Numbers for a spread and its first segment that were never used."""
    spreads = store.spreads.manifests()
    columns = [(number - PARITY) >> 4 for number in store.segments.columns()]
    known = store.registry.one(
        "SELECT max(coalesce((SELECT max(segment) FROM rewritten WHERE segment < ?1), 0), "
        "coalesce((SELECT max(segment) FROM fragments), 0)), "
        "max(coalesce((SELECT (max(segment) - ?1) / 16 FROM rewritten WHERE segment >= ?1), 0), "
        "coalesce((SELECT max(output) FROM rewritten), 0))",
        (PARITY,),
    )
    assert known is not None
    segments = [number for each in spreads for number in each.segments]
    spread = max([0, known[1], *columns])
    return spread + 1, max([known[0], REWRITTEN, *segments, *store.segments.numbers()]) + 1
