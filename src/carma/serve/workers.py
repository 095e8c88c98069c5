"""The bounded pool of threads in which memories are asked.

An event loop must not wait for a disk, so calls go to threads; so many and no more, with so many waiting and
no more. Of one owner only so many run at once, and at most a quarter of the places to wait in is theirs: a
busy owner leaves room for the others. What is over a bound is refused at once with 503, which costs nothing,
instead of waiting until everybody's patience is over.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from carma.errors import ServerBusy
from carma.memory.memory import Memory
from carma.serve.seat import Seat
from carma.serve.settings import ServeSettings

__all__ = ["Workers"]

T = TypeVar("T")

_READ_AT_ONCE = 2
_SHARE = 4
"""One owner has at most this part of the places to wait in."""


class _Lane:
    """The calls of one seat. inside: of them that run or wait."""

    def __init__(self, at_once: int) -> None:
        self.turn = asyncio.Semaphore(at_once)
        self.inside = 0


class Workers:
    """Threads for blocking calls. Used from one event loop."""

    def __init__(self, settings: ServeSettings) -> None:
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="carma-serve")
        self._most = settings.threads + settings.waiting_most
        self._lane_most = settings.seat_calls_most
        self._lane_waiting = settings.seat_calls_most + settings.waiting_most // _SHARE
        self._lanes: weakref.WeakKeyDictionary[Seat, _Lane] = weakref.WeakKeyDictionary()
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self.inside = 0
        """Calls that run or wait."""

    async def ask(self, seat: Seat, call: Callable[[Memory], T]) -> T:
        """Run `call` with the memory of a seat. Raises ServerBusy, and what `Seat.use` and the call raise."""

        def borrowed() -> T:
            with seat.use() as memory:
                return call(memory)

        return await self.run(seat, borrowed)

    async def run(self, seat: Seat, call: Callable[[], T]) -> T:
        """Run `call`, which needs no memory, for the owner of a seat.

        Raises ServerBusy, and what the call raises.
        """
        with self._entered(seat) as lane:
            async with lane.turn:
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def read(self, seat: Seat, call: Callable[[], T]) -> T:
        """Run `call`, which reads a large body of the owner of a seat; few at once, because what is read
        takes many times the room. Raises ServerBusy, and what the call raises.
        """
        with self._entered(seat):
            async with self._reading:
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Take no more calls; those that run go on to their end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _entered(self, seat: Seat) -> Iterator[_Lane]:
        """Within the block one call more runs or waits, and one of this seat. Raises ServerBusy."""
        lane = self._lanes.get(seat)
        if lane is None:
            lane = self._lanes[seat] = _Lane(self._lane_most)
        if self.inside >= self._most:
            raise ServerBusy(f"{self.inside} calls are waiting already.")
        if lane.inside >= self._lane_waiting:
            raise ServerBusy(f"{lane.inside} calls of this account are waiting already.")
        self.inside += 1
        lane.inside += 1
        try:
            yield lane
        finally:
            self.inside -= 1
            lane.inside -= 1
