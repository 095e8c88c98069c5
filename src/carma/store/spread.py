"""Spreading: what is alive in sealed segments is dealt over many files and gets parity.

The order makes it safe to stop anywhere. The new segments are written under temporary names, synced, read
back, proven and named; then their parity files, which hold the manifest. A manifest that can be seen
therefore speaks of segments that are durable. Then one REWRITE record in the log tells the followers. What
was replaced stays until readers had time to let go (`sweep`). Until the announcement the new files are
orphans.

What is kept: the newest version of every fragment, as many older ones as the policy says, every tombstone (it
outranks copies that may turn up later), the ledger, and reconstructions of what is still lost. What cannot be
read is never dropped: a segment or spread with a record that nothing gives back waits for healing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from blake3 import blake3

from carma.errors import StorageError
from carma.ports.disk import Disk, write_whole
from carma.store.copies import pack_copies
from carma.store.erasure import MOST_DATA, parity_count
from carma.store.identity import Identity
from carma.store.manifest import DIGEST_BYTES, Head, Listed, Manifest
from carma.store.manifest_parts import pack_parts
from carma.store.parity import column_bytes, parity_shards
from carma.store.payload import pack_map
from carma.store.plan import Plan, ranges
from carma.store.record import HEADER_BYTES, Header, RecordKind, encode_header
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.sealing import Sealing
from carma.store.segments import Segments
from carma.store.store import Store

__all__ = ["SPREAD_BYTES", "Condense", "Ground", "Spreading", "announce", "gather", "write_spreads"]

SPREAD_BYTES = 32 * 2**20
"""So many bytes go into one spread at most (and one record at least)."""


Condense = Callable[[Sequence[Intact]], Sequence[bytes]]
"""Makes the sketch (or short copy) of each record; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Spreading:
    """What one spreading did: files read and written, records kept and dropped, bytes before and after."""

    inputs: int = 0
    outputs: int = 0
    kept: int = 0
    dropped: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    skipped_damaged: int = 0


def gather(store: Store, plan: Plan, leave_lost: bool) -> tuple[Plan, list[Intact], list[Listed]]:
    """Every record of the inputs of a plan, and what is lost of them.

    The plan comes back without the inputs that have losses, unless they are left behind.
    """
    found: dict[int, Intact] = {}
    lost: dict[int, Listed] = {}
    segments, spreads = [], []
    for number in plan.segments:
        items = list(store.sealing.believed(merge_copies(*store.segments.both(number), number)))
        damaged = [item for item in items if isinstance(item, Damaged)]
        if not leave_lost and any(_may_hide(store, number, run) for run in damaged):
            continue  # What cannot be read must not be dropped: healing comes first.
        segments.append(number)
        lost.update((h.seq, _listed(h)) for each in damaged if (h := each.named) is not None and h.seq)
        found.update((i.header.seq, i) for i in items if isinstance(i, Intact) and i.header.seq)
    for manifest in plan.spreads:
        members = list(store.spreads.members(manifest))
        gone = [manifest.records[index] for index, item in members if item is None]
        if gone and not leave_lost:
            continue
        spreads.append(manifest)
        lost.update((record.seq, record) for record in gone)
        found.update((item.header.seq, item) for _, item in members if item is not None)
    left = [record for seq, record in sorted(lost.items()) if seq not in found]
    plan = replace(plan, segments=segments, spreads=spreads)
    return plan, [found[seq] for seq in sorted(found)], left


def _may_hide(store: Store, number: int, run: Damaged) -> bool:
    """Whether a write may have stood in a damaged run of a log segment: not if every write is known and none
    lies there.
    """
    within = "segment=?1 AND offset>=?2 AND offset<?3"
    sql = f"SELECT 1 FROM fragments WHERE {within} UNION ALL SELECT 1 FROM other WHERE {within} LIMIT 1"
    there = store.registry.one(sql, (number, run.offset, run.offset + run.length))
    named = run.named is not None and run.named.seq and run.named.kind != RecordKind.MEMORY
    if named or there is not None:
        return True
    rows = store.registry.rows
    known = {seq for (seq,) in rows("SELECT seq FROM fragments UNION SELECT seq FROM other")}
    known.update(
        seq for first, last in rows("SELECT first, last FROM dropped") for seq in range(first, last + 1)
    )
    return not known.issuperset(range(1, store.last_seq + 1))


def _listed(h: Header) -> Listed:
    return Listed(h.seq, h.kind, h.version, h.time_ms, h.id, h.length, h.text_digest[:DIGEST_BYTES])


class Ground(Protocol):
    """Where spreads are written: an open store, or what stands in for one."""

    @property
    def disk(self) -> Disk: ...
    @property
    def folder(self) -> str: ...
    @property
    def segments(self) -> Segments: ...
    @property
    def identity(self) -> Identity: ...
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""


