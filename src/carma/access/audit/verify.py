"""Verifying a log: reads every entry and tile and finds any edit, removal, insertion or change of order.

From the entries all hashes are made anew. If they give the root that the signed checkpoint says, every entry
is what was logged, and a tile that differs is only damaged. If not, the tiles are followed from the root
down: where a tile that the root proves expects another hash, the fault lies below it, and so it is narrowed
down to a tile or an entry. Where tiles were rewritten with the entries, signed checkpoints of earlier sizes,
kept beside the log or held by somebody else, say between which two of them the fault lies.

What an operator with the log's keys can do, this cannot see from the log alone: rewrite everything and sign
it again, or cut off the end and show an older checkpoint. A checkpoint held elsewhere shows both, and so do
witnesses.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from carma.access.audit.checkpoint import Checkpoint, cosigners, open_checkpoint, read_checkpoint
from carma.access.audit.differences import Difference, Finding, classify
from carma.access.audit.note import NOTE_BYTES, Note, Verifier
from carma.access.audit.reader import edges_root
from carma.access.audit.rows import Rows, read_rows
from carma.access.audit.tiles import CHECKPOINT, WIDTH, Place, edge_places, read_file, read_tile
from carma.access.audit.tree import root_of
from carma.errors import AuditDamaged, StorageError
from carma.ports.disk import Disk

__all__ = ["AuditReport", "verify_log"]

_MOST_FINDINGS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a verification found. origin, size, root (hexadecimal): of the checkpoint. witnesses: who cosigned
    it. held: with how many other checkpoints it was compared. took_s: seconds.
    """

    origin: str
    size: int
    root: str
    findings: tuple[Finding, ...]
    witnesses: tuple[str, ...] = ()
    held: int = 0
    took_s: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "sound": self.sound, "origin": self.origin, "size": self.size, "root": self.root,
            "witnesses": list(self.witnesses), "held": self.held,
            "findings": [each.to_dict() for each in self.findings], "took_s": round(self.took_s, 3),
        }  # fmt: skip


def verify_log(
    disk: Disk,
    folder: str,
    verifiers: Sequence[Verifier],
    *,
    held: Sequence[bytes] = (),
    witnesses: Sequence[Verifier] = (),
    quorum: int = 0,
) -> AuditReport:
    """Verify the log in `folder`, which `verifiers` have to have signed.

    held: checkpoints of it that somebody kept elsewhere. witnesses, quorum: so many of these witnesses have
    to have cosigned the newest checkpoint. Never raises for what is wrong with the log.
    """
    begun = time.perf_counter()
    findings: list[Finding] = []
    read = _checkpoint(disk, folder, verifiers, findings)
    if read is None:
        return AuditReport(
            origin="", size=0, root="", findings=tuple(findings), took_s=time.perf_counter() - begun
        )
    checkpoint, note = read
    rows = read_rows(disk, folder, checkpoint.size)
    anchors = _anchors(disk, folder, verifiers, held, checkpoint, findings)
    findings += rows.findings
    findings += _Verification(disk, folder, checkpoint, rows, anchors).findings()
    findings += _duplicates(rows)
    names: tuple[str, ...] = ()
    try:
        names = tuple(sorted(cosigners(checkpoint, note.signatures, witnesses)))
    except AuditDamaged as error:
        findings.append(Finding(kind="checkpoint", path=CHECKPOINT, what=error.message))
    if len(names) < quorum:
        what = f"{len(names)} of the witnesses cosigned it; {quorum} have to."
        findings.append(Finding(kind="unwitnessed", path=CHECKPOINT, what=what))
    return AuditReport(
        origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root.hex(),
        findings=tuple(findings[:_MOST_FINDINGS]), witnesses=names, held=len(held),
        took_s=time.perf_counter() - begun,
    )  # fmt: skip


def _checkpoint(
    disk: Disk, folder: str, verifiers: Sequence[Verifier], findings: list[Finding]
) -> tuple[Checkpoint, Note] | None:
    """The newest checkpoint, also where nobody known signed it: then that is a finding."""
    try:
        data = read_file(disk, f"{folder}/{CHECKPOINT}", NOTE_BYTES)
        if data is None:
            raise AuditDamaged("The log has no checkpoint.")
        read = read_checkpoint(data)
    except (AuditDamaged, StorageError) as error:
        findings.append(Finding(kind="checkpoint", path=CHECKPOINT, what=error.message))
        return None
    try:
        return open_checkpoint(data, verifiers)
    except AuditDamaged as error:
        findings.append(Finding(kind="checkpoint", path=CHECKPOINT, what=error.message))
    return read


