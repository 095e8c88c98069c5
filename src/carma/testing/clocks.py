"""A clock that is moved by hand and a source of random bytes that starts from a seed."""

from __future__ import annotations

import random

__all__ = ["SeededEntropy", "SimulatedClock"]


class SimulatedClock:
    """Both clocks of `carma.ports.clock.Clock`, standing still until somebody moves them.

    Sleeping moves them, so nothing that waits takes time. `jump` moves only the clock for people, as a
    correction of the time of day does.
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock for people forward, or back if negative."""
        self._now += seconds


class SeededEntropy:
    """Random bytes that are the same for the same seed. Not for secrets."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
