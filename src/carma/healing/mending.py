"""The exact rungs for files: every damaged file that can be made whole is made whole, byte for byte.

A record comes back from a second copy (the mirror, or a replaced file that lingers), from its stripe, or from
a replica. What one of these gives back may be the shard by which a stripe can be decoded again, so the files
of a spread are gone through until nothing more comes back. Parity is made again last, because it follows from
the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from carma.errors import CarmaError
from carma.healing.cycle import Cycle
from carma.healing.inventory import relative
from carma.healing.lingering import Lingering
from carma.healing.look import wrong_at
from carma.healing.planning import Job, in_order
from carma.healing.replica import Replicas
from carma.store.manifest import Manifest
from carma.store.repair import record_bytes, restore_file
from carma.store.scan import Intact, merge_copies
from carma.store.segments import COPIES, PARITY, is_log
from carma.store.store import Store

__all__ = ["Mender", "log_damage"]


class Mender:
    """Makes the files of one memory whole in one cycle.

    anew: spreads to be written anew, because a parity file follows from nothing any more.
    broken: files that are not whole yet.
    """

    def __init__(self, store: Store, replicas: Replicas, cycle: Cycle) -> None:
        self._store = store
        self._replicas = replicas
        self._cycle = cycle
        self._lingering = Lingering(store)
        self.anew: set[int] = set()
        self.broken: set[int] = set()
        self._counted: set[int] = set()

    def mend(self, damaged: Sequence[int]) -> None:
        """Restore these files as far as can be. Raises Ended."""
        jobs = in_order(self._jobs(damaged))
        self.broken = {job.number for job in jobs}
        done = 0
        progress = True
        while progress:
            progress = False
            for job in [job for job in jobs if job.number in self.broken]:
                self._cycle.go_on()
                self._cycle.tell(done, len(jobs), relative(self._store, job.number))
                gained = self._one(job)
                progress = progress or (gained and not job.column)
                done += job.number not in self.broken

    def _jobs(self, damaged: Sequence[int]) -> list[Job]:
        manifests = {
            number: self._store.spreads.of_segment(number) for number in damaged if not is_log(number)
        }
        gone = Counter(each.head.spread for each in manifests.values() if each is not None)
        jobs = []
        for number in damaged:
            manifest = manifests.get(number)
            spread = manifest.head.spread if manifest is not None else 0
            spare = manifest.head.m - gone[spread] if manifest is not None else 0
            jobs.append(Job(number, spread, number >= PARITY, spare))
        return jobs

    def _one(self, job: Job) -> bool:
        """Restore one file as far as can be; whether anything came back."""
        since = self._cycle.now()
        name = relative(self._store, job.number)
        self._store.segments.forget(job.number)  # A handle may still stand on a file that was removed.
        try:
            rungs = self._log(job) if is_log(job.number) else self._of_spread(job)
        except (CarmaError, FileNotFoundError) as error:
            failure = error if isinstance(error, CarmaError) else CarmaError(str(error))
            self._cycle.failed("restoring a file", failure)
            self._cycle.step("file", name, "none", "damaged", "failed", since)
            return False
        whole = job.number not in self.broken
        self._cycle.files_repaired += whole
        self._cycle.exact += sum(rungs.values())
        self._cycle.rungs.update(rungs)
        if whole or rungs:
            rung = "+".join(sorted(rungs)) or "parity"
            self._cycle.step("file", name, rung, "damaged", "intact" if whole else "damaged", since)
        return bool(whole or rungs)

    def _count(self, number: int, damaged: int) -> None:
        """Count the damaged records of a file, once."""
        if number not in self._counted:
            self._counted.add(number)
            self._cycle.damaged += damaged

    # The log

    def _log(self, job: Job) -> Counter[str]:
        """Both copies of a log segment from each other."""
        number = job.number
        single, neither = log_damage(self._store, number)
        self._count(number, single + neither)
        if not self._cycle.dry_run and self._store.segments.size(number):
            self._cycle.begin()
            if number >= self._store.cursor.segment:
                with self._store.alone():
                    # Nobody may append to a file that is being replaced.
                    self._store.seal_alone()
            restore_file(self._store, number)
        if not neither:
            self.broken.discard(number)
        return Counter({"mirror": single} if single else {})

    # Spreads

    def _of_spread(self, job: Job) -> Counter[str]:
        manifest = self._store.spreads.of_segment(job.number)
        if manifest is None:
            return Counter()
        return self._column(manifest, job) if job.column else self._segment(manifest, job)

    def _segment(self, manifest: Manifest, job: Job) -> Counter[str]:
        rungs: Counter[str] = Counter()
        found: dict[int, bytes] = {}
        lost = 0
        data = self._store.segments.read_all("segments", job.number) or b""
        gone = [
            index
            for index in manifest.in_segment(job.number)
            if self._is_wrong(data, job.number, manifest, index)
        ]
        self._count(job.number, len(gone))
        for index in gone:
            item, rung = self._record(manifest, index)
            if item is None:
                lost += 1
                continue
            rungs[rung] += 1
            found[item.header.offset] = record_bytes(item)
        if self._cycle.dry_run:
            left = lost
        elif lost and not rungs:
            left = lost  # Nothing came back: leave it as it is.
        else:
            self._cycle.begin()
            left = restore_file(self._store, job.number, found)
        if left == 0:
            self.broken.discard(job.number)
        return rungs if left >= 0 else Counter()

    def _is_wrong(self, data: bytes, number: int, manifest: Manifest, index: int) -> bool:
        seq, offset = manifest.records[index].seq, manifest.place(index)[1]
        return bool(wrong_at(data, number, offset, seq, self._store.sealing))

    def _record(self, manifest: Manifest, index: int) -> tuple[Intact | None, str]:
        segment, offset, _ = manifest.place(index)
        decoded = self._store.spreads.rebuild(segment, offset)
        if decoded is not None:
            return decoded, "parity"
        older = self._lingering.record(manifest, index)
        if older is not None and self._store.is_ours(older):
            return older, "mirror"
        other = self._replicas.record(manifest, index)
        return other if other is not None and self._store.is_ours(other) else None, "replica"

    def _column(self, manifest: Manifest, job: Job) -> Counter[str]:
        """A parity file; it waits until its segments are whole."""
        if self.broken.intersection(manifest.segments):
            return Counter()
        if self._cycle.dry_run:
            self.broken.discard(job.number)
            return Counter()
        self._cycle.begin()
        left = restore_file(self._store, job.number)
        if left == 0:
            self.broken.discard(job.number)
        elif job.number >= manifest.column(manifest.head.m - 2):
            self.anew.add(manifest.head.spread)
        return Counter()


def log_damage(store: Store, number: int) -> tuple[int, int]:
    """How many records of a log segment only one copy holds, and how many known ones neither does."""
    end = store.cursor.offset if number == store.cursor.segment else None
    first, second = ((store.segments.read_all(copy, number) or b"")[:end] for copy in COPIES)
    single = holes = 0
    there: set[int] = set()
    for item in merge_copies(first, lambda: second, max(len(first), len(second)), number):
        if not isinstance(item, Intact):
            holes += not item.torn
            continue
        there.add(item.header.offset)
        data = record_bytes(item)
        single += any(copy[item.header.offset : item.header.end] != data for copy in (first, second))
    rows = store.registry.rows(
        "SELECT offset FROM fragments WHERE segment=?1 UNION SELECT offset FROM other WHERE segment=?1",
        (number,),
    )
    return single, max(holes, sum(offset not in there for (offset,) in rows))
