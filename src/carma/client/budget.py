"""How often and how long one exchange may go on: tries, pauses, new sessions, redirects, patience.

Tries are counted and so is time, because either alone can be used up without the other: a server that refuses
at once uses up tries, one that answers slowly uses up patience.
"""

from __future__ import annotations

from carma.client.settings import ClientSettings
from carma.errors import StillRunning
from carma.ports.clock import Clock, Entropy

__all__ = ["Budget"]

_SESSIONS = 6
"""An honest server asks twice for a new session; more are left for its restarts in between."""


class Budget:
    """What is left of it. maybe_done: a try may have been carried out, though its answer never came."""

    def __init__(self, settings: ClientSettings, clock: Clock, entropy: Entropy) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._until = clock.monotonic() + settings.patience_s
        self.tries = 1
        self._pauses = 0
        self.renewals = 0
        self.redirects = 0
        self.keys = 0
        self.maybe_done = False

    @property
    def sent(self) -> int:
        """How often the request was sent, sessions not counted."""
        return min(self.tries, self._settings.tries)

    def may_renew(self) -> bool:
        """Whether a new session may be opened for this; counts it."""
        self.renewals += 1
        return self.renewals <= _SESSIONS

    def may_renew_key(self) -> bool:
        """Whether another key may be looked for; once."""
        self.keys += 1
        return self.keys == 1

    def may_try_again(self, error: BaseException | None = None) -> bool:
        """Whether there are tries and patience left after this error; counts it."""
        self._pauses += 1
        if self._clock.monotonic() + _asked_s(error) >= self._until:
            return False
        if isinstance(error, StillRunning):  # It is asked how far it is, not done again.
            return True
        self.tries += 1
        return self.tries <= self._settings.tries

    def wait_s(self, error: BaseException | None = None) -> float:
        """The pause before the next try: twice as long each time, a random half of it taken off, so that many
        clients do not come at once; never less than the server asks for, and else never longer than patience
        lasts.
        """
        most = min(self._settings.wait_first_s * 2.0 ** min(self._pauses - 1, 30), self._settings.wait_most_s)
        share = 0.5 + int.from_bytes(self._entropy.bytes(2), "big") / 2**17
        left = max(self._until - self._clock.monotonic(), 0.0)
        return max(min(most * share, left), _asked_s(error))


def _asked_s(error: BaseException | None) -> float:
    """How long the server asks to wait."""
    seconds: float | None = getattr(error, "retry_after_s", None)
    return seconds or 0.0
