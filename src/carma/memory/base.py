"""What every group of verbs stands on: the open parts, and the checks that come first."""

from __future__ import annotations

from contextlib import AbstractContextManager

from carma.errors import InvalidInput, TooLarge
from carma.memory.gathering import gathering
from carma.memory.parts import Parts

__all__ = ["Base"]


class Base:
    """The parts of an open memory."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._exact = parts.exact
        self._reader = parts.reader
        self._writer = parts.writer
        self._browser = parts.browser
        self._finder = parts.finder
        self._keeper = parts.keeper
        self._upkeep = parts.upkeep
        self._actor = parts.actor

    def _ready(self) -> None:
        self._store.check_open()
        self._store.last_call = self._store.clock.monotonic()
        self._store.refresh()

    def _gathering(self, hint: str) -> AbstractContextManager[None]:
        """What is read within the block is one answer, bounded by `answer_bytes`."""
        return gathering(self._store.settings.answer_bytes, hint)

    def _limit(self, limit: int) -> int:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidInput("limit must be a whole number from 1.")
        if limit > self._store.settings.limit_max:
            raise TooLarge(f"limit is {limit}; limit_max allows {self._store.settings.limit_max}.")
        return limit
