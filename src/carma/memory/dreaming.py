"""Dreaming, from the side of an open memory: what it lends to a dream, and where the dream runs.

On a real disk a dream is a process of its own, so that reads do not wait for it. It runs in this process
where another could not do it: on a simulated disk, with an embedder, a language model or a cipher that only
this process has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from carma.embed.by_name import embedder_for
from carma.errors import CarmaError
from carma.healing.condense import Condenser
from carma.healing.cycle import Progress
from carma.healing.dream import Wishes, dream
from carma.healing.model import LanguageModel
from carma.healing.resources import Resources
from carma.healing.worker import DreamProcess, Orders
from carma.memory.overview import thread_counts
from carma.memory.parts import Parts
from carma.reports import DreamReport

__all__ = ["Dreamer", "absolute"]

Reindex = Callable[[], Mapping[str, Any]]


@runtime_checkable
class Portable(Protocol):
    """A cipher whose key another process of ours can be given: `carma.access.vault.datakey`."""

    def hand_over(self) -> bytes:
        """The key."""


class Dreamer:
    """The dreams of one open memory. Safe to share between threads; one dream runs at a time."""

    def __init__(self, parts: Parts, reindex: Reindex) -> None:
        self._parts = parts
        self._store = parts.store
        self._reindex = reindex
        self._running: set[DreamProcess] = set()
        self._closed = False

    def run(
        self,
        wishes: Wishes,
        *,
        progress: Progress | None = None,
        model: LanguageModel | None = None,
        in_process: bool = False,
        cancelled: Orders = lambda: False,
    ) -> DreamReport:
        """One dream, here or in a process of its own. Raises ReadOnlyMemory, MemoryBusy, InvalidInput."""
        wishes = replace(wishes, reads={**self._parts.felt.counts(), **wishes.reads})
        here = in_process or model is not None or self._store.read_only or not self._can_be_elsewhere()
        if here:
            resources = self._resources(model)
            return dream(
                self._store, resources, wishes, progress=progress,
                cancelled=lambda: self._closed or cancelled(),
            )  # fmt: skip
        report = self._elsewhere(wishes, progress)
        if not wishes.dry_run:
            self._let_go(report)
        return report

    def stop(self) -> None:
        """End what is running; nothing is started any more."""
        self._closed = True
        for process in list(self._running):
            process.stop()

    def _elsewhere(self, wishes: Wishes, progress: Progress | None) -> DreamReport:
        self._store.settle()
        self._parts.keeper.meaning.write_vectors()
        cipher = self._store.sealing.cipher
        key = cipher.hand_over() if isinstance(cipher, Portable) else None
        named = self._parts.keeper.named
        process = DreamProcess(self._store.folder, wishes, self._store.settings, key, named)
        self._running.add(process)

        def told(done: int, total: int, what: str) -> None:
            try:
                self._store.refuse()
            except CarmaError:
                process.stop()  # The key that it was given was destroyed meanwhile.
            if progress is not None:
                progress(done, total, what)

        try:
            if self._closed:
                process.stop()
            return process.run(told if key is not None else progress)
        finally:
            self._running.discard(process)

    def _let_go(self, report: DreamReport) -> None:
        """Files were replaced and rows changed behind our back: look at them anew."""
        self._store.settle()
        if report.files_repaired or report.exact:
            for number in (*self._store.segments.numbers(), *self._store.segments.columns()):
                self._store.segments.forget(number)
            self._store.spreads.forget()
            self._parts.exact.copies.forget()
        if report.exact or report.reconstructed:
            self._parts.keeper.meaning.reset()

    def _can_be_elsewhere(self) -> bool:
        """Whether another process could open this memory with the same embedder."""
        if self._store.disk.real_path(self._store.folder) is None or not sys.executable:
            return False
        cipher = self._store.sealing.cipher
        if cipher is not None and not isinstance(cipher, Portable):
            return False
        fingerprint = self._parts.keeper.meaning.fingerprint
        if fingerprint is None or self._parts.keeper.named is not None:
            return True
        return embedder_for(fingerprint) is not None

    # What a dream uses

    def _resources(self, model: LanguageModel | None) -> Resources:
        keeper = self._parts.keeper
        return Resources(
            exact=self._parts.exact,
            condense=Condenser(self._store, self._parts.exact.copies),
            embed=keeper.embed,
            vectors=self._vectors,
            nearest=self._nearest,
            threads=partial(thread_counts, keeper.meaning),
            reindex=self._reindexed,
            purge=lambda: keeper.meaning.purge(),
            model=model,
        )

    def _vectors(self, seqs: Sequence[int]) -> Mapping[int, NDArray[np.float32]]:
        columns, index = self._parts.keeper.meaning.view
        if index is None:
            return {}
        rows = columns.row_of(seqs)
        there = np.flatnonzero(rows >= 0)
        vectors = index.vectors(rows[there])
        return {
            seqs[at]: vector
            for at, vector in zip(there.tolist(), vectors, strict=True)
            if np.isfinite(vector).all()
        }

    def _nearest(self, vector: NDArray[np.float32], count: int) -> Sequence[int]:
        columns, index = self._parts.keeper.meaning.view
        if index is None or not len(index):
            return ()
        rows, _ = index.search(vector, min(count, len(index)))
        seqs: list[int] = columns.seqs[rows].tolist()
        return seqs

    def _reindexed(self, seconds: float) -> dict[str, int]:
        """Make again what is damaged or stale of the index; by name, how many."""
        counts = self._reindex()
        with suppress(CarmaError):
            # Words find what has no vector; an embedder that fails must not end a dream.
            if self._store.disk.real_path(self._store.folder) is None:
                self._parts.keeper.flush(seconds)
        return dict.fromkeys(counts["rebuilt"], 1)


def absolute(paths: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Paths as another process understands them."""
    return tuple(os.path.abspath(os.path.expanduser(os.fspath(path))) for path in paths)
