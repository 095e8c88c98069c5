"""The verbs that look for damage and keep account of it. None of them rebuilds a fragment: dreams do."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from carma.errors import EmbedderError, InvalidInput, ReadOnlyMemory
from carma.healing import breaker
from carma.healing.beacon import Beacon
from carma.healing.blanks import candidates
from carma.healing.pace import BACKGROUND
from carma.healing.reindex import rebuild_registry, registry_is_sound
from carma.healing.scan import take_note
from carma.memory.base import Base
from carma.memory.gathering import Gathered, weight
from carma.memory.overview import thread_counts
from carma.models import Fragment
from carma.reports import ScanReport

__all__ = ["HealVerbs"]

_INDEXES = ("registry", "vectors")


class HealVerbs(Base):
    """Verbs about damage. What they find they say; what they write is the damage ledger and the index."""

    _beacon: Beacon | None = None

    @property
    def beacon(self) -> Beacon:
        """The verifier of this memory."""
        if self._beacon is None:
            self._beacon = Beacon(self._store, self._exact)
        return self._beacon

    def scan(self, *, deep: bool = False) -> ScanReport:
        """Look for damage: names, sizes and headers, or (deep) every byte of every file.

        New losses are written into the damage ledger, unless the memory is read-only; nothing else is
        changed. Mass damage trips the breaker. Raises MemoryBusy, StorageError.
        """
        self._ready()
        return take_note(self._store, self._exact, self.beacon.tour(deep=deep))

    def look(self, *, deep: bool = False, stop: Callable[[], bool] = lambda: False) -> ScanReport:
        """As `scan`, for whoever is in no hurry: with a small share of the disk and of one core. It ends for
        a `scan`, and a deep one goes on where the last was broken off (its report covers both).

        stop: asked often; True ends it, and its report is not `complete`.
        """
        self._ready()
        outcome = self.beacon.tour(deep=deep, resume=True, pace=BACKGROUND, stop=stop)
        return take_note(self._store, self._exact, outcome)

    def blanks(self, *, limit: int = 1000, reconstructed: bool = False) -> builtins.list[Fragment]:
        """Fragments whose text is lost, the most urgent first; each has a `blank` with reason and priority.

        As far as scans and reads have found them: `scan(deep=True)` looks everywhere. reconstructed: also
        those in whose place a reconstruction stands. Raises InvalidInput, TooLarge (they are longer than
        `answer_bytes` together).
        """
        self._ready()
        wanted = {"blank", "reconstructed"} if reconstructed else {"blank"}
        most = self._limit(limit)
        found: builtins.list[Fragment] = []
        gathered = Gathered(self._store.settings.answer_bytes, "Ask for a smaller limit.")
        threads = partial(thread_counts, self._keeper.meaning)
        for each in candidates(self._store, threads, self._parts.felt.counts()):
            fragment = self._reader.at(each.seq, each.segment, each.offset, each.length)
            if fragment.state not in wanted:
                continue
            if fragment.blank is not None:
                fragment = replace(fragment, blank=replace(fragment.blank, priority=each.priority))
            gathered.add(weight(fragment))
            found.append(fragment)
            if len(found) == most:
                break
        return found

    def clear_breaker(self) -> bool:
        """Allow compaction, purging and sweeping again after mass damage; whether they were held back.

        Raises ReadOnlyMemory, MemoryBusy, StorageError.
        """
        self._ready()
        with self._actor.long():
            return breaker.clear(self._store)

    def repair_index(self, *names: str, only_damaged: bool = False) -> dict[str, Any]:
        """Make the index anew from segments and manifests.

        names: "registry" (tree, metadata, words, damage ledger) or "vectors"; none: both. What is damaged or
        stale is made anew whether it is named or not. only_damaged: nothing but that. A vector that can still
        be read is not computed again. Reading goes on meanwhile. The counts: which were rebuilt, fragments,
        vectors, and how many vectors are still to be made. Raises InvalidInput, ReadOnlyMemory, MemoryBusy,
        StorageError.
        """
        self._ready()
        unknown = set(names) - set(_INDEXES)
        if unknown:
            raise InvalidInput(
                f"There is no index {', '.join(sorted(unknown))}; there are {', '.join(_INDEXES)}."
            )
        if self._store.read_only:
            raise ReadOnlyMemory("This memory was opened read-only.")
        asked = () if only_damaged else names or _INDEXES
        rebuilt = []
        if "registry" in asked or not registry_is_sound(self._store):
            rebuild_registry(self._store)
            self._keeper.meaning.reset()
            rebuilt.append("registry")
        if "vectors" in asked or self._vectors_are_damaged():
            self._rebuild_vectors()
            rebuilt.append("vectors")
        fresh = self._keeper.freshness()
        rows = self._store.registry.rows("SELECT count(*), coalesce(sum(live), 0) FROM fragments")[0]
        return {
            "rebuilt": rebuilt,
            "versions": rows[0],
            "fragments": rows[1],
            "vectors": fresh["indexed"],
            "pending": fresh["pending"],
        }

    def _vectors_are_damaged(self) -> bool:
        return bool(self._keeper.freshness()["damaged_blocks"])

    def _rebuild_vectors(self) -> None:
        """Read the blocks that are whole, embed what is missing, and write both anew."""
        meaning = self._keeper.meaning
        meaning.write_vectors()
        meaning.reset()
        with suppress(EmbedderError):  # Words find what has no vector; the count of what is pending says so.
            self._keeper.flush(None)
        meaning.purge()
