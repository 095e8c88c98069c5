"""One cycle of a dream while it runs: its clock, its counts, its steps.

Everything that works in a dream asks the cycle before each step whether it may go on, and tells it afterwards
what it did. So the budget, a cancellation and the log are in one place, and a cycle can end between any two
steps. Steps are written in parts while it goes on: a process that is killed has not worked for nothing, and a
cycle that never said how it ended is known to have failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from carma.errors import CarmaError
from carma.reports import DreamReport, DreamStatus, Step
from carma.store.payload import pack_map
from carma.store.record import RecordKind
from carma.store.store import Store

__all__ = ["Cycle", "Ended", "Progress"]

Progress = Callable[[int, int, str], None]
"""Tells how much is done, of how much, and what is being done."""

_PART = 64
_MOST_STEPS = 20_000
"""So many steps of one cycle are kept; the counts know of all."""


class Ended(Exception):
    """The cycle may not take another step. why: "out of time" or "cancelled"."""

    def __init__(self, why: Literal["out of time", "cancelled"]) -> None:
        super().__init__(why)
        self.why = why


class Cycle:
    """The state of one cycle. Used by one thread; `cancelled` may be set from anywhere.

    budget_s: how long it may take from now on.
    """

    def __init__(
        self,
        store: Store,
        number: int,
        *,
        planned_s: float,
        budget_s: float,
        dry_run: bool,
        cancelled: Callable[[], bool],
        progress: Progress | None = None,
    ) -> None:
        self.store = store
        self.number = number
        self.dry_run = dry_run
        self.rungs: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.looked_at = self.damaged = self.exact = self.reconstructed = self.files_repaired = 0
        self.rebuilt: set[int] = set()
        """Lost writes that have a text of some kind now."""
        self.steps: list[Step] = []
        self._planned_s = planned_s
        self._budget_s = budget_s
        self._cancelled = cancelled
        self._progress = progress
        self._clock = store.clock
        self._begun = self._clock.monotonic()
        self._started = self._clock.now()
        self._written = 0
        self._noted = False

    # Going on

    def go_on(self) -> None:
        """Return if another step may be taken. Raises Ended."""
        if self._cancelled():
            raise Ended("cancelled")
        if self.left_s <= 0:
            raise Ended("out of time")

    @property
    def left_s(self) -> float:
        """Seconds left."""
        return self._budget_s - (self._clock.monotonic() - self._begun)

    def now(self) -> float:
        """The clock by which `step` reckons."""
        return self._clock.monotonic()

    def tell(self, done: int, total: int, what: str) -> None:
        """Tell whoever watches."""
        if self._progress is not None:
            self._progress(done, total, what)

    def plan(self, planned_s: float, budget_s: float) -> None:
        """What is to be done turned out to be more: a new plan, from the beginning on."""
        self._planned_s, self._budget_s = planned_s, budget_s

    # The log

    def step(
        self,
        target: str,
        name: str,
        rung: str,
        before: str,
        after: str,
        since: float,
        similarity: float | None = None,
        confidence: float | None = None,
        until: float | None = None,
    ) -> None:
        """Note a step that began at `since` and ended at `until` (of `now`; None: just now)."""
        end = self._clock.monotonic() if until is None else until
        step = Step(
            cycle=self.number, target=target, name=name, rung=rung, before=before, after=after,
            similarity=similarity, confidence=confidence,
            latency_ms=round((end - since) * 1000, 3),
        )  # fmt: skip
        if len(self.steps) < _MOST_STEPS:
            self.steps.append(step)
        if len(self.steps) - self._written >= _PART:
            self.write_steps()

    def begin(self) -> None:
        """Say in the log that this cycle has begun to change something; once."""
        if not self._noted and not self.dry_run:
            self._noted = True
            self._write({"cycle": self._short(self.report("running"))})

    def write_steps(self) -> None:
        """Write what was not written yet."""
        part = self.steps[self._written :]
        if not part or self.dry_run:
            return
        self.begin()
        self._write({"steps": [self.number, self._written, [each.to_dict() for each in part]]})
        self._written = len(self.steps)

    def end(self, report: DreamReport) -> None:
        """Write how it ended."""
        if not self.dry_run:
            self.write_steps()
            self._write({"cycle": self._short(report)})

    def failed(self, what: str, error: Exception) -> None:
        """Something could not be done; it is counted, and the cycle goes on."""
        self.reasons[f"{what}: {type(error).__name__}"] += 1

    def report(self, status: DreamStatus, **more: object) -> DreamReport:
        """The report as it stands."""
        counted = DreamReport(
            cycle=self.number, status=status, dry_run=self.dry_run, planned_s=round(self._planned_s, 3),
            actual_s=round(self._clock.monotonic() - self._begun, 3), started=self._started,
            looked_at=self.looked_at, damaged=self.damaged, exact=self.exact,
            reconstructed=self.reconstructed, files_repaired=self.files_repaired, rungs=dict(self.rungs),
            reasons=dict(self.reasons), steps=tuple(self.steps),
        )  # fmt: skip
        return replace(counted, **more)  # type: ignore[arg-type]

    def _short(self, report: DreamReport) -> dict[str, object]:
        """A report without its steps, which stand in records of their own."""
        return replace(report, steps=()).to_dict()

    def _write(self, note: dict[str, object]) -> None:
        try:
            self.store.append(RecordKind.LEDGER, pack_map(note))
        except CarmaError as error:
            # A full disk takes no log, nor does a turn that another holds; what is repaired is repaired all
            # the same.
            self.failed("writing the dream log", error)
