"""Where damage may fall: the two atlases, and the ways in which a file rots.

In budget: between two dreams at most three files are damaged; of a log segment that is not at rest, one copy.
Then everything has to come back. Beyond budget: anything, anywhere, any number of times. The idea is the
fault atlas of TigerBeetle's simulator (`docs/decisions/0008` says what the budget is).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from carma.store.scan import SECTOR_BYTES
from carma.testing import SimulatedDisk

__all__ = ["FREE", "Atlas", "AtlasName", "rot"]

AtlasName = Literal["in", "beyond"]
BUDGET = 3
FREE = ("turn", "reserve", "quarantine")
"""What holds nothing that is needed."""
Rot = Callable[[bytearray, random.Random], bytearray | None]


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 1, 3, 20))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _zero(data: bytearray, chance: random.Random) -> bytearray:
    first = chance.randrange(len(data)) // SECTOR_BYTES * SECTOR_BYTES
    last = min(first + SECTOR_BYTES * chance.randint(1, 3), len(data))
    data[first:last] = bytes(last - first)
    return data


def _noise(data: bytearray, chance: random.Random) -> bytearray:
    first = chance.randrange(len(data))
    last = min(first + chance.randrange(1, 200), len(data))
    data[first:last] = chance.randbytes(last - first)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def _grow(data: bytearray, chance: random.Random) -> bytearray:
    return data + chance.choice((bytes(chance.randrange(1, 600)), chance.randbytes(chance.randrange(1, 200))))


def _gone(data: bytearray, chance: random.Random) -> None:
    return None


_WAYS: tuple[Rot, ...] = (_flip, _flip, _zero, _noise, _cut, _grow, _gone, _gone)


def rot(disk: SimulatedDisk, path: str, chance: random.Random) -> str:
    """Damage one file; how."""
    way = chance.choice(_WAYS)
    data = bytearray(disk.contents(path))
    left = way(data, chance) if data else None
    if left is None:
        disk.remove(path)
        return f"gone {path}"
    disk.put(path, bytes(left))
    return f"{way.__name__[1:]} {path}"


class Atlas:
    """What was damaged since the last dream, and what may still be."""

    def __init__(self, name: AtlasName, folder: str) -> None:
        self.name = name
        self._folder = folder
        self.spent: set[str] = set()

    @property
    def bounded(self) -> bool:
        """Whether everything has to come back."""
        return self.name == "in"

    def renew(self) -> None:
        """A dream has made everything whole."""
        self.spent.clear()

    def spend(self, path: str) -> None:
        """A file is damaged."""
        if not self._free(path):
            self.spent.add(path)

    def candidates(self, disk: SimulatedDisk, at_rest: bool, unequal: bool) -> list[str]:
        """Files that may be damaged now.

        unequal: a write was cut short, or is about to be lost, so the two copies of a log segment may differ
        until the memory is opened again; then that is the damage that the budget has for them.
        """
        paths = disk.paths()
        if not self.bounded:
            return paths
        if unequal and len(self.spent) >= BUDGET - 1:
            return []
        return [path for path in paths if self._allowed(path, at_rest) and not (unequal and _twin(path))]

    def may_lose_a_write(self) -> bool:
        """Whether one write may be lost or land elsewhere, whichever file it is for."""
        if not self.bounded:
            return True
        return len(self.spent) < BUDGET and not any(_twin(path) for path in self.spent)

    def _allowed(self, path: str, at_rest: bool) -> bool:
        if self._free(path) or path in self.spent:
            return True
        return len(self.spent) < BUDGET and (at_rest or _twin(path) not in self.spent)

    def _free(self, path: str) -> bool:
        return path[len(self._folder) + 1 :].split("/")[0] in FREE


def _twin(path: str) -> str | None:
    """The other copy of a log segment."""
    name = path.rpartition("/")[2]
    if name.startswith("c") or not name.endswith(".seg"):
        return None
    if "/segments/" in path:
        return path.replace("/segments/", "/mirror/")
    return path.replace("/mirror/", "/segments/")
