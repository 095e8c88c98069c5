"""The beacon: it goes round a memory's files, looks, and says what it found. It never mends.

Two tours. The light one compares names, sizes and first headers with what registry and manifests say; where
something is odd it looks closely. The deep one reads every byte and compares every digest. Both say the same
kinds of findings, because the close look is one and the same code.

What it decides (the order of the tour, the pace, when the next is due, whether there is mass damage) is
pure and lies in `tour`, `pace` and `breaker`; what a file should hold in `inventory`; the looking in
`look_*`. It works on a read-only directory and writes nothing but its own cursor, `index/beacon.json`,
which is disposable.

Rejected: mending on the way (a check that changes what it checks cannot be run by whoever doubts it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from carma.healing.exact import Exact
from carma.healing.pace import Pace, due
from carma.healing.progress import Counts, Progress, load_progress, save_progress
from carma.healing.tour import Tour
from carma.healing.walk import Outcome, Stopped, Walk
from carma.ports.clock import Entropy, SystemEntropy
from carma.reports import Finding
from carma.store.registry import RegistryDamaged
from carma.store.store import Store

__all__ = ["Beacon"]

_SAVE_EVERY_S = 5.0


class Beacon:
    """The verifier of one open memory. Threads that want a tour take turns; one that takes its time ends for
    one that does not.

    entropy: None takes the machine's own, and on a simulated disk none at all: one seed replays one run.
    keeps: keep the cursor on disk; False (a dry run): only in memory.
    """

    def __init__(
        self, store: Store, exact: Exact, entropy: Entropy | None = None, *, keeps: bool = True
    ) -> None:
        self._store = store
        self._exact = exact
        real = store.disk.real_path(store.folder) is not None
        self._entropy = entropy or (SystemEntropy() if real else None)
        self._keeps = keeps
        self._touring = Lock()
        self._waiting: list[object] = []
        """Who wants a tour that goes as fast as it can."""
        self._progress = load_progress(store)
        self._chance = self._draw()

    def due(self) -> str | None:
        """The tour that is due now: "light", "deep" or None."""
        self._catch_up()
        return due(self._store.clock.now(), self._progress.light, self._progress.deep, self._chance)

    @property
    def standing(self) -> Progress:
        """How far the tour under way is, and when the last ones ended."""
        self._catch_up()
        return self._progress

    def tour(
        self,
        *,
        deep: bool = False,
        resume: bool = False,
        pace: Pace | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Go round once.

        resume: a deep tour goes on where the last one was broken off; its report covers both parts. pace:
        None goes as fast as it can. stop: asked often; True ends the tour, which then is not complete.
        """
        me = object()
        if pace is None:
            self._waiting.append(me)
        try:
            with self._touring:
                return self._tour_on_a_sound_registry(deep, resume, pace, stop)
        finally:
            if pace is None:
                self._waiting.remove(me)

    def _tour_on_a_sound_registry(
        self, deep: bool, resume: bool, pace: Pace | None, stop: Callable[[], bool]
    ) -> Outcome:
        try:
            return self._tour(deep, resume, pace, stop)
        except RegistryDamaged as error:
            # Nothing can be asked of it: another one is needed before anything can be compared.
            self._store.mend_registry()
            what = f"It was damaged ({error}) and was made again from the segments."
            found = Finding(kind="bad digest", path="index", redundant=True, what=what)
            outcome = self._tour(deep, resume, pace, stop)
            report = replace(outcome.report, findings=(found, *outcome.report.findings))
            return outcome._replace(report=report)

    def _tour(self, deep: bool, resume: bool, pace: Pace | None, stop: Callable[[], bool]) -> Outcome:
        self._catch_up()
        ends = stop if pace is None else lambda: bool(self._waiting) or stop()
        walk = Walk(self._store, self._exact, self._tour_state(deep, resume), deep, pace, ends)
        tour = walk.begin(self._draw())
        saved = self._store.clock.monotonic()
        complete = False
        try:
            while (next_stop := tour.next()) is not None:
                walk.look(tour, next_stop)
                if deep and self._store.clock.monotonic() - saved >= _SAVE_EVERY_S:
                    self._keep(walk, tour)
                    saved = self._store.clock.monotonic()
            complete = True
        except Stopped:
            pass
        finally:
            self._keep(walk, tour, complete)
        return walk.outcome(complete)

    def _catch_up(self) -> None:
        """Other beacons of this memory, in this process or in another, keep the same cursor."""
        if self._keeps and not self._store.read_only:
            self._progress = load_progress(self._store)

    def _tour_state(self, deep: bool, resume: bool) -> Progress:
        known = self._progress
        if not deep or (resume and not known.complete):
            return known
        return replace(known, number=known.number + 1, complete=False, hit=(), counts=Counts(), findings=())

    def _keep(self, walk: Walk, tour: Tour, complete: bool = False) -> None:
        now = self._store.clock.now()
        if walk.deep:
            self._progress = replace(
                walk.progress(tour), complete=complete, light=now if complete else self._progress.light,
                deep=now if complete else self._progress.deep,
            )  # fmt: skip
        elif complete:
            self._progress = replace(self._progress, light=now)
        if complete:
            self._chance = self._draw()
        if self._keeps:
            save_progress(self._store, self._progress)

    def _draw(self) -> float:
        if self._entropy is None:
            return 0.5
        return int.from_bytes(self._entropy.bytes(4), "little") / 2**32
