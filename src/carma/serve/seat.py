"""A seat: one user's memory in the server, opened when it is asked for and closed when it is not.

Whoever uses it borrows the memory for the length of a call, so it is never closed under somebody. A memory
that cannot be opened costs its own owner an answer of 503 and nobody else anything: the next try waits, and
the waiting grows. Rejected: all memories open all the time (60 of them hold three threads and their vectors
each, and most users are away).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carma.errors import AccountNotFound, CarmaError, SeatUnavailable
from carma.memory.memory import Memory
from carma.ports.clock import Clock
from carma.serve.accounts import Account
from carma.serve.settings import ServeSettings
from carma.store.segments import COPIES

__all__ = ["Seat", "SeatHealth"]

Condition = Literal["unknown", "healthy", "degraded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatHealth:
    """How whole one seat is, as it was last seen.

    reason: why it is degraded, without anything of its texts. checked: seconds since the epoch, 0: never;
    light, deep: the same, when the last complete look at headers and at every byte ended. scan_…_bytes: of
    the look at every byte that is under way, 0 if none is.
    """

    seat: int
    condition: Condition = "unknown"
    reason: str | None = None
    fragments: int = 0
    blanks: int = 0
    reconstructed: int = 0
    repaired: int = 0
    indexed: int = 0
    pending: int = 0
    checked: float = 0.0
    light: float = 0.0
    deep: float = 0.0
    scan_done_bytes: int = 0
    scan_total_bytes: int = 0


class Seat:
    """The memory of one account. Threads may share it.

    opener: opens the memory in the folder it is given. Its errors are remembered, not passed on. opened: told
    when it was.
    """

    def __init__(
        self,
        account: Account,
        folder: Path,
        opener: Callable[[Path, Account], Memory],
        settings: ServeSettings,
        clock: Clock,
        opened: Callable[[Seat], None] = lambda seat: None,
    ) -> None:
        self._opened = opened
        self.account = account
        self.folder = folder
        self.health = SeatHealth(seat=account.seat)
        self.looked_at = clock.monotonic()
        """When a round last came by."""
        self._opener = opener
        self._settings = settings
        self._clock = clock
        self._turn = threading.Condition()
        self._memory: Memory | None = None
        self._state: Literal["closed", "opening", "open", "closing", "retired"] = "closed"
        self._users = 0
        self._last_used = clock.monotonic()
        self._failures = 0
        self._retry_at = 0.0
        self._suspect = False

    @property
    def is_open(self) -> bool:
        """Whether the memory is open now."""
        return self._state == "open"

    @property
    def is_retired(self) -> bool:
        """Whether it is closed for good."""
        return self._state == "retired"

    def stop_dreams(self) -> None:
        """End what this memory dreams; it begins nothing more."""
        memory = self._memory
        if memory is not None:
            memory.dreamer.stop()

    # Borrowing

    @contextmanager
    def use(self, *, quiet: bool = False) -> Iterator[Memory]:
        """The memory, for the length of the block. May wait for its opening.

        quiet: nobody asked for it, the server looks by itself, so the memory does not stay open for it.
        Raises SeatUnavailable, AccountNotFound (the account was removed meanwhile).
        """
        memory = self._borrow(quiet)
        with self._lent():
            yield memory

    @contextmanager
    def use_open(self, *, quiet: bool = False) -> Iterator[Memory | None]:
        """The memory if it is open, for the length of the block, without waiting for anything; else None.

        quiet: as for `use`.
        """
        memory = self._borrow_open(quiet)
        if memory is None:
            yield None
            return
        with self._lent():
            yield memory

    @contextmanager
    def _lent(self) -> Iterator[None]:
        """Until the end of the block a memory is lent."""
        try:
            yield
        except CarmaError:
            raise
        except Exception:
            # Nothing that a memory does on purpose: it is opened anew, which mends what can be mended.
            self._suspect = True
            raise
        finally:
            self._give_back()

    def _borrow_open(self, quiet: bool) -> Memory | None:
        if self._state != "open" or not self._turn.acquire(blocking=False):
            return None
        try:
            if self._state != "open" or self._suspect or self._memory is None:
                return None
            return self._count(self._memory, quiet)
        finally:
            self._turn.release()

    def _borrow(self, quiet: bool) -> Memory:
        with self._turn:
            self._turn.wait_for(lambda: self._state not in ("opening", "closing"))
            if self._state == "retired":
                raise AccountNotFound("There is no such account.")
            if self._state == "open":
                assert self._memory is not None
                return self._count(self._memory, quiet)
            if self._clock.monotonic() < self._retry_at:
                raise self._unavailable()
            self._state = "opening"
        try:
            memory = self._opener(self.folder, self.account)
        except Exception as error:
            with self._turn:
                self._failed(error)
            raise self._unavailable() from error
        with self._turn:
            self._memory, self._state, self._suspect = memory, "open", False
            self._failures = 0
            self._turn.notify_all()
            self._count(memory, quiet)
        self._opened(self)
        return memory

    def _count(self, memory: Memory, quiet: bool) -> Memory:
        self._users += 1
        if not quiet:
            self._last_used = self._clock.monotonic()
        return memory

    def _give_back(self) -> None:
        with self._turn:
            self._users -= 1
            if not self._users:
                self._turn.notify_all()

    def _failed(self, error: Exception) -> None:
        self._state = "closed"
        pause = self._settings.seat_retry_s * 2.0 ** min(self._failures, 16)
        self._failures += 1
        self._retry_at = self._clock.monotonic() + min(pause, self._settings.seat_retry_most_s)
        why = error.code if isinstance(error, CarmaError) else "internal"
        self.health = SeatHealth(
            seat=self.account.seat,
            condition="degraded",
            reason=f"cannot be opened: {why}",
            checked=self._clock.now(),
        )
        self._turn.notify_all()

    def _unavailable(self) -> SeatUnavailable:
        left = max(self._retry_at - self._clock.monotonic(), 0.0)
        return SeatUnavailable("This memory cannot be opened now.", retry_after_s=left)

    # Closing

    def close_if_idle(self) -> bool:
        """Close the memory if nobody has used it for long, or if it is to be opened anew; whether it was."""
        idle = self._clock.monotonic() - self._last_used >= self._settings.seat_idle_s
        return self._close(lambda: idle or self._suspect, 0.0, "closed")

    def close(self, timeout_s: float, *, retire: bool = False) -> bool:
        """Close the memory when its users have given it back; False if they did not in time.

        retire: for good; whoever asks then is told that there is no such account.
        """
        return self._close(lambda: True, timeout_s, "retired" if retire else "closed")

    def _close(
        self, wanted: Callable[[], bool], timeout_s: float, after: Literal["closed", "retired"]
    ) -> bool:
        with self._turn:
            free = self._turn.wait_for(
                lambda: not self._users and self._state not in ("opening", "closing"), timeout_s
            )
            if not free or not wanted():
                return False
            memory, self._memory = self._memory, None
            if memory is None:
                self._state = after if self._state != "retired" else "retired"
                return False
            self._state = "closing"
        try:
            memory.close()
        except Exception as error:
            with self._turn:
                self._failed(error)
        finally:
            with self._turn:
                self._state = after
                self._turn.notify_all()
        return True

    # Health

    def look(self) -> SeatHealth:
        """Ask the memory how it is. Raises what `use` raises."""
        with self.use(quiet=True) as memory:
            self._see(memory)
        return self.health

    def look_if_open(self) -> None:
        """The same of a memory that is open; one that is closed, or about to be, is left alone."""
        with self.use_open(quiet=True) as memory:
            if memory is not None:
                self._see(memory)

    def _see(self, memory: Memory) -> None:
        self.health = _health(self.account.seat, memory, self._clock.now())

    @property
    def health_age_s(self) -> float:
        """How old the health is."""
        return self._clock.now() - self.health.checked


def _health(seat: int, memory: Memory, now: float) -> SeatHealth:
    stats, tour = memory.stats(), memory.beacon.standing
    vectors, sizes = stats["vectors"], stats["bytes"]
    reasons = []
    if stats["breaker"]:
        reasons.append("mass damage")
    if stats["blanks"]:
        reasons.append(f"{stats['blanks']} blanks")
    if stats["gaps"]:
        reasons.append(f"{stats['gaps']} unnamed writes")
    if vectors["error"]:
        reasons.append("embedder")
    return SeatHealth(
        seat=seat,
        condition="degraded" if reasons else "healthy",
        reason=", ".join(reasons) or None,
        fragments=stats["fragments"],
        blanks=stats["blanks"],
        reconstructed=stats["reconstructed"],
        repaired=stats["repaired"],
        indexed=vectors["indexed"],
        pending=vectors["pending"],
        checked=now,
        light=tour.light or 0.0,
        deep=tour.deep or 0.0,
        scan_done_bytes=0 if tour.complete else tour.counts.bytes,
        scan_total_bytes=0 if tour.complete else sum(sizes[place] for place in (*COPIES, "parity")),
    )
