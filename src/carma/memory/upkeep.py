"""Upkeep: what a memory does when nothing is asked of it.

After `rest_after_s` without a write a thread saves the vector index, spreads what is new, writes what is
mostly dead anew and sweeps what is left over. Everything here can be stopped at any moment and can fail
without harm: it is done again at the next rest.

Sketches are made before the turn is taken, and what an earlier rest left out is made too. Closing and `rest`
make them as fast as they can; the thread takes half of one core at most, and leaves off when somebody writes:
what is made is kept for the next time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

from carma.errors import CarmaError, MassDamage
from carma.healing.condense import Condenser, GoingOn, Progress
from carma.memory.keeping import Keeper
from carma.store.registry import RegistryDamaged
from carma.store.repair import keep_reserve
from carma.store.rest import respread
from carma.store.store import Store
from carma.store.sweep import sweep_files, sweep_quarantine, sweep_registry

__all__ = ["Upkeep"]

_LOOK_EVERY_S = 1.0
_ALL_DEAD = 1.0
_LONGEST_PAUSE_S = 0.05


def _untold(done: int, total: int, what: str) -> None:
    return None


class Upkeep:
    """Rest and compaction of one open memory. `threaded`: rest by itself after a while without writing.

    condense: makes the sketches and short copies of what is spread. forget: told when bytes are to be gone
    for good.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        condense: Condenser,
        threaded: bool,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._forget = forget
        self._keeper = keeper
        self._condense = condense
        self._stop = threading.Event()
        self._opened_at = self._rested_at = store.last_write
        self._filled = False
        """Whether sketches that were missing when the memory was opened are made."""
        self._thread: threading.Thread | None = None
        if threaded and not store.read_only:
            self._thread = threading.Thread(target=self._watch, name="carma-upkeep", daemon=True)
            self._thread.start()

    def rest(self, progress: Progress = _untold) -> None:
        """Sketch, spread, save, sweep. While mass damage is not cleared, only save.

        progress: told how many sketches are made, of how many.
        """
        self._store.settle()
        self._keeper.save()
        if self._tripped():
            return
        going_on = self._in_time()
        self._condense.prepare(going_on, progress)
        self._spread_and_sweep(going_on, progress)

    def _spread_and_sweep(self, going_on: GoingOn, progress: Progress) -> None:
        share = self._store.settings.compact_dead_share
        respread(self._store, self._condense, dead_share=share)
        self._fill_up(share, going_on, progress)
        sweep_files(self._store, self._store.settings.linger_s)
        sweep_registry(self._store)
        keep_reserve(self._store)

    def _fill_up(self, dead_share: float, going_on: GoingOn, progress: Progress) -> None:
        """Make the sketches that earlier rests left out, and write their spreads anew."""
        anew = self._condense.complete(going_on, progress)
        if anew:
            respread(self._store, self._condense, dead_share=dead_share, anew=anew)

    def compact(self, linger_s: float | None) -> dict[str, int]:
        """Spread and sweep now; the counts. Raises MassDamage."""
        self._refuse_if_tripped("Nothing was compacted.")
        linger = self._store.settings.linger_s if linger_s is None else linger_s
        done = respread(self._store, self._condense, dead_share=self._store.settings.compact_dead_share)
        return {**asdict(done), "files_removed": sweep_files(self._store, linger)}

    def purge(self) -> None:
        """Remove every dead record of a deleted fragment from every file, now. Raises MassDamage."""
        self._refuse_if_tripped("The fragments are deleted; their bytes stay in the files until then.")
        self._forget()
        respread(self._store, self._condense, dead_share=0.0, leave_lost=True)
        sweep_files(self._store, 0.0)
        sweep_quarantine(self._store)
        self._keeper.meaning.purge()
        # Last, because it notes that all of it was done.
        sweep_registry(self._store, thorough=True)

    def lie_down(self, progress: Progress = _untold) -> None:
        """What closing does to the files: spread what is new, so that any three of them may be lost.

        progress: told how many sketches are made, of how many.
        """
        with suppress(CarmaError, RegistryDamaged):
            if not self._tripped():
                going_on = self._in_time()
                self._condense.prepare(going_on, progress)
                respread(self._store, self._condense, dead_share=_ALL_DEAD)
                if self._store.last_write != self._opened_at:
                    self._fill_up(_ALL_DEAD, going_on, progress)
                keep_reserve(self._store)

    def _in_time(self) -> GoingOn:
        clock = self._store.clock
        deadline = clock.monotonic() + self._store.settings.condense_most_s
        return lambda: clock.monotonic() < deadline

    def _tripped(self) -> bool:
        return bool(self._store.registry.state("breaker"))

    def _refuse_if_tripped(self, what: str) -> None:
        self._store.settle()
        if self._tripped():
            raise MassDamage(f"Mass damage was found, and nobody has cleared it. {what}")

    def close(self) -> None:
        """Stop the thread; idempotent."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            wrote = self._store.last_write
            idle = self._store.clock.monotonic() - wrote
            if idle < self._store.settings.rest_after_s or (wrote == self._rested_at and self._filled):
                continue
            try:
                if not self._rest_unhurried(wrote):
                    continue
            except (CarmaError, RegistryDamaged):
                # A full disk or another process's turn: there is another rest after the next write.
                pass
            self._rested_at, self._filled = wrote, True

    def _rest_unhurried(self, wrote: float) -> bool:
        """Rest in the background; False if somebody wrote meanwhile, or closes, and it left off."""
        going_on = self._unhurried(wrote)
        self._store.settle()
        if wrote != self._rested_at:
            self._keeper.save()
        if self._tripped():
            return True
        self._condense.prepare(going_on)
        if not going_on():
            return False
        if wrote != self._rested_at:
            self._spread_and_sweep(going_on, _untold)
        else:
            self._fill_up(self._store.settings.compact_dead_share, going_on, _untold)
        return going_on()

    def _unhurried(self, wrote: float) -> GoingOn:
        """Half the time at most, and only while nobody writes and nobody closes."""
        clock = self._store.clock
        since = clock.monotonic()

        def going_on() -> bool:
            nonlocal since
            self._stop.wait(min(clock.monotonic() - since, _LONGEST_PAUSE_S))
            since = clock.monotonic()
            return not self._stop.is_set() and self._store.last_write == wrote

        return going_on
