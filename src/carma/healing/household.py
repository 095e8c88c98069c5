"""What a dream tidies up at its end: redundancy that is missing, what is dead, what was kept for safety.

Deleted text leaves every file here. What a spreading replaced lingers for readers, except where it holds
deleted text: they find what they look for at its new place. Quarantined originals go when a whole look found
nothing wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from carma.errors import CarmaError
from carma.healing.cycle import Cycle
from carma.healing.resources import Resources
from carma.store.registry import RegistryDamaged
from carma.store.repair import keep_reserve
from carma.store.rest import respread
from carma.store.segments import REWRITTEN
from carma.store.store import Store
from carma.store.sweep import sweep_files, sweep_quarantine, sweep_registry

__all__ = ["Household", "tidy"]

_DELETED = """
SELECT DISTINCT segment FROM fragments WHERE NOT live AND kind <> 'tombstone' AND NOT EXISTS
(SELECT 1 FROM fragments new WHERE new.id = fragments.id AND new.live)
"""


@dataclass(frozen=True, slots=True)
class Household:
    """anew: spreads to be written anew. clean: nothing was damaged or lost when the dream looked. log: damage
    was left in the log, which a spreading leaves behind where nothing stood in it.
    """

    anew: set[int] = field(default_factory=set)
    clean: bool = False
    log: bool = False


def tidy(store: Store, resources: Resources, household: Household, cycle: Cycle) -> None:
    """Spread what needs it, sweep, and set the reserve aside. Raises Ended."""
    deleted = _with_deleted(store)
    segments = [row for row in deleted if row >= REWRITTEN]
    spreads = {m.head.spread for n in segments if (m := store.spreads.of_segment(n)) is not None}
    unsaid = _sketched(store, resources, cycle)
    anew = sorted(household.anew | spreads | unsaid)
    share = store.settings.compact_dead_share
    if deleted or anew or household.log or _unnamed(store):
        _try(cycle, "spreading", lambda: _spread(store, resources, share, anew, cycle))
    cycle.go_on()
    traces = bool(deleted) or _unscrubbed(store)
    _try(cycle, "sweeping", lambda: _sweep(store, resources, traces))
    cycle.go_on()
    if household.clean:
        _try(cycle, "emptying the quarantine", lambda: sweep_quarantine(store))
    _try(cycle, "keeping the reserve", lambda: keep_reserve(store))


def _sketched(store: Store, resources: Resources, cycle: Cycle) -> set[int]:
    """Make the sketches that are missing; the spreads to be written anew for them."""
    if resources.condense is None:
        return set()
    cycle.tell(0, 0, "sketching")
    deadline = store.clock.monotonic() + max(cycle.left_s, 0.0)

    def going_on() -> bool:
        return store.clock.monotonic() < deadline

    resources.condense.prepare(going_on)
    return set(resources.condense.complete(going_on))


def _with_deleted(store: Store) -> list[int]:
    """Segments that hold text of deleted fragments."""
    return [row[0] for row in store.registry.rows(_DELETED)]


def _unscrubbed(store: Store) -> bool:
    """Whether something was deleted since index and lingering files were last freed of what was deleted."""
    newest = store.registry.rows("SELECT coalesce(max(seq), 0) FROM fragments WHERE kind = 'tombstone'")[0][0]
    return int(newest) > int(store.registry.state("scrubbed") or 0)


def _unnamed(store: Store) -> bool:
    """Whether an interrupted spreading left segments that no manifest names."""
    numbers = [number for number in store.segments.numbers("segments") if number >= REWRITTEN]
    return any(store.spreads.of_segment(number) is None for number in numbers)


def _spread(store: Store, resources: Resources, share: float, anew: list[int], cycle: Cycle) -> None:
    since = cycle.now()
    cycle.begin()
    done = respread(store, resources.condense, dead_share=share, anew=anew)
    if done.outputs:
        cycle.step("file", f"{done.outputs} spreads", "parity", "thin", "intact", since)


def _sweep(store: Store, resources: Resources, deleted: bool) -> None:
    # A spreading that was under way has the turn, and so has a sweep: it meets nothing half done.
    sweep_files(store, 0.0 if deleted else store.settings.linger_s)
    sweep_registry(store, thorough=deleted)
    if deleted:
        resources.purge()


def _try(cycle: Cycle, what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (CarmaError, RegistryDamaged) as error:
        failure = error if isinstance(error, CarmaError) else CarmaError(str(error))
        cycle.failed(what, failure)
