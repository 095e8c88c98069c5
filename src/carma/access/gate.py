"""The two ways in: with a right tag, and without. Only what has none is charged to its source.

So an owner who shares an address with whoever forges is never locked out: `right` is not even told the
source. And a source that is blocked costs one look at a table. Rejected: asking the source's block first,
before the tag is checked (it would save some microseconds for each forgery, and lock out the owner).
"""

from __future__ import annotations

from carma.access.blocks import Block, Blocks
from carma.access.limits import Limiter
from carma.errors import TooManyRequests
from carma.ports.clock import Clock, SystemClock

__all__ = ["Gate"]

UNTAGGED, STRIKES = "untagged", "strikes"


class Gate:
    """Limits and blocks of one server. Safe to share between threads.

    blocks: who is kept out. keys, sources: the limiters; two of them, because anybody can come from many
    sources and push other states out of a bounded table, but nobody can invent a right tag.
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        keys: Limiter | None = None,
        sources: Limiter | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._blocks = blocks
        self._keys = keys if keys is not None else Limiter()
        self._sources = sources if sources is not None else Limiter()
        self._clock = clock or SystemClock()

    def right(self, key: str, account: str, profile: str, cost: int = 1) -> None:
        """A request whose tag is right: charge its key. Raises Blocked (key, account), TooManyRequests."""
        now = self._clock.now()
        self._blocks.refuse("key", key, now)
        self._blocks.refuse("account", account, now)
        self._keys.take(profile, key, self._clock.monotonic(), cost)

    def wrong(self, source: str, reason: str, cost: int = 1) -> Block | None:
        """A request without a right tag: charge its source; the answer is the caller's 401.

        Whoever goes on far above the rate is blocked: the block that began just now is given back, for the
        audit log. Raises Blocked, TooManyRequests.
        """
        now, ticks = self._clock.now(), self._clock.monotonic()
        self._blocks.refuse("source", source, now)
        try:
            self._sources.take(UNTAGGED, source, ticks, cost)
        except TooManyRequests:
            if self._sources.ask(STRIKES, source, ticks, cost).allowed:
                raise
            block = self._blocks.block("source", source, reason, now)
            if block is None:
                raise
            return block
        return None
