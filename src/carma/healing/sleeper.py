"""When a memory sleeps: a pure decision over numbers, time passed in, and the thread that asks it.

A dream begins after the memory was idle for a while and its period is over, or at once (still idle) when
blanks are more than a limit. The period grows as the memory matures, for what was looked at often and found
whole needs less looking. Beside it go the beacon's tours, which say themselves when they are due.

The thread never computes: it starts what it is given, one at a time, and a process that still runs when the
memory is closed is ended and waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from carma.errors import CarmaError
from carma.ports.clock import Clock
from carma.store.registry import RegistryDamaged

__all__ = ["Rhythm", "Sleeper", "State", "period_s", "wait_s"]

_LOOK_EVERY_S = 5.0
_RETRY_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How a memory sleeps. after_idle_s: nothing was asked of it for so long.

    base_s: between two dreams at first; growth: by so much of it the period grows with each cycle; most_s:
    and never beyond this. most_blanks: more than these are dreamt of without waiting for the period.
    """

    after_idle_s: float = 60.0
    base_s: float = 3_600.0
    growth: float = 0.1
    most_s: float = 86_400.0
    most_blanks: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known now. idle_s: since the last call; awake_s: since the memory was opened.

    since_dream_s: since the last cycle ended, None if there was none. cycles: how many there were. blanks:
    found since the last cycle began; what it could not rebuild waits for the period.
    """

    idle_s: float
    awake_s: float
    since_dream_s: float | None = None
    cycles: int = 0
    blanks: int = 0


def period_s(rhythm: Rhythm, cycles: int) -> float:
    """The time between two dreams of a memory that has dreamt so often: base x (1 + cycles x growth)."""
    return min(rhythm.base_s * (1 + cycles * rhythm.growth), rhythm.most_s)


def wait_s(rhythm: Rhythm, state: State) -> float:
    """Seconds until the next dream if nothing happens meanwhile; 0: now."""
    idle = max(rhythm.after_idle_s - state.idle_s, 0.0)
    if state.blanks > rhythm.most_blanks:
        return idle
    # A memory that was never asleep counts from its opening: short-lived processes start none.
    passed = state.awake_s if state.since_dream_s is None else state.since_dream_s
    return max(idle, period_s(rhythm, state.cycles) - max(passed, 0.0))


class Sleeper:
    """A thread that sends one memory to sleep.

    idle_s: since it was last called. state: what is known now; asked only when it is idle. dream: runs one
    dream and returns when it is over. look: lets the beacon make a tour that is due, if one is. stop: ends
    what is running; called by `close`.
    """

    def __init__(
        self,
        clock: Clock,
        rhythm: Rhythm,
        *,
        idle_s: Callable[[], float],
        state: Callable[[], State],
        dream: Callable[[], object],
        look: Callable[[], object],
        stop: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._rhythm = rhythm
        self._idle_s = idle_s
        self._state = state
        self._dream = dream
        self._look = look
        self._stop = stop
        self._closed = threading.Event()
        self._failed_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="carma-sleeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End what is running, and the thread; idempotent. Nothing is left behind when it returns."""
        self._closed.set()
        self._stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            with suppress(CarmaError, RegistryDamaged):
                # A full disk or somebody else's turn: the next look is soon.
                self.turn()

    def turn(self) -> bool:
        """Do what is due now, if anything; whether it dreamt."""
        if self._idle_s() < self._rhythm.after_idle_s:
            return False
        if wait_s(self._rhythm, self._state()) > 0 or self._has_just_failed():
            self._look()
            return False
        try:
            self._dream()
        except CarmaError:
            self._failed_at = self._clock.monotonic()  # It would fail again a moment later.
            raise
        self._failed_at = None
        return True

    def _has_just_failed(self) -> bool:
        failed = self._failed_at
        return failed is not None and self._clock.monotonic() - failed < _RETRY_S
