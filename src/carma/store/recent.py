"""What a process has seen of the log and its registry does not know yet: so a write is visible at once."""

from __future__ import annotations

from collections.abc import Iterable

from carma.store.acts import act_key
from carma.store.entry import Entry
from carma.store.record import RecordKind

__all__ = ["Recent"]

_FRAGMENTS = (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)


class Recent:
    """The newest entries by fragment, and the acts by their Idempotency-Key. Who changes it holds a lock."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Entry] = {}
        self._acts: dict[str, Entry] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Know these, which are newer than all before."""
        for entry in entries:
            if entry.kind in _FRAGMENTS:
                self._heads[entry.id] = entry
            elif (key := act_key(entry)) is not None:
                self._acts[key] = entry

    def drop(self, entries: Iterable[Entry]) -> None:
        """Forget these, which the registry knows now; what is newer stays."""
        for entry in entries:
            if self._heads.get(entry.id) is entry:
                del self._heads[entry.id]
            if self._acts and (key := act_key(entry)) and self._acts.get(key) is entry:
                del self._acts[key]

    def clear(self) -> None:
        """Forget all of it."""
        self._heads.clear()
        self._acts.clear()

    def head(self, id: bytes) -> Entry | None:
        """The newest entry of a fragment, deletions too; None if the registry knows as much."""
        return self._heads.get(id)

    def act(self, key: str) -> Entry | None:
        """The newest act with this Idempotency-Key; None if the registry knows as much."""
        return self._acts.get(key)
