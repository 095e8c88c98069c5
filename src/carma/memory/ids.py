"""Fragment ids: 128 bits in the layout of UUID version 7 (RFC 9562), shown as 32 hexadecimal digits.

They sort by time of creation, so a page of a list stays in place while other fragments change. Within one
millisecond a counter keeps the order of one process (RFC 9562 section 6.2, method 1).
"""

from __future__ import annotations

import threading

from carma.errors import InvalidInput
from carma.ports.clock import Clock, Entropy

__all__ = ["IdMaker", "id_bytes"]

_COUNTER = 1 << 12
_DRAWN = 512
"""Random bytes drawn at once, because asking the system for eight costs more than making an id."""


class IdMaker:
    """Makes ids that ascend, also when the clock jumps back. Safe to share between threads."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._last = 0
        self._random = b""

    def next(self) -> bytes:
        """A new id: 48 bits of milliseconds, a counter of 12, and 62 random bits."""
        with self._lock:
            self._last = max(self._last + 1, int(self._clock.now() * 1000) * _COUNTER)
            if not self._random:
                self._random = self._entropy.bytes(_DRAWN)
            random, self._random = self._random[:8], self._random[8:]
            time_ms, counter = divmod(self._last, _COUNTER)
        low = (int.from_bytes(random, "big") & (1 << 62) - 1) | 1 << 63
        return ((time_ms << 80 | 7 << 76 | counter << 64 | low) & (1 << 128) - 1).to_bytes(16, "big")


def id_bytes(id: str) -> bytes:
    """The 16 bytes of an id as users write it; dashes are ignored. Raises InvalidInput."""
    if isinstance(id, str):
        digits = id.replace("-", "")
        if len(digits) == 32:
            try:
                return bytes.fromhex(digits)
            except ValueError:
                pass
    raise InvalidInput(f"{id!r} is not a fragment id; ids are 32 hexadecimal digits.")
