"""Upkeep: what a memory does when nothing is asked of it.

After `rest_after_s` without a write a thread seals a tail that has grown, saves the vector index, compacts
segments that are mostly dead and sweeps what is left over. Everything here can be stopped at any moment and
can fail without harm: it is done again at the next rest.
"""

from __future__ import annotations

import threading
from dataclasses import asdict

from carma.errors import CarmaError
from carma.memory.keeping import Keeper
from carma.store.compaction import compact
from carma.store.registry import RegistryDamaged
from carma.store.store import Store
from carma.store.sweep import sweep_files, sweep_registry

__all__ = ["Upkeep"]

_LOOK_EVERY_S = 1.0
_SEAL_FROM_BYTES = 4 * 2**20
"""A smaller tail stays open at rest: it has two copies, and a segment for each small session would be many
files.
"""


class Upkeep:
    """Rest and compaction of one open memory. `threaded`: rest by itself after a while without writing."""

    def __init__(self, store: Store, keeper: Keeper, threaded: bool) -> None:
        self._store = store
        self._keeper = keeper
        self._stop = threading.Event()
        self._rested_at = store.last_write
        self._thread: threading.Thread | None = None
        if threaded and not store.read_only:
            self._thread = threading.Thread(target=self._watch, name="carma-upkeep", daemon=True)
            self._thread.start()

    def rest(self) -> None:
        """Seal, index, save, compact, sweep."""
        self._store.settle()
        if self._store.cursor.offset >= _SEAL_FROM_BYTES:
            self._store.seal()
        self._keeper.save()
        compact(self._store, dead_share=self._store.settings.compact_dead_share)
        sweep_files(self._store, self._store.settings.linger_s)
        sweep_registry(self._store)

    def compact(self, linger_s: float | None) -> dict[str, int]:
        """Compact and sweep now; the counts."""
        linger = self._store.settings.linger_s if linger_s is None else linger_s
        done = compact(self._store, dead_share=self._store.settings.compact_dead_share, seal=True)
        return {**asdict(done), "files_removed": sweep_files(self._store, linger)}

    def purge(self) -> None:
        """Remove every dead record of a deleted fragment from every file, now."""
        compact(self._store, dead_share=0.0, seal=True)
        sweep_files(self._store, 0.0)
        sweep_registry(self._store, thorough=True)
        self._keeper.meaning.purge()

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
