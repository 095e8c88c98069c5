"""What a server has acknowledged, by moment: what a call that begins now must see.

Moments are numbers that count acknowledgements, so one is before another exactly if the acknowledgement came
first. Calls that run at the same time prove nothing about each other: only what was acknowledged before a
call began counts against its answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

__all__ = ["Acknowledged"]


class Acknowledged:
    """Writes to one seat, as they were acknowledged. deleted: ids, in the order of their deletion."""

    def __init__(self) -> None:
        self.now = 0
        """The moment of the last acknowledgement."""
        self.deleted: list[str] = []
        self._versions: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._deleted_at: dict[str, int] = {}

    def wrote(self, id: str, version: int) -> None:
        """A version was acknowledged."""
        self.now += 1
        known = self._versions[id]
        newest = known[-1][1] if known else 0
        known.append((self.now, max(version, newest)))

    def removed(self, id: str) -> None:
        """A deletion was acknowledged."""
        self.now += 1
        self._deleted_at[id] = self.now
        self.deleted.append(id)

    def version(self, id: str, began: int) -> int | None:
        """The oldest version that a call may give that began at a moment; None: none, it is deleted."""
        if self._deleted_at.get(id, began + 1) <= began:
            return None
        known = self._versions.get(id, [])
        at = bisect_right(known, began, key=lambda each: each[0])
        return known[at - 1][1] if at else 1
