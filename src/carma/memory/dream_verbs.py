"""The verbs of dreaming: run a repair cycle, and see which there were."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from carma.errors import InvalidInput
from carma.healing import dreamlog
from carma.healing.cycle import Progress
from carma.healing.dream import Wishes
from carma.healing.model import LanguageModel
from carma.memory.dreaming import Dreamer, absolute
from carma.memory.gathering import Gathered
from carma.memory.heal_verbs import HealVerbs
from carma.reports import DreamReport

__all__ = ["DreamVerbs"]

_MOST_CYCLE = 2**53
_STEP_BYTES = 512
"""A step as JSON is shorter than this."""


class DreamVerbs(HealVerbs):
    """Verbs that heal; those that look for damage stand below them."""

    _dreamer: Dreamer | None = None

    @property
    def dreamer(self) -> Dreamer:
        """What runs the dreams of this memory."""
        if self._dreamer is None:
            self._dreamer = Dreamer(self._parts, partial(self.repair_index, only_damaged=True))
        return self._dreamer

    def dream(
        self,
        *,
        budget_s: float | None = None,
        dry_run: bool = False,
        exact: bool = True,
        sources: Sequence[str | os.PathLike[str]] = (),
        model: LanguageModel | None = None,
        progress: Progress | None = None,
        in_process: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> DreamReport:
        """Run one repair cycle: look everywhere, give back what can be proven, rebuild the rest, tidy up.

        budget_s: stop after so many seconds; the plan (`Settings.dream_*`) is the ceiling. dry_run: only say
        what would be done. exact: False leaves out the rungs that give back true bytes. sources: other
        memories, archives, exports, and folders that hold what was ingested. model: asked where the composer
        has no proof. progress: told (done, of how many, what) before each step. in_process: do not start a
        process for it. cancelled: asked before each step (only in this process).

        Raises ReadOnlyMemory, MemoryBusy (a dream runs already), InvalidInput (also where a source is not
        there).
        """
        self._ready()
        if budget_s is not None and not budget_s >= 0:
            raise InvalidInput(f"budget_s is {budget_s}; a dream has at least 0 seconds.")
        for source in absolute(sources):
            if not os.path.exists(source):
                raise InvalidInput(
                    f"There is no source {source}.", hint="Nothing was begun. Look at its name and try again."
                )
        wishes = Wishes(budget_s=budget_s, dry_run=dry_run, exact=exact, sources=absolute(sources))
        with nullcontext() if dry_run else self._actor.long():
            return self.dreamer.run(
                wishes, progress=progress, model=model, in_process=in_process, cancelled=cancelled
            )

    def dreams(self, limit: int = 20, *, steps: bool = False) -> builtins.list[DreamReport]:
        """The last repair cycles, newest first. steps: with everything they did.

        Raises InvalidInput, TooLarge (with their steps they are longer than `answer_bytes` together).
        """
        self._ready()
        found = dreamlog.dreams(self._store, self._limit(limit))
        if not steps:
            return found
        gathered = Gathered(
            self._store.settings.answer_bytes, "Ask for a smaller limit, or for one of them by its number."
        )
        for at, each in enumerate(found):
            whole = replace(each, steps=dreamlog.dream(self._store, each.cycle).steps)
            gathered.add(len(whole.steps) * _STEP_BYTES)
            found[at] = whole
        return found

    def show_dream(self, cycle: int) -> DreamReport:
        """One repair cycle, with everything it did. Raises DreamNotFound, InvalidInput (no such number)."""
        self._ready()
        if isinstance(cycle, bool) or not isinstance(cycle, int) or not 1 <= cycle <= _MOST_CYCLE:
            raise InvalidInput(f"{cycle!r:.80} is not the number of a dream; they count from 1.")
        return dreamlog.dream(self._store, cycle)
