"""What reads decoded, kept for a while: a lost record that is read again is not decoded again.

A record in here proved itself when it was decoded, and it is kept as it stands in the files, sealed if the
memory is encrypted. It belongs to a place; a place that reads whole again is never asked for here, so what a
dream puts back is read from the disk. The oldest go first. Rejected: keeping fragments (their texts would be
plain in memory), keeping intact records too (reading one costs thirty microseconds and proves that it is
still there).
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from carma.store.record import HEADER_BYTES
from carma.store.scan import Intact

__all__ = ["Decoded"]

_Place = tuple[int, int]


class Decoded:
    """Decoded records by segment and offset, at most `most_bytes` of them. Threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._items: OrderedDict[_Place, Intact] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, segment: int, offset: int) -> Intact | None:
        """The record that should be at a place, if it was decoded lately."""
        with self._lock:
            item = self._items.get((segment, offset))
            if item is not None:
                self._items.move_to_end((segment, offset))
            return item

    def keep(self, item: Intact) -> None:
        """Keep a record that was decoded; it names its own place."""
        place = item.header.segment, item.header.offset
        with self._lock:
            old = self._items.pop(place, None)
            self._items[place] = item
            self._bytes += _size(item) - (_size(old) if old is not None else 0)
            while self._bytes > self._most:
                self._bytes -= _size(self._items.popitem(last=False)[1])

    def forget(self) -> None:
        """Keep nothing of what was decoded so far."""
        with self._lock:
            self._items.clear()
            self._bytes = 0


def _size(item: Intact) -> int:
    return HEADER_BYTES + len(item.payload)
