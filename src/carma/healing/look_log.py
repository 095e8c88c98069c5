"""Looking at what has no manifest: log segments with their two copies, and files whose manifest is lost.

What should stand in them is what the registry says. A write in progress at the end is no finding, and
neither is an end that was never acknowledged: damage counts where this process has seen whole records, or
the registry knows of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from carma.healing.inventory import relative
from carma.healing.ledger import Account, Loss
from carma.healing.look import Contents, Files, Seen, kind_of, starts_well, wrong_at
from carma.reports import Finding, FindingKind
from carma.store.log import Cursor
from carma.store.record import HEADER_BYTES, Header, RecordKind
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, Copy
from carma.store.store import Store

__all__ = ["LogLook"]

_EXPECTED = """
SELECT offset, seq, id FROM fragments WHERE segment=?1
UNION ALL SELECT offset, seq, NULL FROM other WHERE segment=?1
"""
_FAR = 1 << 62


class _Written(NamedTuple):
    """A write that the registry places here."""

    seq: int
    id: bytes | None


class LogLook:
    """Looks at log segments for one tour. account: of losses that are known."""

    def __init__(self, store: Store, files: Files, account: Account) -> None:
        self._store = store
        self._files = files
        self._account = account

    def in_order(self, number: int) -> bool:
        """The light look: both copies are as long as they should be, and begin with a record."""
        here, offset = self._store.cursor
        first, second = (self._files.size(relative(self._store, number, copy)) for copy in COPIES)
        if number > here:
            return True  # Others have gone on; what they wrote is looked at when we have followed them.
        if not first and not second:
            return not self._expected(number) and not (number == here and offset)
        if first is None or second is None:
            return False
        if first != second if number < here else min(first, second) < offset:
            return False
        heads = [self._files.head(relative(self._store, number, copy), HEADER_BYTES) for copy in COPIES]
        return all(not head.trouble and starts_well(head.data, number) for head in heads)

    def log(self, number: int, cursor: Cursor) -> Seen:
        """Every record of both copies of a log segment, as far as the log was followed at `cursor`."""
        here, offset = cursor
        limit = _FAR if number < here else offset if number == here else 0
        expected = self._expected(number)
        copies = {copy: self._files.whole(relative(self._store, number, copy)) for copy in COPIES}
        first, second = copies["segments"].data, copies["mirror"].data
        seen = Seen(files=sum(not each.trouble for each in copies.values()), bytes=len(first) + len(second))
        merged = merge_copies(first, lambda: second, max(len(first), len(second)), number)
        runs = list(self._store.sealing.believed(merged))
        intact = [run for run in runs if isinstance(run, Intact) and run.header.end <= limit]
        seen.records = len(intact)
        hit: set[int] = set()
        for copy in COPIES:
            used = bool(expected) or (number == here and offset > 0)
            seen.findings += self._one_copy(number, copy, copies[copy], intact, used, hit)
        seen.damaged += len(hit)
        # What the registry knows was acknowledged, also where damage stopped those who followed the log.
        there = {run.header.offset for run in runs if isinstance(run, Intact)}
        lost = {at: each for at, each in expected.items() if at not in there and number <= here}
        strangers = [run for run in intact if _is_version(run) and run.header.offset not in expected]
        if strangers and number < here and self._elsewhere(strangers[0].header):
            seen.findings.append(_duplicate(relative(self._store, number), strangers))
        reason = copies["segments"].trouble or "truncated"
        self._gone(seen, number, runs, lost, limit, reason)
        return seen

    def loose(self, number: int) -> Seen:
        """Every record of a rewritten segment or parity file whose manifest cannot be read."""
        path = relative(self._store, number)
        contents = self._files.whole(path)
        data = contents.data
        expected = self._expected(number)
        runs = list(self._store.sealing.believed(merge_copies(data, bytes, len(data), number)))
        intact = [run for run in runs if isinstance(run, Intact)]
        seen = Seen(files=int(not contents.trouble), bytes=len(data), records=len(intact))
        if not expected:
            seen.findings.append(self._nobodys(path, intact))
            return seen
        if contents.trouble:
            what = f"{len(expected)} records stood in it, and no parity is left for them."
            seen.findings.append(Finding(kind=kind_of(contents.trouble), path=path, what=what))
        there = {run.header.offset for run in intact}
        lost = {at: each for at, each in expected.items() if at not in there}
        self._gone(seen, number, runs, lost, _FAR, contents.trouble or "truncated")
        what = "No manifest names this segment: its parity is lost."
        seen.findings.append(Finding(kind="missing file", path="parity", redundant=not lost, what=what))
        return seen

    def _expected(self, number: int) -> dict[int, _Written]:
        rows = self._store.registry.rows(_EXPECTED, (number,))
        return {offset: _Written(seq, id) for offset, seq, id in rows}

    def _one_copy(
        self, number: int, copy: Copy, contents: Contents, intact: list[Intact], used: bool, hit: set[int]
    ) -> Iterator[Finding]:
        """What this copy does not have of what one of the two has; `hit` takes the offsets."""
        path = relative(self._store, number, copy)
        if contents.trouble:
            hit.update(run.header.offset for run in intact)
            if intact or used:
                what = f"The other copy holds {len(intact)} records."
                redundant = bool(intact) or not self._expected(number)
                yield Finding(kind=kind_of(contents.trouble), path=path, redundant=redundant, what=what)
            return
        cut = 0
        for run in intact:
            reason = wrong_at(contents.data, number, run.header.offset, run.header.seq)
            if not reason:
                continue
            hit.add(run.header.offset)
            if reason == "truncated":
                cut += 1
                continue
            yield _finding(kind_of(reason), path, run.header.offset, run.header, "The other copy is whole.")
        if cut:
            what = f"{cut} records are missing at the end. The other copy has them."
            yield Finding(kind="truncated", path=path, offset=len(contents.data), redundant=True, what=what)

    def _gone(
        self,
        seen: Seen,
        number: int,
        runs: list[Intact | Damaged],
        lost: Mapping[int, _Written],
        limit: int,
        reason: str,
    ) -> None:
        """Writes that no copy has: those within a damaged run, and those behind the end of the file."""
        path = relative(self._store, number)
        left = dict(lost)
        for run in runs:
            if isinstance(run, Intact) or run.offset >= limit:
                continue
            within = [at for at in left if run.offset <= at < run.offset + run.length]
            for at in within:
                written = left.pop(at)
                self._lose(seen, path, at, written, run.reason)
            if within or self._elsewhere(run.header) or (run.torn and limit == _FAR):
                continue
            self._nameless(seen, path, run)
        for at, written in left.items():
            self._lose(seen, path, at, written, reason)

    def _nameless(self, seen: Seen, path: str, run: Damaged) -> None:
        """A damaged run where the registry knows of no write."""
        header = run.header
        seen.damaged += 1
        seen.records += 1
        says_nothing = run.offset == 0 or (header is not None and not header.seq)
        if header is not None and header.seq:
            seen.losses.append(Loss(header.seq, run.reason))
        finding = _finding(kind_of(run.reason), path, run.offset, header, f"{run.length} bytes.")
        seen.findings.append(replace(finding, redundant=says_nothing))

    def _lose(self, seen: Seen, path: str, offset: int, written: _Written, reason: str) -> None:
        seen.damaged += 1
        seen.records += 1
        seen.known += written.seq in self._account.known
        proven = written.seq in self._account.proven
        if not proven:
            seen.losses.append(Loss(written.seq, reason))
        seen.findings.append(
            Finding(
                kind=kind_of(reason),
                path=path,
                offset=offset,
                seq=written.seq,
                id=written.id.hex() if written.id else None,
                redundant=proven,
                what="No copy has it.",
            )
        )

    def _elsewhere(self, header: Header | None) -> bool:
        """Whether the write stands at another place, or was dropped on purpose."""
        if header is None or not header.seq:
            return False
        row = self._store.registry.one(
            "SELECT 1 FROM fragments WHERE seq=?1 UNION ALL SELECT 1 FROM other WHERE seq=?1 "
            "UNION ALL SELECT 1 FROM dropped WHERE ?1 BETWEEN first AND last LIMIT 1",
            (header.seq,),
        )
        return row is not None

    def _nobodys(self, path: str, intact: list[Intact]) -> Finding:
        """A file that nothing speaks of: copies of what stands elsewhere, or something unknown."""
        strangers = [run for run in intact if _is_version(run)]
        if strangers and self._elsewhere(strangers[0].header):
            return _duplicate(path, strangers)
        what = "No manifest and no announcement speaks of this file."
        return Finding(kind="orphan", path=path, redundant=True, what=what)


def _is_version(run: Intact) -> bool:
    return run.header.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)


def _duplicate(path: str, runs: list[Intact]) -> Finding:
    what = f"{len(runs)} records that stand elsewhere."
    return _finding("duplicate", path, runs[0].header.offset, runs[0].header, what)


def _finding(kind: FindingKind, path: str, offset: int, header: Header | None, what: str) -> Finding:
    return Finding(
        kind=kind,
        path=path,
        offset=offset,
        seq=header.seq if header is not None and header.seq else None,
        id=header.id.hex() if header is not None and any(header.id) else None,
        redundant=True,
        what=what,
    )
