"""Sleep, from the side of an open memory: what the sleeper asks of it, and what it starts.

A process that lives shortly starts nothing: the first dream waits for a whole period after the opening.
"""

from __future__ import annotations

from carma.config import Settings
from carma.healing.beacon import Beacon
from carma.healing.dream import Wishes
from carma.healing.dreamlog import dreams
from carma.healing.pace import BACKGROUND
from carma.healing.scan import take_note
from carma.healing.sleeper import Rhythm, Sleeper, State
from carma.memory.dreaming import Dreamer
from carma.memory.parts import Parts

__all__ = ["Sleep"]


class Sleep:
    """The sleeper of one open memory: what it asks of the memory, and what it starts."""

    def __init__(self, parts: Parts, dreamer: Dreamer) -> None:
        self._store = parts.store
        self._exact = parts.exact
        self._dreamer = dreamer
        self._opened = self._store.clock.monotonic()
        self._beacon: Beacon | None = None
        self._closed = False
        self._rhythm = _rhythm(self._store.settings)
        self._sleeper = Sleeper(
            self._store.clock, self._rhythm, idle_s=self._idle_s, state=self._state,
            dream=lambda: dreamer.run(Wishes()), look=self._look, stop=self._stop,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to watch, unless this memory cannot be repaired or lies on a simulated disk."""
        real = self._store.disk.real_path(self._store.folder) is not None
        if self._store.settings.sleep and real and not self._store.read_only:
            self._sleeper.start()

    def close(self) -> None:
        """End what is running; nothing is left behind."""
        self._sleeper.close()

    def _stop(self) -> None:
        self._closed = True
        self._dreamer.stop()

    def _idle_s(self) -> float:
        return self._store.clock.monotonic() - max(self._store.last_write, self._store.last_call)

    def _state(self) -> State:
        store = self._store
        store.settle()
        last = dreams(store, 1)
        began = last[0].started if last else 0.0
        row = store.registry.one("SELECT count(*) FROM blanks WHERE first_seen_ms > ?", (began * 1000,))
        return State(
            idle_s=self._idle_s(),
            awake_s=store.clock.monotonic() - self._opened,
            since_dream_s=store.clock.now() - began - last[0].actual_s if last else None,
            cycles=last[0].cycle if last else 0,
            blanks=int(row[0]) if row else 0,
        )

    def _look(self) -> None:
        """A tour of the beacon, if one is due; it ends when the memory is asked for something."""
        if self._beacon is None:
            self._beacon = Beacon(self._store, self._exact)
        which = self._beacon.due()
        if which is None:
            return
        outcome = self._beacon.tour(
            deep=which == "deep", resume=True, pace=BACKGROUND,
            stop=lambda: self._closed or self._idle_s() < self._rhythm.after_idle_s,
        )  # fmt: skip
        take_note(self._store, self._exact, outcome)


def _rhythm(settings: Settings) -> Rhythm:
    return Rhythm(
        after_idle_s=settings.sleep_after_idle_s,
        base_s=settings.sleep_base_s,
        growth=settings.sleep_growth,
        most_s=settings.sleep_most_s,
        most_blanks=settings.sleep_blanks,
    )