def _anchors(
    disk: Disk, folder: str, verifiers: Sequence[Verifier], held: Sequence[bytes], newest: Checkpoint,
    findings: list[Finding],
) -> list[Checkpoint]:  # fmt: skip
    """Signed checkpoints of sizes up to the newest one's, ascending; what others say is a finding."""
    found = []
    for data in held:
        try:
            checkpoint, _ = open_checkpoint(data, verifiers, origin=newest.origin)
        except AuditDamaged as error:
            what = f"The checkpoint that is held: {error.message}"
            findings.append(Finding(kind="checkpoint", path=CHECKPOINT, what=what))
            continue
        if checkpoint.size > newest.size:
            what = f"Somebody holds a checkpoint of {checkpoint.size} entries; the log has {newest.size} now."
            findings.append(
                Finding(kind="truncated", path=CHECKPOINT, start=newest.size, stop=checkpoint.size, what=what)
            )
        else:
            found.append(checkpoint)
    for name in disk.listdir(f"{folder}/history"):
        try:
            data = read_file(disk, f"{folder}/history/{name}", NOTE_BYTES) or b""
            checkpoint, _ = open_checkpoint(data, verifiers, origin=newest.origin)
        except (AuditDamaged, StorageError):
            continue  # A damaged one narrows nothing down, and proves nothing.
        if checkpoint.size <= newest.size:
            found.append(checkpoint)
    return sorted({*found, newest}, key=lambda each: each.size)


class _Verification:
    """Compares what the entries give with what tiles and checkpoints say."""

    def __init__(
        self, disk: Disk, folder: str, checkpoint: Checkpoint, rows: Rows, anchors: Sequence[Checkpoint]
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._checkpoint = checkpoint
        self._rows = rows
        self._anchors = anchors
        self._differences: dict[int, Difference] = {}
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """Everything that is wrong, the entries first."""
        size, root = self._checkpoint.size, self._checkpoint.root
        if self._rows.root(size) != root:
            if not self._follow_down():
                self._between_checkpoints()
            self._tell()
        elif any(self._rows.root(anchor.size) != anchor.root for anchor in self._anchors):
            self._between_checkpoints()
        unlike = sorted(self._differences)
        wrong = [place for place in self._rows.wrong_tiles() if not self._touches(place, unlike)]
        for place in wrong:
            self._add("tile", place, "The tile is not what its entries give; they are as they were logged.")
        return self._found

    def _touches(self, place: Place, unlike: Sequence[int]) -> bool:
        """Whether something is wrong with entries under a tile. unlike: those that differ, ascending."""
        first, past = place.interval
        if bisect_left(unlike, first) != bisect_left(unlike, past):
            return True
        spans = [(each.start, each.stop) for each in (*self._found, *self._rows.findings)]
        return any(a is not None and b is not None and a < past and first < b for a, b in spans)

    def _follow_down(self) -> bool:
        """Go from the root to the faults, if the tiles at the edge still give the root; whether they do."""
        edges: dict[int, list[bytes]] = {}
        try:
            for place in edge_places(self._checkpoint.size):
                edges[place.level] = read_tile(self._disk, self._folder, place)
        except (AuditDamaged, StorageError):
            return False
        if edges_root(edges) != self._checkpoint.root:
            return False
        for place in edge_places(self._checkpoint.size):
            self._compare(place, edges[place.level])
        return True

    def _compare(self, place: Place, expected: Sequence[bytes]) -> None:
        """Hold the hashes of a proven tile against those that the entries give, and go down where they
        differ.
        """
        row = self._rows.levels[place.level]
        for index, hash in enumerate(expected, place.number * WIDTH):
            if row[index] == hash:
                continue
            if place.level == 0:
                self._differences[index] = (hash, row[index])
                continue
            below = Place(place.level - 1, index)
            try:
                hashes = read_tile(self._disk, self._folder, below)
            except (AuditDamaged, StorageError):
                hashes = []
            if root_of(hashes) == hash:
                self._compare(below, hashes)
            else:
                self._add("changed", below, "Entries were changed here, and the tile with them.")

    def _between_checkpoints(self) -> None:
        """Nothing but checkpoints says what the log was: the fault lies behind the last one that still
        holds.
        """
        good = 0
        for anchor in self._anchors:
            if self._rows.root(anchor.size) != anchor.root:
                what = (
                    f"The first {anchor.size} entries do not give the root that was signed; "
                    f"the fault lies between {good} and {anchor.size - 1}."
                )
                kind = "rewritten" if anchor == self._checkpoint else "forked"
                path = self._rows.bundle_path(good)
                self._found.append(Finding(kind=kind, path=path, start=good, stop=anchor.size, what=what))
                break
            good = anchor.size
        for index, expected in self._rows.unlike_tiles():
            self._differences[index] = (expected, self._rows.levels[0][index])

    def _tell(self) -> None:
        for kind, start, stop, what in classify(self._differences):
            path = self._rows.bundle_path(start)
            self._found.append(Finding(kind=kind, path=path, start=start, stop=stop, what=what))

    def _add(self, kind: str, place: Place, what: str) -> None:
        start, stop = place.interval
        self._found.append(Finding(kind=kind, path=place.path, start=start, stop=stop, what=what))


def _duplicates(rows: Rows) -> Iterator[Finding]:
    """Events of which there are two leaves, with the place of the second."""
    counts = Counter(event for event in rows.events if event is not None)
    twice: dict[str, list[int]] = {event: [] for event, count in counts.items() if count > 1}
    for index, event in enumerate(rows.events) if twice else ():
        if event in twice:
            twice[event].append(index)
    for event, places in twice.items():
        what = f"Event {event} stands {len(places)} times, at " + ", ".join(map(str, places[:10])) + "."
        yield Finding(
            kind="duplicate", path=rows.bundle_path(places[1]), start=places[1], stop=places[1] + 1, what=what
        )
