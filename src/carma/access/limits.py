"""How fast somebody may ask: GCRA, one number of state per key, decided by a pure function.

The generic cell rate algorithm (ITU-T I.371, annex A.1) is a leaky bucket that needs no timer: all it keeps
is the moment at which the bucket will be empty. `decide` is a function of that number and of now; whoever is
too fast gets the moment from which on they are not, and nobody sleeps. Times are whole nanoseconds, so that a
request after exactly one interval is let through. Rejected: fixed windows (twice the rate around their
border), token buckets (two numbers, and the same answers).

A limiter lives in one process. Several processes that serve one address let through as many times the rate.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from carma.errors import InvalidInput, TooManyRequests

__all__ = ["PROFILES", "Decision", "Limiter", "Profile", "decide", "retry_after"]

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """A rate by name. rate_per_s: in the long run. burst: at once after a pause, 1 or more.

    Raises InvalidInput.
    """

    name: str
    rate_per_s: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.rate_per_s <= _NS and 1 <= self.burst <= 10**6):
            raise InvalidInput(f"The profile {self.name!r} needs a rate above 0 and a burst of 1 or more.")

    @property
    def interval_ns(self) -> int:
        """Between two requests at the full rate."""
        return max(1, round(_NS / self.rate_per_s))


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("one-per-second", 1.0, 1),
            Profile("interactive", 10.0, 50),
            Profile("bulk", 100.0, 500),
            # What a source may send without a right tag, and how much more than that before it is blocked.
            Profile("untagged", 1.0, 20),
            Profile("strikes", 0.1, 50),
        )
    }
)
"""The profiles that have a name. `one-per-second` is that of the global server."""


@dataclass(frozen=True, slots=True)
class Decision:
    """allowed: let it through. empty_ns: the new state. retry_after_s: 0 if allowed."""

    allowed: bool
    empty_ns: int
    retry_after_s: float = 0.0


def decide(profile: Profile, empty_ns: int, now_ns: int, cost: int = 1) -> Decision:
    """Whether a request may pass now, and what to remember.

    empty_ns: the state: when the bucket will be empty; 0 at first. now_ns: any clock that goes on evenly.
    cost: how many requests it counts for, 1 to the burst.

    A refused request adds nothing. A state further in the future than a full bucket (the clock was set back)
    counts as a full bucket, so that nobody is locked out for longer.
    """
    interval, full = profile.interval_ns, profile.interval_ns * profile.burst
    begin = min(max(empty_ns, now_ns), now_ns + full)
    after = begin + interval * min(cost, profile.burst)
    if after - now_ns <= full:
        return Decision(True, after)
    return Decision(False, begin, (after - full - now_ns) / _NS)


class Limiter:
    """One state per key and profile, of the `most` keys that asked last. Safe to share between threads.

    What is forgotten starts afresh, so keys that anybody can invent get a limiter of their own, apart from
    those that were proven.
    """

    def __init__(self, profiles: Mapping[str, Profile] = PROFILES, *, most: int = 100_000) -> None:
        self._profiles = profiles
        self._most = most
        self._states: OrderedDict[tuple[str, Hashable], int] = OrderedDict()
        self._turn = threading.Lock()

    def take(self, profile: str, key: Hashable, now_s: float, cost: int = 1) -> None:
        """Count a request. now_s: a monotonic clock's seconds.

        Raises TooManyRequests with `retry_after_s`, InvalidInput (no such profile).
        """
        decision = self.ask(profile, key, now_s, cost)
        if not decision.allowed:
            raise TooManyRequests(
                f"More requests than the profile {profile!r} allows; the next one in "
                f"{retry_after(decision.retry_after_s)} s.",
                retry_after_s=decision.retry_after_s,
            )

    def ask(self, profile: str, key: Hashable, now_s: float, cost: int = 1) -> Decision:
        """Count a request and say whether it may pass. Raises InvalidInput (no such profile)."""
        found = self._profiles.get(profile)
        if found is None:
            raise InvalidInput(f"There is no profile {profile!r}; known: {', '.join(self._profiles)}.")
        place = (profile, key)
        with self._turn:
            decision = decide(found, self._states.get(place, 0), round(now_s * _NS), cost)
            self._states[place] = decision.empty_ns
            self._states.move_to_end(place)
            if len(self._states) > self._most:
                self._states.popitem(last=False)
        return decision

    def __len__(self) -> int:
        return len(self._states)


def retry_after(seconds: float) -> int:
    """The value of the header `Retry-After` (RFC 9110, section 10.2.3): whole seconds, at least 1."""
    return max(1, math.ceil(seconds))
