"""Who is signed in: visits, each known by a random number that only the browser's cookie holds.

A visit says which key opened it, never the key itself. It lives in this process alone, ends after a while
without anything done, after a day's half in any case, at sign-out, and when its key ends. Rejected: a signed
cookie that says who somebody is (it could not be ended before its time).
"""

from __future__ import annotations

import asyncio
import base64
from hashlib import sha256

from carma.access.keys.authority import Principal
from carma.ports.clock import Clock, Entropy
from carma.serve.settings import ServeSettings

__all__ = ["Visit", "Visits"]

_TOKEN_BYTES = 32
_TOKEN_CHARS = 43
_MOST = 2_048


class Visit:
    """One browser that signed in. dark: what it chose to look at, None for what the system says."""

    __slots__ = ("_ends", "_last", "_most", "dark", "over", "principal", "sockets")

    def __init__(self, principal: Principal, now: float, idle_s: float, most_s: float) -> None:
        self.principal = principal
        self.dark: bool | None = None
        self.over = asyncio.Event()
        """Set when it has ended."""
        self.sockets = 0
        """Open pages."""
        self._most = idle_s
        self._ends = now + most_s
        self._last = now

    def touch(self, now: float) -> None:
        """Something was done."""
        self._last = now

    def is_over(self, now: float) -> bool:
        """Whether it has ended, by itself or by somebody."""
        if now >= self._ends or now - self._last >= self._most:
            self.over.set()
        return self.over.is_set()


class Visits:
    """All visits of a server. Used from its event loop. clock: a monotonic one is taken from it."""

    def __init__(self, settings: ServeSettings, clock: Clock, entropy: Entropy) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._visits: dict[bytes, Visit] = {}

    def begin(self, principal: Principal) -> str:
        """A new visit; the text that is its cookie's value."""
        self._make_room(principal.account)
        token = base64.urlsafe_b64encode(self._entropy.bytes(_TOKEN_BYTES)).rstrip(b"=").decode()
        settings = self._settings
        self._visits[_name(token)] = Visit(
            principal, self._clock.monotonic(), settings.dashboard_idle_s, settings.dashboard_visit_s
        )
        return token

    def find(self, token: str, *, touch: bool = False) -> Visit | None:
        """The visit of a cookie, if it goes on. The digest is looked up, so timing tells nothing."""
        if len(token) != _TOKEN_CHARS:
            return None
        name = _name(token)
        visit = self._visits.get(name)
        if visit is None:
            return None
        now = self._clock.monotonic()
        if visit.is_over(now):
            del self._visits[name]
            return None
        if touch:
            visit.touch(now)
        return visit

    def goes_on(self, visit: Visit, *, touch: bool = False) -> bool:
        """Whether a visit goes on. touch: something was done in it."""
        now = self._clock.monotonic()
        if visit.is_over(now):
            return False
        if touch:
            visit.touch(now)
        return True

    def end(self, visit: Visit) -> None:
        """End a visit at once: its open pages are closed too."""
        visit.over.set()
        self._visits = {name: each for name, each in self._visits.items() if each is not visit}

    def _make_room(self, account: str) -> None:
        now = self._clock.monotonic()
        self._visits = {name: each for name, each in self._visits.items() if not each.is_over(now)}
        mine = [each for each in self._visits.values() if each.principal.account == account]
        for each in mine[: len(mine) + 1 - self._settings.dashboard_visits_most]:
            self.end(each)
        for each in list(self._visits.values())[: len(self._visits) + 1 - _MOST]:
            self.end(each)


def _name(token: str) -> bytes:
    return sha256(token.encode("ascii", "replace")).digest()