def write_spreads(
    store: Ground, plan: Plan, records: Sequence[Intact], dropped: list[list[int]], condense: Condense | None
) -> list[Manifest]:
    """Write records, which are in order of their seq, as spreads; needs the turn. Raises StorageError.

    Only the last spread says which inputs it replaces: once its manifest can be seen all of them are durable.
    """
    written: list[Manifest] = []
    chunks = list(_chunks(records))
    for at, chunk in enumerate(chunks):
        last = at == len(chunks) - 1
        inputs = plan.inputs if last else []
        written.append(_write(store, plan, chunk, inputs, dropped if last else [], condense))
        plan = replace(plan, spread=plan.spread + 1, first=plan.first + written[-1].head.k)
    return written


def _chunks(records: Sequence[Intact]) -> Iterator[list[Intact]]:
    chunk: list[Intact] = []
    size = 0
    for item in records:
        if chunk and size + item.header.length > SPREAD_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += HEADER_BYTES + item.header.length
    if chunk:
        yield chunk


def _write(
    store: Ground,
    plan: Plan,
    records: Sequence[Intact],
    inputs: list[int],
    dropped: list[list[int]],
    condense: Condense | None,
) -> Manifest:
    k = min(MOST_DATA, len(records))
    m = parity_count(k)
    listed = [_listed(item.header) for item in records]
    head = Head(
        plan.spread, k, m, plan.first, len(records), store.now_ms(), plan.log, inputs, dropped, bytes(8 * k),
        bytes(8 * m), bytes(8 * m), store.identity.members(),
    )  # fmt: skip
    manifest = Manifest(head, listed)
    segments = [_segment(manifest, number, records) for number in manifest.segments]
    for number, data in zip(manifest.segments, segments, strict=True):
        _put(store, number, data)
    store.disk.sync_dir(f"{store.folder}/segments")
    digests = b"".join(blake3(data).digest(8) for data in segments)
    sealing = store.segments.sealing
    entries = condense(records) if condense is not None else []
    copies = pack_copies(entries, plan.spread, sealing)
    manifest, columns = _columns(head._replace(digests=digests), listed, segments, copies, sealing)
    for at, data in enumerate(columns):
        _put(store, manifest.column(at), data)
    store.disk.sync_dir(f"{store.folder}/parity")
    return manifest


def _segment(manifest: Manifest, number: int, records: Sequence[Intact]) -> bytes:
    """The bytes of one segment of a spread. Flags say how records were appended, so they end here."""
    parts: list[bytes] = []
    for index in manifest.in_segment(number):
        h, payload = records[index]
        offset = manifest.place(index)[1]
        parts += (
            encode_header(h.kind, h.version, h.seq, h.time_ms, h.id, number, offset, payload, h.text_digest),
            payload,
        )
    return b"".join(parts)


def _columns(
    head: Head,
    listed: Sequence[Listed],
    segments: Sequence[bytes],
    copies: Sequence[bytes],
    sealing: Sealing,
) -> tuple[Manifest, list[bytes]]:
    """The final manifest and every parity file. The head has fixed lengths, so a first round measures."""
    shards: list[bytes] = []
    for _ in range(2):
        manifest = Manifest(head, listed, pack_parts(head, listed, sealing))
        shards = shards or parity_shards(manifest, segments)
        made = [
            column_bytes(manifest, at, shards[at], copies if at >= head.m - 2 else ()) for at in range(head.m)
        ]
        starts = b"".join(start.to_bytes(8, "little") for _, start in made)
        sizes = b"".join(len(data).to_bytes(8, "little") for data, _ in made)
        head = head._replace(starts=starts, sizes=sizes)
    return manifest, [data for data, _ in made]


def _put(store: Ground, number: int, data: bytes) -> None:
    """Write a whole file under a temporary name, sync and prove it, then give it its name.

    The name is the caller's to make durable.
    """
    path = store.segments.path("segments", number)
    write_whole(store.disk, f"{path}.new", data)
    file = store.disk.open(f"{path}.new")
    try:
        written = file.pread(len(data) + 1, 0)
    finally:
        file.close()
    if written != data:
        raise StorageError(f"{path} does not read back as it was written.")
    store.disk.rename(f"{path}.new", path)
    store.segments.forget(number)


def announce(
    store: Store,
    inputs: Sequence[int],
    spreads: Sequence[Manifest],
    dropped: Iterable[int],
    lost: Sequence[Listed],
) -> None:
    """Tell the followers, in the log. Needs the turn."""
    note = {
        "inputs": list(inputs),
        "spreads": [manifest.head.spread for manifest in spreads],
        "dropped": ranges(dropped),
        "lost": [record.seq for record in lost],
    }
    store.append_alone(RecordKind.REWRITE, pack_map(note))
    store.settle()
