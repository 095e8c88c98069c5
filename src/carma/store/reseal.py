"""Writing a plain memory anew as an encrypted one, beside its plain files, and proving every record of it.

All that a compaction would keep is read, 16 MiB at a time, sealed under its own number, and written as
spreads with parity and manifests; what was written is read back, opened, and compared with what was read.
Nothing of it is found by anybody before `encrypting.decide`.

A record that nothing gives back cannot be sealed. Its text was proven by a plain digest, and the encrypted
memory has keyed ones: nothing could prove it any more. So a lost record ends this, unless a dream has found
its true text, or the caller says that it may stay lost for ever; then its name goes along, and it stays a
blank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from blake3 import blake3

from carma.errors import CarmaError, HealFirst, StorageError
from carma.ports.cipher import Cipher
from carma.ports.disk import Disk, write_whole
from carma.store.encrypting import UNFINISHED, Decision, decide, wipe_unfinished
from carma.store.identity import Identity
from carma.store.losses import unpack_rebuilt
from carma.store.manifest import Listed, Manifest
from carma.store.parity import Spreads
from carma.store.payload import decode_text, pack_map
from carma.store.plan import Plan, ranges
from carma.store.record import (
    HEADER_BYTES,
    NO_DIGEST,
    NO_ID,
    RecordDamaged,
    RecordKind,
    Said,
    encode_header,
    parse_header,
)
from carma.store.reseal_vectors import reseal_vectors
from carma.store.rest import next_numbers
from carma.store.scan import Intact
from carma.store.sealing import Sealing
from carma.store.segments import COPIES, Segments
from carma.store.spread import SPREAD_BYTES, Condense, write_spreads
from carma.store.store import Store
from carma.store.sweep import is_whole

__all__ = ["Resealed", "reseal"]

Progress = Callable[[int, int], None]

_KEPT = """
SELECT seq, segment, offset, length FROM fragments WHERE live OR kind = 'tombstone' OR seq IN (
    SELECT old.seq FROM fragments old WHERE old.id = fragments.id AND NOT old.live AND old.kind <> 'tombstone'
    AND EXISTS (SELECT 1 FROM fragments new WHERE new.id = old.id AND new.live)
    ORDER BY old.version DESC, old.seq DESC LIMIT :keep)
UNION ALL SELECT seq, segment, offset, length FROM other WHERE kind = :ledger
UNION ALL SELECT r.seq, r.segment, r.offset, r.length FROM reconstructions r
    JOIN fragments f ON f.seq = r.lost_seq WHERE f.live
ORDER BY seq
"""
_NAME = """
SELECT seq, kind, version, updated, id, length FROM fragments WHERE seq = ?
"""

_Row = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was written: records, spreads, vectors; and fragments that stay lost."""

    records: int = 0
    spreads: int = 0
    vectors: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Ground:
    """Where the encrypted files are written. Implements `carma.store.spread.Ground`."""

    disk: Disk
    folder: str
    segments: Segments
    identity: Identity
    now_ms: Callable[[], int]
    digests: dict[int, bytes] = field(default_factory=dict)
    """Of the texts of fragments, by their number: plain and keyed, one behind the other."""


def reseal(
    store: Store,
    cipher: Cipher,
    condense: Condense,
    *,
    embedder: tuple[int, bytes] | None,
    leave_lost: bool,
    progress: Progress,
) -> Resealed:
    """Write the memory's encrypted files, prove them, and decide that the memory is the encrypted one.

    condense: gives the sketches of plain records. embedder: dimension and tag of the vectors to take along.
    progress: told of records done and of how many. Holds the turn.
    Raises HealFirst, MemoryBusy, StorageError; then the memory is as it was.
    """
    with store.alone():
        wipe_unfinished(store.disk, store.folder)
        store.settle()
        identity = store.identity.sealed_by(cipher)
        segments = Segments(store.disk, store.folder, Sealing(cipher, identity.id), UNFINISHED)
        ground = _Ground(store.disk, store.folder, segments, identity, store.now_ms)
        spread, first = next_numbers(store)
        plan = Plan((), (), store.cursor.segment, spread, first)
        try:
            done = _write_all(store, ground, plan, condense, leave_lost, progress)
            names: tuple[str, ...] = ()
            vectors = 0
            if embedder is not None:
                names, vectors = reseal_vectors(store, ground.segments.sealing, ground.digests, *embedder)
            _begin_log(ground, plan.log + 1)
        except CarmaError:
            with suppress(CarmaError):
                wipe_unfinished(store.disk, store.folder)
            raise
        finally:
            segments.close()
        decide(store.disk, store.folder, Decision(identity, plan.log, first, spread, names))
    return replace(done, vectors=vectors)


# Records


def _write_all(
    store: Store, ground: _Ground, plan: Plan, condense: Condense, leave_lost: bool, progress: Progress
) -> Resealed:
    rows: list[_Row] = store.registry.rows(
        _KEPT, {"keep": store.settings.keep_versions, "ledger": int(RecordKind.LEDGER)}
    )
    lost: list[_Row] = []
    chunks = _chunks(_read(store, rows, lost))
    chunk = next(chunks, [])
    written = spreads = 0
    while True:
        following = next(chunks, None)
        if _unproven(store, lost) and not leave_lost:
            raise HealFirst(f"{len(lost)} or more records are lost.")
        if following is None and lost:
            chunk = [*chunk, _named(store, lost)]
        if not chunk:
            break
        dropped = _dropped(store, rows) if following is None else []
        manifests = _write(ground, plan, chunk, dropped, condense)
        written += len(chunk)
        spreads += len(manifests)
        progress(written, max(written, len(rows)))
        plan = replace(plan, spread=plan.spread + len(manifests), first=manifests[-1].segments.stop)
        if following is None:
            break
        chunk = following
    return Resealed(written, spreads, 0, _unproven(store, lost))


