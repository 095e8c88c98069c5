"""The order of siblings: linked lists between slots, in arrays.

A *slot* is a number for a fragment that outlives its versions. An id that was only ever named as a parent has
one too, so the children of a lost parent still stand beside one another; so has a session whose fragments
have no parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carma.search.idindex import IdIndex
from carma.search.table import Table

__all__ = ["NONE", "Siblings"]

NONE: Final = -1
"""No row, no slot, no scope."""

_LINKS: Final = ("row", "group", "before", "after", "last")


class Siblings:
    """Per slot: the live row, the group (the parent's or session's slot), previous, next, and a group's last.

    rows: the table of rows, for `created` and `seq`, which order siblings of equal position.
    """

    def __init__(self, rows: Table) -> None:
        self.ids = IdIndex()
        self.slots = Table({**dict.fromkeys(_LINKS, np.int32), "position": np.float64})
        self._rows = rows
        self._sessions: dict[tuple[int, int, int], int] = {}

    # Slots

    def slot_of(self, id: bytes) -> int:
        """The slot of an id; a new one if it has none."""
        slot = self.ids.get(id)
        if slot == NONE:
            slot = self._new(1)
            self.ids.add(id, slot)
            self.slots.size = slot + 1
        return slot

    def slots_of(self, ids: Sequence[bytes]) -> NDArray[np.int32]:
        """The slots of many ids; new ones for those that have none."""
        slots = self.ids.get_many(ids)
        if (slots == NONE).any():
            unknown = [ids[at] for at in np.flatnonzero(slots == NONE).tolist()]
            missing = dict.fromkeys(unknown)
            first = self._new(len(missing))
            self.ids.add_many(list(missing), first)
            self.slots.size = first + len(missing)
            new = dict(zip(missing, range(first, self.slots.size), strict=True))
            slots[slots == NONE] = [new[id] for id in unknown]
        return slots

    def session_of(self, scope: tuple[int, int, int]) -> int:
        """The slot of a session, given as codes of user, agent and session; -1 if there is no session."""
        if scope[2] == NONE:
            return NONE
        slot = self._sessions.get(scope)
        if slot is None:
            slot = self._sessions[scope] = self._new(1)
            self.ids.add(b"", slot)
            self.slots.size = slot + 1
        return slot

    def _new(self, count: int) -> int:
        first = self.slots.size
        self.slots.reserve(first + count)
        for name in _LINKS:
            self.slots.of[name][first : first + count] = NONE
        self.slots.of["position"][first : first + count] = 0.0
        return first

    # Links

    def place(self, slot: int, row: int, group: int, position: float) -> int:
        """Gives a slot its new row and its place; returns the row it had, or -1."""
        of = self.slots.of
        old = int(of["row"][slot])
        stays = old != NONE and of["group"][slot] == group and of["position"][slot] == position
        if old != NONE and not stays:
            self._unlink(slot)
        of["row"][slot] = row
        if not stays:
            of["group"][slot] = group
            of["position"][slot] = position
            if group != NONE:
                self._link(slot, group)
        return old

    def remove(self, slot: int) -> None:
        """Takes a slot out of its siblings; its children keep their group."""
        self._unlink(slot)
        self.slots.of["row"][slot] = NONE

    def _unlink(self, slot: int) -> None:
        of = self.slots.of
        before, after, group = int(of["before"][slot]), int(of["after"][slot]), int(of["group"][slot])
        if before != NONE:
            of["after"][before] = after
        if after != NONE:
            of["before"][after] = before
        elif group != NONE:
            of["last"][group] = before
        of["before"][slot] = of["after"][slot] = NONE

    def _key(self, slot: int) -> tuple[float, float, int]:
        row = int(self.slots.of["row"][slot])
        rows = self._rows.of
        return float(self.slots.of["position"][slot]), float(rows["created"][row]), int(rows["seq"][row])

    def _link(self, slot: int, group: int) -> None:
        """Finds the place from the last sibling back: turns and paragraphs mostly come in order."""
        of = self.slots.of
        key = self._key(slot)
        before, after = int(of["last"][group]), NONE
        while before != NONE and self._key(before) > key:
            before, after = int(of["before"][before]), before
        of["before"][slot], of["after"][slot] = before, after
        if before != NONE:
            of["after"][before] = slot
        if after != NONE:
            of["before"][after] = slot
        else:
            of["last"][group] = slot

    def relink(self) -> None:
        """Builds previous, next and last of every group anew, with one sort."""
        size, of, rows = self.slots.size, self.slots.of, self._rows.of
        row, groups = of["row"][:size], of["group"][:size]
        members = np.flatnonzero((row != NONE) & (groups != NONE))
        at = row[members]
        keys = (rows["seq"][at], rows["created"][at], of["position"][members], groups[members])
        members = members[np.lexsort(keys)]
        group = groups[members]
        same = group[1:] == group[:-1]
        before, after, last = (np.full(size, NONE, np.int32) for _ in range(3))
        before[members[1:][same]] = members[:-1][same]
        after[members[:-1][same]] = members[1:][same]
        ends = np.flatnonzero(np.append(~same, True)) if len(members) else members
        last[group[ends]] = members[ends]
        of["before"][:size], of["after"][:size], of["last"][:size] = before, after, last
