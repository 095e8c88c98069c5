"""Upkeep: what a memory does when nothing is asked of it.

After `rest_after_s` without a write a thread saves the vector index, spreads what is new, writes what is
mostly dead anew and sweeps what is left over. Everything here can be stopped at any moment and can fail
without harm: it is done again at the next rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

from carma.errors import CarmaError, MassDamage
from carma.memory.keeping import Keeper
from carma.store.registry import RegistryDamaged
from carma.store.repair import keep_reserve
from carma.store.rest import respread
from carma.store.spread import Condense
from carma.store.store import Store
from carma.store.sweep import sweep_files, sweep_quarantine, sweep_registry

__all__ = ["Upkeep"]

_LOOK_EVERY_S = 1.0
_ALL_DEAD = 1.0


class Upkeep:
    """Rest and compaction of one open memory. `threaded`: rest by itself after a while without writing.

    condense: makes the sketches and short copies of what is spread. forget: told when bytes are to be gone
    for good.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        condense: Condense | None,
        threaded: bool,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._forget = forget
        self._keeper = keeper
        self._condense = condense
        self._stop = threading.Event()
        self._rested_at = store.last_write
        self._thread: threading.Thread | None = None
        if threaded and not store.read_only:
            self._thread = threading.Thread(target=self._watch, name="carma-upkeep", daemon=True)
            self._thread.start()

    def rest(self) -> None:
        """Spread, save, sweep. While mass damage is not cleared, only save."""
        self._store.settle()
        self._keeper.save()
        if self._tripped():
            return
        respread(self._store, self._condense, dead_share=self._store.settings.compact_dead_share)
        sweep_files(self._store, self._store.settings.linger_s)
        sweep_registry(self._store)
        keep_reserve(self._store)

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

    def lie_down(self) -> None:
        """What closing does to the files: spread what is new, so that any three of them may be lost."""
        with suppress(CarmaError, RegistryDamaged):
            if not self._tripped():
                respread(self._store, self._condense, dead_share=_ALL_DEAD)
                keep_reserve(self._store)

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
            if wrote != self._rested_at and idle >= self._store.settings.rest_after_s:
                self._rested_at = wrote
                try:
                    self.rest()
                except (CarmaError, RegistryDamaged):
                    # A full disk or another process's turn: there is another rest after the next write.
                    continue
