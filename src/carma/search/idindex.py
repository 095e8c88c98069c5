"""From a 16-byte id to a small number, for a million ids in a few tens of megabytes.

Numbers are given in order from 0. Ids lie in one byte array by number; a sorted array of 64-bit keys finds
most of them, a dictionary the newest, which are merged in when they are many. A dictionary of a million
`bytes` would take four times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdIndex"]

WIDTH: Final = 16
MERGE_AT: Final = 4096


class IdIndex:
    """Grows only. One writer; readers may run beside it."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int32]] = (
            np.empty(0, np.uint64),
            np.empty(0, np.int32),
        )
        self._new: dict[bytes, int] = {}
        self._merged = 0

    def id(self, number: int) -> bytes:
        """The id with this number."""
        return bytes(self._bytes[number * WIDTH : (number + 1) * WIDTH])

    def joined(self, numbers: Sequence[int]) -> bytes:
        """The ids with these numbers, one behind the other."""
        held = self._bytes
        return b"".join([held[number * WIDTH : number * WIDTH + WIDTH] for number in numbers])

    def get(self, id: bytes) -> int:
        """The number of an id, or -1."""
        number = self._new.get(id)
        if number is not None:
            return number
        if len(id) != WIDTH:
            return -1
        keys, numbers = self._sorted
        key = np.uint64(int.from_bytes(id[:8], "little") ^ int.from_bytes(id[8:], "little"))
        at = int(keys.searchsorted(key))
        while at < len(keys) and keys[at] == key:
            if self.id(int(numbers[at])) == id:
                return int(numbers[at])
            at += 1
        return self._new.get(id, -1)  # a merge may have happened between the two looks

    def get_many(self, ids: Sequence[bytes]) -> NDArray[np.int32]:
        """Numbers of many ids, -1 where unknown, shape (len(ids),)."""
        if not self._bytes:
            return np.full(len(ids), -1, np.int32)
        return np.fromiter(map(self.get, ids), np.int32, len(ids))

    def add(self, id: bytes, number: int) -> None:
        """Adds the id with the next number. An empty id takes a number that no id finds."""
        assert number * WIDTH == len(self._bytes), "numbers are given in order"
        self._bytes += id or bytes(WIDTH)
        if id:
            self._new[id] = number
            if len(self._new) > MERGE_AT + self._merged // 4:
                self._merge()

    def add_many(self, ids: Sequence[bytes], first: int) -> None:
        """Adds ids with the numbers from `first` on."""
        assert first * WIDTH == len(self._bytes), "numbers are given in order"
        joined = b"".join(ids)
        assert len(joined) == len(ids) * WIDTH, "an id has 16 bytes"
        self._bytes += joined
        self._new.update(zip(ids, range(first, first + len(ids)), strict=True))
        if len(self._new) > MERGE_AT + self._merged // 4:
            self._merge()

    def _merge(self) -> None:
        numbers = np.fromiter(self._new.values(), np.int32, len(self._new))
        words = np.frombuffer(b"".join(self._new), np.uint64).reshape(-1, 2)
        keys = np.concatenate((self._sorted[0], words[:, 0] ^ words[:, 1]))
        numbers = np.concatenate((self._sorted[1], numbers))
        order = np.argsort(keys, kind="stable")
        self._sorted = (keys[order], numbers[order])
        self._merged = len(numbers)
        self._new = {}
