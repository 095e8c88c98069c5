"""The block: the seats of one server, and the threads that look after them.

It knows which memory belongs to whom; it opens them when they are asked for, closes the idle, retires those
whose account is gone, and goes round all of them, so that a memory nobody asks for is looked at and healed
too. The embedder is one for all; its cache is each memory's own.

A server that begins looks at names, sizes and headers of every seat; so does each round after it. Every byte
is read when that is due, one seat at a time and by a thread of its own, from where it was broken off: all of
it in the background's pace. Rejected: to stop for every request, as a memory of one's own does (a seat that
is always asked for would never be read to the end), and to read all seats at the first start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from carma.compliance.folders import erase_folder
from carma.errors import CarmaError
from carma.memory.memory import Memory
from carma.ports.clock import Clock, SystemClock
from carma.reports import ScanReport
from carma.serve.accounts import Account, Accounts
from carma.serve.allocator import give_back
from carma.serve.seat import Seat, SeatHealth
from carma.serve.settings import ServeSettings

__all__ = ["Block", "Opener"]

Opener = Callable[[Path, Account], Memory]
"""Opens the memory of an account in a folder."""

_TICK_S = 1.0
_GIVE_BACK_EVERY_S = 60.0


class Block:
    """The seats of one server. Threads may share it.

    folder: of the seats. opener: opens one seat's memory.
    """

    def __init__(
        self,
        accounts: Accounts,
        folder: Path,
        opener: Opener,
        settings: ServeSettings,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.accounts = accounts
        self.heal: Callable[[Seat], None] = lambda seat: None
        """Told a seat in which a round found blanks."""
        self.opened: Callable[[Seat], None] = lambda seat: None
        """Told a seat whose memory was opened."""
        self.scanned: Callable[[ScanReport], None] = lambda report: None
        """Told the report of a round's scan."""
        self.keep_to_rules: Callable[[Seat, Memory], None] = lambda seat, memory: None
        """Told a seat and its memory on each round, to remove what may not be kept longer."""
        self.retired: Callable[[Account], None] = lambda account: None
        """Told an account that is gone."""
        self.failed: Callable[[Exception], None] = lambda error: None
        """Told what went wrong on a round and nobody foresaw; the rounds go on."""
        self._folder = folder
        self._opener = opener
        self._settings = settings
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._seats: dict[str, Seat] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._toured = False
        """Whether every seat was looked at since the start."""
        self._unread: dict[str, Seat] = {}
        """The seats that are to be read, every byte of them, by account."""
        self._reading: str | None = None
        """Whose seat is being read; None ends it."""

    def seat(self, account_id: str) -> Seat:
        """The seat of an account. Raises AccountNotFound."""
        account = self.accounts.get(account_id)
        return self._seats.get(account_id) or self._taken(account)

    def health(self) -> list[SeatHealth]:
        """How every taken seat was when it was last seen, by number. Asks no memory."""
        return [seat.health for seat in self._all_taken()]

    @property
    def open_seats(self) -> int:
        """How many memories are open."""
        return sum(seat.is_open for seat in list(self._seats.values()))

    # Looking after them

    def start(self) -> None:
        """Remove what removed accounts left, and begin to go round."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, work in (("carma-rounds", self._go_round), ("carma-reader", self._read_on)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def tidy(self) -> None:
        """One turn of what the thread does, but for the rounds: retire who is gone, close who is idle."""
        here = {account.id for account in self.accounts.all() if not account.leaving}
        for id, seat in list(self._seats.items()):
            if id not in here:
                self._unread.pop(id, None)
                if self._reading == id:
                    self._reading = None
                seat.close(0.0, retire=True)
                if seat.is_retired:
                    self._seats.pop(id, None)
                    self.retired(seat.account)
            else:
                seat.close_if_idle()
        self.sweep()

    def sweep(self) -> int:
        """Erase the folders of accounts that are gone; how many.

        Only what the journal knows to be gone: a folder that it never heard of may be all that is left of
        somebody, where the journal was lost or another one was put in its place.
        """
        if not self.accounts.whole:
            return 0
        # Folders first: one that is made in between belongs to an account that is known then.
        found = list(self._folder.glob("[0-9]*-[0-9]*"))
        known = {account.folder for account in self.accounts.all()}
        in_use = {seat.account.folder for seat in list(self._seats.values())}
        count = 0
        for path in found:
            if path.name not in known and path.name not in in_use and self.accounts.had(path.name):
                with suppress(OSError):
                    erase_folder(path)
                    count += 1
        return count

    def visit(self, seat: Seat) -> None:
        """Look at a seat: its health, and its files; call for healing if it is damaged."""
        seat.looked_at = self._clock.monotonic()
        with suppress(CarmaError), seat.use(quiet=True) as memory:
            if self._reading != seat.account.id:
                self._look(memory, deep=False)
            if memory.beacon.due() == "deep":
                self._unread[seat.account.id] = seat
            self.keep_to_rules(seat, memory)
            self._call_for_healing(seat)

    def read(self, seat: Seat) -> None:
        """Go on reading every byte of a seat for a while; call for healing if it is damaged."""
        self._unread.pop(seat.account.id, None)
        self._reading = seat.account.id
        try:
            with suppress(CarmaError), seat.use(quiet=True) as memory:
                if memory.beacon.due() == "deep" and not self._look(memory, deep=True):
                    self._unread[seat.account.id] = seat
                self._call_for_healing(seat)
        finally:
            self._reading = None

    def _look(self, memory: Memory, *, deep: bool) -> bool:
        """Whether all was looked at."""
        reading = self._reading
        until = self._clock.monotonic() + self._settings.look_s

        def ends() -> bool:
            left = deep and (self._reading != reading or self._clock.monotonic() >= until)
            return left or self._stop.is_set()

        report = memory.look(deep=deep, stop=ends)
        if report.complete:
            self.scanned(report)
        return report.complete

    def _call_for_healing(self, seat: Seat) -> None:
        if seat.look().blanks:
            self.heal(seat)

    def stop_dreams(self) -> None:
        """Ask the dreams of all open memories to end after the step they are in; waits for none of them."""
        self._stop.set()
        for seat in list(self._seats.values()):
            threading.Thread(target=seat.stop_dreams, daemon=True).start()

    def close(self, timeout_s: float) -> bool:
        """Close every memory, several at once; False if some were still in use when the time was over."""
        self._stop.set()
        closed = [
            threading.Thread(target=seat.close, args=(timeout_s,), daemon=True)
            for seat in list(self._seats.values())
            if seat.is_open
        ]
        for thread in closed:
            thread.start()
        deadline = self._clock.monotonic() + timeout_s
        for thread in closed:
            thread.join(max(deadline - self._clock.monotonic(), 0.0))
        for thread in self._threads:
            thread.join(max(deadline - self._clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in closed)

    def _all_taken(self) -> list[Seat]:
        accounts = [account for account in self.accounts.all() if not account.leaving]
        return [self._seats.get(account.id) or self._taken(account) for account in accounts]

    def _taken(self, account: Account) -> Seat:
        with self._lock:
            seat = self._seats.get(account.id)
            if seat is None:
                folder = self._folder / account.folder
                seat = self._seats[account.id] = Seat(
                    account, folder, self._opener, self._settings, self._clock, lambda seat: self.opened(seat)
                )
            return seat

    def _go_round(self) -> None:
        self._guarded(self._tour)
        self._toured = True
        given_back = self._clock.monotonic()
        while not self._stop.wait(_TICK_S):
            self._guarded(self.tidy)
            self._guarded(self._next_visit)
            if self._clock.monotonic() - given_back >= _GIVE_BACK_EVERY_S:
                give_back()
                given_back = self._clock.monotonic()

    def _read_on(self) -> None:
        """Read the seats that are to be read, once all were looked at."""
        while not self._stop.wait(_TICK_S):
            seat = next(iter([*self._unread.values()]), None)
            if seat is not None and self._toured:
                self._guarded(partial(self.read, seat))

    def _guarded(self, part: Callable[[], None]) -> None:
        """A round must not end because one memory fails in a way that nobody foresaw."""
        try:
            part()
        except CarmaError:
            pass  # The seat's health says it, and the next round looks again.
        except Exception as error:
            self.failed(error)

    def _tour(self) -> None:
        for seat in self._all_taken():
            if self._stop.is_set():
                return
            self._guarded(partial(self.visit, seat))

    def _next_visit(self) -> None:
        """Refresh the health of open seats, and visit the seat that was not looked at for longest, if due."""
        now = self._clock.monotonic()
        seats = self._all_taken()
        for seat in seats:
            if seat.is_open and seat.health_age_s >= self._settings.health_s:
                with suppress(CarmaError):
                    seat.look_if_open()
        longest = min(seats, key=lambda each: each.looked_at, default=None)
        if longest is not None and now - longest.looked_at >= self._settings.round_s:
            self.visit(longest)
