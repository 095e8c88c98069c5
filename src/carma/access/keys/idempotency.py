"""Repeating a change whose answer was lost, without making it twice.

The rule, for one account: an Idempotency-Key with the same body gets the answer of the first time, rendered
again from the ids that were committed with the change; with another body it is refused; while the first is
still being carried out, the second is refused and may come again. The memory of it is in the record of the
change itself, so there is no moment in which one exists without the other; here is only what runs now.

What makes a key or shows it once is never stored, so it cannot be answered again: rotate once more instead.
Rejected: a table of answers (a second truth, which a crash between two writes makes wrong).
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from carma.errors import IdempotencyConflict, InvalidInput, StillRunning
from carma.models import Answered

__all__ = ["KEY_CHARS", "Idempotency", "check_idempotency_key"]

KEY_CHARS: Final = 200
"""The longest Idempotency-Key."""

Lookup = Callable[[str], Answered | None]
"""What a key came to, as the memory committed it; None if it does not know it."""


class Idempotency:
    """Which requests are running, for all accounts. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], bytes] = {}

    @contextmanager
    def once(self, account: str, key: str, body_digest: bytes, lookup: Lookup) -> Iterator[Answered | None]:
        """Carry out a change within the block if None is given; else give that answer again.

        body_digest: SHA-256 of what is asked, 32 bytes. lookup: asked within the block's protection, so that
        a request that ended just now is found.

        Raises StillRunning (409), IdempotencyConflict (422), InvalidInput for a key that is empty, too long
        or not printable.
        """
        check_idempotency_key(key)
        place = (account, key)
        with self._lock:
            running = self._running.get(place)
            if running is not None:
                _refuse_other(running, body_digest)
                raise StillRunning("A request with this Idempotency-Key is being carried out.")
            self._running[place] = body_digest
        try:
            answered = lookup(key)
            if answered is not None:
                _refuse_other(answered.body_digest or b"", body_digest)
            yield answered
        finally:
            with self._lock:
                del self._running[place]


def check_idempotency_key(key: str) -> None:
    """Raises InvalidInput for a key that is empty, too long or not printable."""
    if not 0 < len(key) <= KEY_CHARS or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"An Idempotency-Key has 1 to {KEY_CHARS} printable ASCII characters.")


def _refuse_other(first: bytes, second: bytes) -> None:
    if not hmac.compare_digest(first, second):
        raise IdempotencyConflict("This Idempotency-Key was used for another request.")
