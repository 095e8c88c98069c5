"""Pruning: which keys are over so long that the store need not hold them any more.

A key that was rotated or revoked opens nothing and never will again; kept for ever, every server would read
it and every rotation would be a gift to whoever wants to fill the disk. What happened to it stands in the
audit log, so it goes only when all its events were copied there. For a day it stays, so that whoever still
sends it is told that it was revoked, and `keys list` shows it. Afterwards it is refused as a key that nobody
made: the same 401. An attempt with it can no more be admitted than before, because nothing is known that its
tag could be compared with; sessions of other keys are not touched.

A decision only, as a function of the stored keys; the key store carries it out when it clears its journal.

Rejected: pruning what merely expired (a clock that was wrong for a moment would cost keys that nobody ended),
pruning at once (the owner would not be told why).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from carma.access.keys.record import StoredKey

__all__ = ["OVER_KEPT_S", "kept"]

OVER_KEPT_S: Final = 86_400.0


def kept(keys: Mapping[str, StoredKey], now: float, copied: int) -> list[StoredKey]:
    """The keys that stay.

    now: seconds since the epoch. copied: events up to this number are in the audit log. The newest of them
    stays with its key, because the log compares the next ones with it (`Source.copied`).
    """
    over = {key.name for key in keys.values() if _is_over(key, now, copied)}
    # Whether a key in grace may be rotated again depends on its successor.
    needed = {key.successor for key in keys.values() if key.name not in over}
    return [key for key in keys.values() if key.name not in over or key.name in needed]


def _is_over(key: StoredKey, now: float, copied: int) -> bool:
    """Whether a key has ended for good, long ago, and the audit log knows all of it."""
    if key.state == "active" or not key.history or key.history[-1].number >= copied:
        return False
    ended = key.history[-1].when if key.state == "revoked" else key.until()
    return now >= ended + OVER_KEPT_S
