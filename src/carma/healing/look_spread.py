"""Looking at the files of a spread: its segments, its parity files, and that the two agree.

A segment is compared with the digest of the whole file that stands in the manifest; only where that differs
is it read record by record. A parity file is read record by record. That its shards are what encoding gives
is checked for a part of the stripes in each tour (`ENCODING_PART`), another part each time: encoding is
slower than reading, and a shard that was written wrong does not come about by rotting, but by a fault of
the program or of the memory chips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from carma.healing.inventory import relative
from carma.healing.ledger import Account, Loss
from carma.healing.look import Contents, Files, Seen, kind_of, starts_well, wrong_at
from carma.healing.survivors import Survivors
from carma.reports import Finding
from carma.store.erasure import encode
from carma.store.manifest import Manifest
from carma.store.parity import MANIFEST_COLUMNS
from carma.store.record import HEADER_BYTES, RecordDamaged, RecordKind
from carma.store.repair import record_bytes
from carma.store.scan import Intact, merge_copies
from carma.store.store import Store

__all__ = ["ENCODING_PART", "SpreadLook"]

ENCODING_PART = 16
"""In each deep tour one of so many groups of stripes is encoded again; after so many tours all of them
were.
"""

_GROUP_HEAD_BYTES = 8


class SpreadLook:
    """Looks at spreads for one tour. account: of losses that are known."""

    def __init__(self, store: Store, files: Files, survivors: Survivors, account: Account) -> None:
        self._store = store
        self._files = files
        self._survivors = survivors
        self._account = account

    def in_order(self, manifest: Manifest, number: int) -> bool:
        """The light look: the file is there, as long as it should be, and begins with a record."""
        path = relative(self._store, number)
        wanted = manifest.size(number) if number in manifest.segments else self._column_size(manifest, number)
        if self._files.size(path) != wanted:
            return False
        head = self._files.head(path, HEADER_BYTES)
        return not head.trouble and starts_well(head.data, number)

    def segment(self, manifest: Manifest, number: int) -> Seen:
        """Every record of a segment."""
        path = relative(self._store, number)
        contents = self._files.whole(path)
        data = contents.data
        indices = manifest.in_segment(number)
        seen = Seen(files=1, records=len(indices), bytes=len(data))
        at = number - manifest.head.first
        if blake3(data).digest(8) == manifest.head.digests[at * 8 : at * 8 + 8]:
            return seen
        wrong: dict[int, str] = {}
        for index in indices:
            offset = manifest.place(index)[1]
            seq = manifest.records[index].seq
            reason = contents.trouble or wrong_at(data, number, offset, seq, self._store.sealing)
            if reason:
                wrong[index] = reason
        lost = {
            index
            for index in wrong
            if manifest.records[index].seq not in self._account.proven
            and self._survivors.lost(manifest, index)
        }
        self._count(seen, manifest, wrong, lost)
        seen.findings += self._about_file(path, contents, manifest.size(number), wrong, lost)
        seen.findings += self._about_records(path, manifest, wrong, lost)
        return seen

    def _count(self, seen: Seen, manifest: Manifest, wrong: Mapping[int, str], lost: set[int]) -> None:
        seen.damaged += len(wrong)
        seen.known += sum(manifest.records[index].seq in self._account.known for index in wrong)
        seen.losses += [Loss(manifest.records[index].seq, wrong[index]) for index in sorted(lost)]

    def _about_file(
        self, path: str, contents: Contents, size: int, wrong: Mapping[int, str], lost: set[int]
    ) -> Iterator[Finding]:
        """What is wrong with the file as a whole."""
        if contents.trouble:
            what = f"{len(wrong)} records stood in it."
            yield Finding(kind=kind_of(contents.trouble), path=path, redundant=not lost, what=what)
            return
        length = len(contents.data)
        cut = [index for index, reason in wrong.items() if reason == "truncated"]
        if length < size:
            what = f"{size - length} of {size} bytes are missing, with {len(cut)} records."
            yield Finding(
                kind="truncated", path=path, offset=length, redundant=lost.isdisjoint(cut), what=what
            )
        elif length > size:
            what = f"{length - size} bytes stand behind the last record."
            yield Finding(kind="bad digest", path=path, offset=size, redundant=True, what=what)
        elif not wrong:
            what = "Every record is proven, but the digest of the file is another."
            yield Finding(kind="bad digest", path=path, redundant=True, what=what)

    def _about_records(
        self, path: str, manifest: Manifest, wrong: Mapping[int, str], lost: set[int]
    ) -> Iterator[Finding]:
        """A finding for each damaged record; where the file is gone or cut, for those that are lost."""
        for index, reason in wrong.items():
            if reason in ("missing file", "unreadable", "truncated") and index not in lost:
                continue
            record = manifest.records[index]
            named = record.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)
            yield Finding(
                kind=kind_of(reason), path=path, offset=manifest.place(index)[1], seq=record.seq,
                id=record.id.hex() if named else None, redundant=index not in lost,
                what=f"Version {record.version}." if named else "A note of the store about itself.",
            )  # fmt: skip

    # Parity files

    def _column_size(self, manifest: Manifest, number: int) -> int:
        return manifest.column_size(number - manifest.column(0))

    def column(self, manifest: Manifest, number: int) -> Seen:
        """Every record of a parity file. Nothing is lost by what is wrong there: it follows from the
        segments, and what does not (copies) stands in two files.
        """
        path = relative(self._store, number)
        contents = self._files.whole(path)
        data, size = contents.data, self._column_size(manifest, number)
        at = number - manifest.column(0)
        runs = list(merge_copies(data, bytes, len(data), number))
        intact = [run for run in runs if isinstance(run, Intact)]
        planned = len(manifest.groups) + (len(manifest.parts) if at < MANIFEST_COLUMNS else 0)
        seen = Seen(files=1, bytes=len(data))
        if contents.trouble or len(data) < size:
            seen.damaged += max(planned - len(intact), 1)
            what = f"{size - len(data)} of {size} bytes of parity are missing."
            seen.findings.append(_parity(contents.trouble or "truncated", path, len(data), what))
        for run in runs:
            if isinstance(run, Intact) or (len(data) < size and run.offset + run.length == len(data)):
                continue  # What reaches to a cut was counted with it.
            seen.damaged += 1
            seen.findings.append(_parity(run.reason, path, run.offset, f"{run.length} bytes of parity."))
        seen.records += len(intact) + seen.damaged
        seen.findings += self._other_manifest(manifest, path, intact)
        return seen

    def _other_manifest(self, manifest: Manifest, path: str, intact: list[Intact]) -> Iterator[Finding]:
        """Parts of a manifest that say something else than the same parts in the other files."""
        for item in intact:
            if item.header.kind == RecordKind.MANIFEST and item.payload not in manifest.parts:
                what = "This part of the manifest is not what the other files say."
                yield _parity("parity mismatch", path, item.header.offset, what)

    def encoding(self, manifest: Manifest, tour: int) -> Seen:
        """That the shards of this tour's part of the stripes are what encoding their records gives."""
        seen = Seen()
        start = tour % ENCODING_PART if len(manifest.groups) >= ENCODING_PART else 0
        step = min(ENCODING_PART, max(len(manifest.groups), 1))
        for first, count, behind in manifest.groups[start::step]:
            width = sum(manifest.width(stripe) for stripe in range(first, first + count))
            if width > self._store.settings.read_repair_bytes:
                continue
            data = self._data(manifest, first, count, width)
            if data is None:
                continue  # A damaged record has a finding of its own.
            shards = encode(data, manifest.head.m)
            for at, shard in enumerate(shards):
                written = self._payload(manifest, at, behind, width)
                seen.bytes += width
                if written is not None and written[_GROUP_HEAD_BYTES:] != shard.tobytes():
                    seen.damaged += 1
                    path = relative(self._store, manifest.column(at))
                    what = f"The records of stripes {first} to {first + count - 1} encode to something else."
                    seen.findings.append(_parity("parity mismatch", path, manifest.start(at) + behind, what))
        return seen

    def _data(self, manifest: Manifest, first: int, count: int, width: int) -> NDArray[np.uint8] | None:
        """The data shards of consecutive stripes, joined: shape (k, width)."""
        data = np.zeros((manifest.head.k, width), np.uint8)
        at = 0
        for stripe in range(first, first + count):
            for shard, index in enumerate(manifest.members(stripe)):
                item = self._store.spreads.member(manifest, index)
                if item is None:
                    return None
                raw = np.frombuffer(record_bytes(item), np.uint8)
                data[shard, at : at + len(raw)] = raw
            at += manifest.width(stripe)
        return data

    def _payload(self, manifest: Manifest, at: int, behind: int, width: int) -> bytes | None:
        """The payload of a PARITY record, proven."""
        length = HEADER_BYTES + _GROUP_HEAD_BYTES + width
        place = manifest.column(at), manifest.start(at) + behind, length
        try:
            return self._store.segments.read_copy("segments", *place).payload
        except RecordDamaged:
            return None


def _parity(reason: str, path: str, offset: int, what: str) -> Finding:
    """A finding in a parity file. A shard by itself holds nothing that could be lost."""
    at = None if reason in ("missing file", "unreadable") else offset
    return Finding(kind=kind_of(reason), path=path, offset=at, redundant=True, what=what)
