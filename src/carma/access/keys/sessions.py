"""The sessions of one key on one server, and which attempts of them were used: no clock, nothing stored.

A session is opened by a true request, each opening once, and gets the next number. Its attempts may arrive in
any order; a window of 1,024 bits says which of the newest were used. Per key the newest 1,024 sessions are
kept. Whoever comes too late, for the window or for the sessions, opens a new one. So memory is bounded, no
attempt is accepted twice, and nobody can shut the owner out: only true requests change anything here.
Openings are remembered for longer than the sessions they opened, the newest 16,384: sent again, each would
push out a session that is used. An older one is refused for its date, unless 27 were made every second.

After a restart nothing of this is left, and nothing is needed: the server's nonce is new, so no earlier tag
is right. Rejected: one counter for all (two agents with one key would shut each other out), storing used
attempts (a write for each read, and no end to it).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from typing import Final

__all__ = ["BURNT_NOW", "OPENINGS_KEPT", "SESSIONS_KEPT", "WINDOW_BITS", "Burnt", "Sessions"]

SESSIONS_KEPT: Final = 1_024
WINDOW_BITS: Final = 1_024
OPENINGS_KEPT: Final = 16_384


class Burnt(Enum):
    """What became of an attempt."""

    NOW = auto()
    """It had not been used; now it has."""
    BEFORE = auto()
    """It was used before."""
    TOO_LATE = auto()
    """Its session is not kept, or its number lies below the window."""


BURNT_NOW: Final = Burnt.NOW
"""The same; looking a member up in its class takes longer than burning."""


class _Window:
    """Which attempts of a session were used.

    Up to `floor` all were, or come too late; above it each has a bit, the lowest one for `floor` + 1.
    newest: the highest that was used. Attempts that come in their order move the floor and need no bits.
    """

    __slots__ = ("bits", "floor", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.floor = 0
        self.bits = 0

    def burn(self, counter: int) -> Burnt:
        """Use an attempt, once."""
        if counter <= self.floor:
            return Burnt.BEFORE if counter > self.newest - WINDOW_BITS else Burnt.TOO_LATE
        if counter > self.newest:
            self.newest = counter
            self._raise_floor(counter - WINDOW_BITS)
        bit = 1 << (counter - self.floor - 1)
        if self.bits & bit:
            return Burnt.BEFORE
        self.bits |= bit
        # The lowest ones are all used: they go below the floor.
        self._raise_floor(self.floor + (self.bits ^ (self.bits + 1)).bit_length() - 1)
        return Burnt.NOW

    def _raise_floor(self, floor: int) -> None:
        if floor > self.floor:
            self.bits >>= floor - self.floor
            self.floor = floor


class Sessions:
    """The sessions of one key. Not for two threads at once: the authority sees to that."""

    __slots__ = ("_last", "_opened", "_windows")

    def __init__(self) -> None:
        self._last = 0
        self._windows: dict[int, _Window] = {}
        self._opened: OrderedDict[int, None] = OrderedDict()
        """Tags of openings as numbers, which take the least room; the oldest first."""

    def open(self, tag: str) -> int | None:
        """The number of a new session; None if this opening was accepted before. tag: of the opening, in
        hexadecimal.
        """
        opening = int(tag, 16)
        if opening in self._opened:
            return None
        self._opened[opening] = None
        if len(self._opened) > OPENINGS_KEPT:
            self._opened.popitem(last=False)
        self._last += 1
        self._windows[self._last] = _Window()
        self._windows.pop(self._last - SESSIONS_KEPT, None)
        return self._last

    def burn(self, session: int, counter: int) -> Burnt:
        """Use an attempt, once."""
        window = self._windows.get(session)
        if window is None:
            return Burnt.TOO_LATE
        if counter == window.floor + 1 == window.newest + 1:
            window.floor = window.newest = counter
            return BURNT_NOW
        return window.burn(counter)

    def state(self) -> tuple[object, ...]:
        """All of it, comparable: tests show by it that forgeries change nothing."""
        windows = ((number, each.newest, each.floor, each.bits) for number, each in self._windows.items())
        return (self._last, tuple(windows), frozenset(self._opened))
