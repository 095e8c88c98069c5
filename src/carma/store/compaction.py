"""Compaction: what is alive in mostly dead segments is written anew, and the old files go later.

The order makes it safe to stop anywhere. A new segment is written whole, in both copies, synced, read back
and proven; then one REWRITE record in the log announces what moved where and which writes were dropped on
purpose; only after readers had time to let go (`linger`) and the new segment was proven once more are the old
files removed. Until the announcement the new file is an orphan that nobody reads; after it the old one is.

What is kept: the newest version of every fragment, as many older ones as the policy says, every tombstone (it
outranks copies that may turn up later) and every ledger record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carma.errors import StorageError
from carma.store.apply import MOVE
from carma.store.payload import pack_map, unpack_map
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, REWRITTEN, is_log
from carma.store.store import Store

__all__ = ["Compacted", "compact", "ranges"]

_KEPT = """
SELECT seq FROM fragments WHERE segment = :segment AND (live OR kind = 'tombstone' OR seq IN (
    SELECT old.seq FROM fragments old WHERE old.id = fragments.id AND NOT old.live AND old.kind <> 'tombstone'
    AND EXISTS (SELECT 1 FROM fragments new WHERE new.id = old.id AND new.live)
    ORDER BY old.version DESC, old.seq DESC LIMIT :keep))
"""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one compaction did: segments read and written, records kept and dropped, bytes before and
    after.
    """

    inputs: int = 0
    outputs: int = 0
    kept: int = 0
    dropped: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    skipped_damaged: int = 0


def compact(store: Store, *, dead_share: float, seal: bool = False) -> Compacted:
    """Rewrite every sealed segment of which at least `dead_share` of the bytes is dead; with `seal`, the tail
    too.

    Holds the turn for one input at a time. Raises MemoryBusy, StorageError; then everything stays as it was.
    """
    if seal:
        store.seal()
    total = Compacted()
    if store.doubtful:
        return total
    for number in _candidates(store, dead_share):
        with store.alone():
            done = _rewrite(store, number)
        total = Compacted(*(a + b for a, b in zip(_tuple(total), _tuple(done), strict=True)))
    return total


def _tuple(value: Compacted) -> tuple[int, ...]:
    return tuple(int(getattr(value, name)) for name in Compacted.__slots__)


def _candidates(store: Store, dead_share: float) -> list[int]:
    """Sealed segments that are dead enough, the deadest first."""
    store.settle()
    gone = {row[0] for row in store.registry.rows("SELECT segment FROM rewritten")}
    found = []
    for number in store.segments.numbers():
        if number in gone or (is_log(number) and number >= store.cursor.segment):
            continue
        size = store.segments.size(number)
        kept = _kept(store, number)
        rows = store.registry.rows("SELECT seq, length FROM fragments WHERE segment=?", (number,))
        dead = sum(length for seq, length in rows if seq not in kept)
        if dead and size and dead / size >= dead_share:
            found.append((dead / size, number))
    return [number for _, number in sorted(found, reverse=True)]


def _kept(store: Store, number: int) -> set[int]:
    bindings = {"segment": number, "keep": store.settings.keep_versions}
    return {row[0] for row in store.registry.rows(_KEPT, bindings)}


def _rewrite(store: Store, number: int) -> Compacted:
    """Write one segment anew. Needs the turn."""
    store.settle()
    if store.registry.one("SELECT 1 FROM rewritten WHERE segment=?", (number,)):
        return Compacted()  # Another process was faster.
    items = list(merge_copies(*store.segments.both(number), number))
    size = store.segments.size(number)
    if any(isinstance(item, Damaged) for item in items):
        # What cannot be read must not be dropped: healing comes first.
        return Compacted(skipped_damaged=1)
    kept = _kept(store, number)
    target = _next_number(store)
    found = [item for item in items if isinstance(item, Intact)]
    data, moves, dropped = _assemble(store, found, kept, target)
    carried = [
        range_ for item in found if item.header.kind == RecordKind.REWRITE for range_ in _dropped_of(item)
    ]
    _write_whole(store, target, data)
    note = {
        "inputs": [number],
        "output": target,
        "dropped": ranges(dropped) + carried,
        "moves": b"".join(MOVE.pack(*move) for move in moves),
    }
    store.append_alone(RecordKind.REWRITE, pack_map(note))
    store.settle()
    return Compacted(1, 1, len(moves), len(dropped), size, len(data))


def _assemble(
    store: Store, items: Sequence[Intact], kept: set[int], target: int
) -> tuple[bytes, list[tuple[int, int, int, int]], list[int]]:
    """Bytes of the new segment, what moved, and the writes that were left out."""
    parts: list[bytes] = []
    moves: list[tuple[int, int, int, int]] = []
    dropped: list[int] = []
    offset = 0

    def put(item: Intact) -> int:
        nonlocal offset
        h = item.header
        header = encode_header(
            h.kind, h.version, h.seq, h.time_ms, h.id, target, offset, item.payload, h.text_digest, h.flags
        )
        parts.extend((header, item.payload))
        offset += HEADER_BYTES + h.length
        return offset - HEADER_BYTES - h.length

    identity = store.identity.payload()
    header = encode_header(RecordKind.MEMORY, 0, 0, store.now_ms(), NO_ID, target, 0, identity)
    parts.extend((header, identity))
    offset = HEADER_BYTES + len(identity)
    for item in items:
        h = item.header
        wanted = h.seq in kept or h.kind == RecordKind.LEDGER
        if wanted:
            at = put(item)
            moves.append((h.seq, target, HEADER_BYTES + h.length, at))
        elif h.seq and h.kind in (
            RecordKind.FRAGMENT,
            RecordKind.TOMBSTONE,
            RecordKind.REWRITE,
            RecordKind.MEMORY,
        ):
            dropped.append(h.seq)
    footer = pack_map({"bytes": offset})
    parts.extend(
        (encode_header(RecordKind.FOOTER, 0, 0, store.now_ms(), NO_ID, target, offset, footer), footer)
    )
    return b"".join(parts), moves, dropped


def _dropped_of(item: Intact) -> list[list[int]]:
    found: list[list[int]] = unpack_map(item.payload)["dropped"]
    return found


def _write_whole(store: Store, number: int, data: bytes) -> None:
    """Write both copies of a new segment under temporary names, sync and prove them, then give them their
    names.
    """
    disk = store.disk
    for copy in COPIES:
        path = store.segments.path(copy, number)
        file = disk.open(f"{path}.new", write=True, create=True)
        try:
            file.truncate(0)
            file.pwrite(data, 0)
            file.sync()
            written = file.pread(len(data) + 1, 0)
        finally:
            file.close()
        proof = list(merge_copies(written, bytes, len(written), number))
        if written != data or not all(isinstance(item, Intact) for item in proof):
            raise StorageError(f"{path} does not read back as it was written.")
        disk.rename(f"{path}.new", path)
        disk.sync_dir(f"{store.folder}/{copy}")


def _next_number(store: Store) -> int:
    """A number for a rewritten segment that was never used."""
    row = store.registry.one(
        "SELECT max(coalesce((SELECT max(output) FROM rewritten), 0), max(segment)) FROM fragments"
    )
    known = int(row[0] or 0) if row else 0
    return max([known, REWRITTEN, *store.segments.numbers()]) + 1


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as ascending [first, last] pairs."""
    out: list[list[int]] = []
    for number in sorted(set(numbers)):
        if out and out[-1][1] == number - 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return out
