"""A dream: one repair cycle over a memory, from looking to the report.

It climbs the ladder from the cheapest exact rung to the last semantic one, and each rung only sees what the
ones before it left. Everything that is lost is worked on under the same three rules: the true bytes win over
any text made for them; only the newest version of what was not deleted is worked on; and an original is kept
until what replaces it has been proven. So a dream can be killed at any moment, and the next one goes on.

This is lazy rebuild in the background and not dreaming in any literal sense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from carma.errors import CarmaError, ReadOnlyMemory
from carma.healing import breaker
from carma.healing.beacon import Beacon
from carma.healing.cycle import Cycle, Ended, Progress
from carma.healing.dreamlog import next_cycle, only_one
from carma.healing.household import Household, tidy
from carma.healing.inventory import take_inventory
from carma.healing.ladder import Ladder
from carma.healing.ledger import Loss, known_blanks, note_blanks, note_healed
from carma.healing.lost import Standing, came_back, find_lost, standing
from carma.healing.mending import Mender
from carma.healing.planning import budget, planned
from carma.healing.replica import Replicas
from carma.healing.resources import Resources
from carma.reports import DreamReport, DreamStatus, Finding
from carma.store.identity import write_identity
from carma.store.registry import RegistryDamaged
from carma.store.repair import readmit
from carma.store.segments import is_log
from carma.store.store import Store

__all__ = ["Wishes", "dream"]

_MOST_FINDINGS = 10_000
"""With so many findings the report of the beacon may not name every damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller wants of a dream.

    budget_s: less time than the plan allows. dry_run: say what would be done and write nothing. exact: try
    the exact rungs. sources: other memories, archives, exports, and folders that hold what was ingested.
    reads: how often each loss was met lately, by id; what is asked for comes first.
    """

    budget_s: float | None = None
    dry_run: bool = False
    exact: bool = True
    sources: Sequence[str] = ()
    reads: Mapping[str, int] = field(default_factory=dict)


def dream(
    store: Store,
    resources: Resources,
    wishes: Wishes | None = None,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> DreamReport:
    """Run one cycle. What cannot be done is a reason in the report; the cycle goes on.

    progress: called before every step. cancelled: asked before every step; True ends the cycle after it.
    Raises ReadOnlyMemory, MemoryBusy (another dream of this memory runs), InvalidInput (the budget), and
    StorageError where it cannot even begin.
    """
    wishes = wishes or Wishes()
    store.check_open()
    if store.read_only and not wishes.dry_run:
        raise ReadOnlyMemory("A dream repairs; this memory is open read-only.")
    with nullcontext() if wishes.dry_run else only_one(store):
        try:
            return _Dream(store, resources, wishes, progress, cancelled).run()
        except RegistryDamaged:
            # The index rotted under the dream: it is made anew, and the cycle begins again.
            store.mend_registry()
            return _Dream(store, resources, wishes, progress, cancelled).run(last=True)


class _Dream:
    """One cycle, phase by phase."""

    def __init__(
        self,
        store: Store,
        resources: Resources,
        wishes: Wishes,
        progress: Progress | None,
        cancelled: Callable[[], bool],
    ) -> None:
        self._store = store
        self._resources = resources
        self._wishes = wishes
        store.settle()
        ceiling = self._ceiling(len(known_blanks(store)))
        self._cycle = Cycle(
            store, next_cycle(store), planned_s=ceiling, budget_s=budget(ceiling, wishes.budget_s),
            dry_run=wishes.dry_run, cancelled=cancelled, progress=progress,
        )  # fmt: skip
        self._replicas = Replicas(wishes.sources, store.identity.id, store.sealing)
        self._mender = Mender(store, self._replicas, self._cycle)
        self._lost: set[int] | None = None
        """Writes that were lost before the rungs for texts; None: not known yet."""
        self._breaker = False

    def _ceiling(self, blanks: int) -> float:
        settings = self._store.settings
        row = self._store.registry.one("SELECT count(*) FROM fragments WHERE live")
        fragments = int(row[0]) if row else 0
        return planned(
            settings.dream_base_s, settings.dream_fragment_s, settings.dream_blank_s, fragments, blanks
        )

    def run(self, *, last: bool = False) -> DreamReport:
        """All phases, and the report. A bug ends the cycle as failed, and is raised.

        Raises RegistryDamaged, unless this is the last attempt.
        """
        cycle = self._cycle
        status: DreamStatus = "completed"
        error: str | None = None
        try:
            self._phases()
        except Ended as end:
            cycle.reasons[end.why] += 1
            status = "cancelled" if end.why == "cancelled" else "completed"
        except (CarmaError, RegistryDamaged) as problem:
            if isinstance(problem, RegistryDamaged) and not last:
                raise
            status, error = "failed", str(problem)
        except Exception as problem:
            cycle.end(self._report("failed", repr(problem)))
            raise
        report = self._report(status, error)
        cycle.end(report)
        return report

    def _phases(self) -> None:
        self._index()
        damaged = self._look()
        if self._wishes.exact:
            self._mend(damaged)
        self._return()
        self._fill_in(damaged)
        self._tidy(clean=not damaged)

    def _index(self) -> None:
        """The registry and the vectors: lost or stale, they are made again."""
        self._cycle.go_on()
        self._cycle.tell(0, 0, "index")
        if self._wishes.dry_run:
            return
        since = self._cycle.now()
        for name, made in self._resources.reindex(self._cycle.left_s).items():
            self._cycle.begin()
            self._cycle.rungs["index"] += made
            self._cycle.step("index", name, "index", "stale", "intact", since)
            since = self._cycle.now()

    def _look(self) -> list[int]:
        """The beacon's deep look; the numbers of the damaged files."""
        self._cycle.go_on()
        self._cycle.tell(0, 0, "looking")
        beacon = Beacon(self._store, self._resources.exact, _FromTheTop(), keeps=not self._wishes.dry_run)
        report = beacon.tour(deep=True, stop=self._over).report
        self._cycle.looked_at = report.records
        self._cycle.go_on()
        self._breaker = report.breaker or breaker.tripped(self._store)
        if report.breaker and not self._wishes.dry_run:
            breaker.trip(self._store)
        damaged = self._numbers(report.findings)
        if any(each.path == "memory.json" for each in report.findings):
            self._identity()
        if any(each.path.startswith("index/vectors-") for each in report.findings):
            self._vectors()
        return damaged

    def _over(self) -> bool:
        try:
            self._cycle.go_on()
        except Ended:
            return True
        return False

    def _numbers(self, findings: Sequence[Finding]) -> list[int]:
        places = {
            place.name: place.number
            for place in take_inventory(self._store).places
            if place.kind in ("log", "segment", "column", "loose")
        }
        if len(findings) >= _MOST_FINDINGS:
            return sorted(set(places.values()))
        paths = {each.path.replace("mirror/", "segments/", 1) for each in findings}
        return sorted({places[path] for path in paths if path in places})

    def _identity(self) -> None:
        """memory.json, from what every segment repeats."""
        since = self._cycle.now()
        if not self._wishes.dry_run:
            self._cycle.begin()
            try:
                write_identity(self._store.disk, self._store.folder, self._store.identity)
            except CarmaError as error:
                self._cycle.failed("restoring memory.json", error)
                return
        self._cycle.files_repaired += 1
        self._cycle.step("file", "memory.json", "mirror", "damaged", "intact", since)

    def _vectors(self) -> None:
        """A vectors file that was damaged after it was read: without the places that are damaged."""
        if not self._wishes.dry_run:
            try:
                self._resources.purge()
            except CarmaError as error:
                self._cycle.failed("writing the vectors anew", error)

    def _mend(self, damaged: Sequence[int]) -> None:
        """The exact rungs for files."""
        writes = []
        if self._wishes.sources:
            for number in damaged:
                manifest = None if is_log(number) else self._store.spreads.of_segment(number)
                if manifest is not None and number in manifest.segments:
                    writes += [manifest.records[at].seq for at in manifest.in_segment(number)]
        self._replicas.look_for(writes, ())
        self._mender.mend(damaged)
        self._resources.exact.copies.forget()

    def _return(self) -> None:
        """What has its true bytes again is no blank any more, and nothing stands for it."""
        if self._wishes.dry_run:
            return
        found = came_back(self._store)
        if found:
            self._cycle.begin()
            note_healed(self._store, [item.header.seq for item in found])
            readmit(self._store, found)

    def _fill_in(self, damaged: Sequence[int]) -> None:
        """The rungs for texts: what is still lost gets the best text that can be had."""
        cycle, store = self._cycle, self._store
        cycle.go_on()
        broken = self._mender.broken if self._wishes.exact else set(damaged)
        exact = self._resources.exact if self._wishes.exact else None
        segments = broken | _missing(store)
        losses = list(find_lost(store, exact, segments))
        self._lost = {lost.seq for lost in losses}
        if not losses:
            return
        ceiling = self._ceiling(len(self._lost))
        cycle.plan(ceiling, budget(ceiling, self._wishes.budget_s))
        if not self._wishes.dry_run:
            cycle.begin()
            note_blanks(store, [Loss(lost.seq, lost.reason) for lost in losses])
        try:
            exactly, reads = self._wishes.exact, self._wishes.reads
            Ladder(store, self._resources, self._replicas, cycle, exact=exactly, reads=reads).climb(losses)
        finally:
            if not self._wishes.dry_run:
                # Whose true text is there again is lost no more, though its record is.
                store.settle()
                note_healed(store, [seq for seq, stood in standing(store).items() if stood.exact])

    def _tidy(self, *, clean: bool) -> None:
        """Redundancy, compaction, sweeping; nothing of it while the breaker is open.

        clean: the look found every file whole.
        """
        self._cycle.go_on()
        self._cycle.tell(0, 0, "tidying")
        if self._wishes.dry_run:
            return
        if self._breaker:
            self._cycle.reasons["the breaker is open: nothing is compacted or dropped"] += 1
            # Their spreads would be written anew, and that leaves out what the index calls dead.
            missing = self._resources.exact.copies.count(anew=True)[1]
            if missing:
                self._cycle.reasons["the breaker is open: sketches wait to be made"] += missing
            return
        log = any(is_log(number) for number in self._mender.broken)
        household = Household(anew=self._mender.anew, clean=clean and not self._lost, log=log)
        tidy(self._store, self._resources, household, self._cycle)

    def _report(self, status: DreamStatus, error: str | None) -> DreamReport:
        self._cycle.reasons.update(self._replicas.troubles)
        stands: dict[int, Standing] = {}
        lost = self._lost or set()
        with suppress(CarmaError, RegistryDamaged):
            # A disk that fails at the very end must not take the report with it.
            self._store.settle()
            stands = standing(self._store)
            lost = self._lost if self._lost is not None else known_blanks(self._store)
        blank = len(lost - stands.keys() - (self._cycle.rebuilt if self._wishes.dry_run else set()))
        scores = [each.score for each in stands.values() if not each.exact]
        return self._cycle.report(
            status, error=error, still_blank=blank, breaker=self._breaker,
            score=round(sum(scores) / len(scores), 6) if scores else None,
        )  # fmt: skip


class _FromTheTop:
    """Where a tour begins matters only if it may not come round. Without chance a dream can be replayed."""

    def bytes(self, count: int) -> bytes:
        return bytes(count)


def _missing(store: Store) -> set[int]:
    """Files that live fragments should lie in and that are not there."""
    rows = store.registry.rows("SELECT DISTINCT segment FROM fragments WHERE live")
    return {number for (number,) in rows if not store.segments.exists(number)}
