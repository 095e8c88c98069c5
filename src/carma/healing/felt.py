"""Which losses are felt: the last reads that met one, in the memory that is open.

A fragment that somebody has just asked for and not got should come back before one that nobody asks for. What
is intact is not counted: its reads would cost every reader something, and there is nothing to repair. Nothing
of this is written to a disk: it is forgotten with the open memory, and who reads what is nobody's business.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

__all__ = ["Felt"]

MOST_READS: Final = 1024


class Felt:
    """The last 1,024 reads that met damage. Safe to share between threads."""

    def __init__(self) -> None:
        self._last: deque[str] = deque(maxlen=MOST_READS)

    def read(self, id: str) -> None:
        """The fragment with this id was read, and its own bytes were not there."""
        self._last.append(id)

    def counts(self) -> dict[str, int]:
        """How often each of them was read, by id."""
        return dict(Counter(self._last.copy()))