def _unproven(store: Store, lost: Sequence[_Row]) -> int:
    """How many of these stay lost: all whose true text does not stand in a record of its own by now."""
    if not lost:
        return 0
    exact = {seq for (seq,) in store.rows("SELECT lost_seq FROM reconstructions WHERE exact")}
    return sum(row[0] not in exact for row in lost)


def _read(store: Store, rows: Sequence[_Row], lost: list[_Row]) -> Iterator[Intact]:
    """The records at these places; what nothing gives is added to `lost`."""
    for row in rows:
        seq, segment, offset, length = row
        item: Intact | None
        try:
            item = store.read(segment, offset, length)
        except RecordDamaged:
            item = store.spreads.rebuild(segment, offset)
        if item is None or item.header.seq != seq:
            lost.append(row)
        else:
            yield item


def _chunks(items: Iterator[Intact]) -> Iterator[list[Intact]]:
    chunk: list[Intact] = []
    size = 0
    for item in items:
        if chunk and size + item.header.length > SPREAD_BYTES // 2:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += HEADER_BYTES + item.header.length
    if chunk:
        yield chunk


def _write(
    ground: _Ground, plan: Plan, chunk: Sequence[Intact], dropped: list[list[int]], condense: Condense
) -> list[Manifest]:
    """Write plain records as a sealed spread and prove it. Raises StorageError."""
    sketches = dict(zip((item.header.seq for item in chunk), condense(chunk), strict=True))
    sealed = [_sealed(ground, item) for item in chunk]
    manifests = write_spreads(
        ground, plan, sealed, dropped, lambda records: [sketches[item.header.seq] for item in records]
    )
    plain = {item.header.seq: item.payload for item in chunk}
    for manifest in manifests:
        _prove(ground, manifest, plain)
    return manifests


def _sealed(ground: _Ground, item: Intact) -> Intact:
    """A plain record as the encrypted memory holds it."""
    h, payload = item
    sealing = ground.segments.sealing
    text = _text(h.kind, payload)
    digest = sealing.text_digest(text) if text is not None else NO_DIGEST
    if h.kind == RecordKind.FRAGMENT:
        ground.digests[h.seq] = h.text_digest + digest
    stored = sealing.seal(Said(h.kind, h.version, h.seq, h.time_ms, h.id, digest, payload))
    header = h._replace(
        length=len(stored), payload_digest=blake3(stored).digest(), text_digest=digest, flags=0
    )
    return Intact(header, stored)


def _text(kind: int, payload: bytes) -> str | None:
    if kind == RecordKind.FRAGMENT:
        return decode_text(payload)
    return unpack_rebuilt(payload).text if kind == RecordKind.RECONSTRUCTION else None


def _prove(ground: _Ground, manifest: Manifest, plain: dict[int, bytes]) -> None:
    """Read a sealed spread back, open it, and compare it with what it was made of."""
    spreads = Spreads(ground.segments)
    found = spreads.get(manifest.head.spread)
    whole = found is not None and found.records == manifest.records and is_whole(ground, found)
    for index in range(len(manifest.records) if found is not None and whole else 0):
        item = spreads.member(found or manifest, index)
        if item is None or ground.segments.sealing.payload(*item) != plain[item.header.seq]:
            whole = False
    for number in manifest.segments:
        ground.segments.forget(number)
    if not whole:
        raise StorageError(f"Spread {manifest.head.spread} does not read back as it was written.")


# What goes along


def _named(store: Store, lost: Sequence[_Row]) -> Intact:
    """A record that names what stays lost, so that it stays a blank."""
    names = [name for row in lost for name in store.registry.rows(_NAME, (row[0],))]
    listed = [
        Listed(
            seq, RecordKind.TOMBSTONE if kind == "tombstone" else RecordKind.FRAGMENT, version, time_ms, id,
            length - HEADER_BYTES, b"",
        )
        for seq, kind, version, time_ms, id, length in names
    ]  # fmt: skip
    payload = pack_map({"named": [list(each) for each in listed]})
    header = encode_header(RecordKind.LEDGER, 0, store.last_seq + 1, store.now_ms(), NO_ID, 0, 0, payload)
    return Intact(parse_header(header, 0, 0, 0), payload)


def _dropped(store: Store, kept: Sequence[_Row]) -> list[list[int]]:
    """What was left out on purpose, now and before."""
    rows = store.registry.rows
    known = {seq for (seq,) in rows("SELECT seq FROM fragments UNION SELECT seq FROM other")}
    before = [list(pair) for pair in rows("SELECT first, last FROM dropped")]
    return ranges(known - {row[0] for row in kept}) + before


def _begin_log(ground: _Ground, number: int) -> None:
    """The first log segment of the encrypted memory, in both copies."""
    payload = ground.identity.payload()
    header = encode_header(RecordKind.MEMORY, 0, 0, ground.now_ms(), NO_ID, number, 0, payload)
    for copy in COPIES:
        write_whole(ground.disk, ground.segments.path(copy, number), header + payload)
        ground.disk.sync_dir(f"{ground.folder}/{copy}")
