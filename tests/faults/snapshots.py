"""What a process that dies before a call of the disk leaves behind, for many calls out of one run.

The idea: up to the call a run with a crash there is the run without one, so a copy of the disk before the
call is what the crash leaves. One run gives the copies for any number of calls. Rejected: a run for each
call, which ends with the crash (as those do that die in the middle of a call): it takes half a run more for
every one of them and leaves the same.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import deepcopy
from typing import TypeVar

from carma.testing import SimulatedClock, SimulatedDisk

__all__ = ["left_before"]

T = TypeVar("T")
Told = TypeVar("Told")


class _Watched(SimulatedDisk):
    """A disk at which somebody looks before each call. look: gets the number of the call."""

    look: Callable[[int], None]

    def call(
        self, action: str, path: str, act: Callable[[], T], middle: Callable[[], None] | None = None
    ) -> T:
        self.look(self.calls + 1)
        return super().call(action, path, act, middle)


def left_before(
    calls: Container[int], told: Told, work: Callable[[SimulatedDisk, Told, SimulatedClock], object]
) -> list[tuple[int, SimulatedDisk, Told]]:
    """Run `work`; for each of these calls of the disk its number, the disk that a crash before it leaves, and
    what had been told by then.

    told: what `work` changes as it acknowledges; it is copied with the disk.
    """
    found: list[tuple[int, SimulatedDisk, Told]] = []
    clock = SimulatedClock()
    disk = _Watched(clock=clock)

    def look(number: int) -> None:
        if number in calls:
            left = disk.copy(SimulatedClock(clock.now()))
            left.calls = number
            found.append((number, left, deepcopy(told)))

    disk.look = look
    work(disk, told, clock)
    return found
