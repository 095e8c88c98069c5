"""Whether a search waits for nothing, so that whoever must not block may ask it at once.

A search by meaning over few vectors that are loaded, for a query whose vector is known, takes half a
millisecond. Anything else may embed a text, load vectors, wait for some, or compare very many: that is for a
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carma.memory.base import Base

__all__ = ["is_at_hand"]

_FEW = 10_000
"""Comparing a vector of 384 numbers with so many takes about half a millisecond."""


def is_at_hand(memory: Base, query: str | None, vector: Any, mode: str) -> bool:
    """Whether `search` with these arguments, and no filter, has everything it needs in memory."""
    keeper = memory._parts.keeper
    meaning = keeper.meaning
    if mode != "vector" or not meaning.loaded or meaning.pending() or len(meaning.columns) > _FEW:
        return False
    known = keeper.embedder is not None and query is not None and query in keeper.embedder
    return vector is not None or known
