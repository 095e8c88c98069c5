"""The queue of events that have no record of their own: denials, blocks, counts, what was forgotten.

Each leaf lies in a journal of four copies before whoever caused it gets an answer, and waits there for the
sequencer. What was copied is removed now and then; the last one stays, so that positions go on. Rejected:
writing them straight into the log (its batches would become as small as one leaf).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from carma.access.audit.leaf import Leaf, parse_leaf
from carma.access.audit.sequencer import Waiting
from carma.access.journal import Journal
from carma.errors import AuditUnavailable, CarmaError
from carma.ports.clock import Clock, Entropy

__all__ = ["Events", "new_event"]

_POSITION = struct.Struct(">Q")
_MOST_WAITING = 100_000
_REMOVE_EVERY = 2_000
_RANDOM_BYTES = 10


def new_event(clock: Clock, entropy: Entropy) -> str:
    """A new event: 48 bits of milliseconds and 80 random ones, as 32 hexadecimal digits."""
    return (int(clock.now() * 1000) & (1 << 48) - 1).to_bytes(6, "big").hex() + entropy.bytes(
        _RANDOM_BYTES
    ).hex()


class Events:
    """A queue of leaves in a journal; a source for the sequencer. Threads and processes may share it.

    most_waiting: at so many leaves that were not copied, nothing more is taken.
    """

    name = "events"

    def __init__(self, journal: Journal, most_waiting: int = _MOST_WAITING) -> None:
        self._journal = journal
        self._most = most_waiting
        self._kept: list[tuple[int, bytes]] = []
        self._copied = 0
        self._guard = threading.RLock()

    def add(self, leaves: Sequence[Leaf]) -> None:
        """Store leaves, durably. Raises AuditUnavailable: then what they are about must not happen."""
        if not leaves:
            return
        with self._guard, self._reached(), self._journal.turn():
            self._refresh()
            # Positions only grow, so what was copied is the difference to the last of them that was.
            waiting = sum(position > self._copied for position, _ in self._kept)
            if waiting + len(leaves) > self._most:
                raise AuditUnavailable(f"{waiting:,} events wait to be copied to the audit log.")
            next = self._last() + 1
            self._journal.append(
                [_POSITION.pack(at) + leaf.to_bytes() for at, leaf in enumerate(leaves, next)]
            )
            self._refresh()

    def waiting(self, after: int) -> Iterator[Waiting]:
        """What stands behind the position `after`. Raises AuditUnavailable."""
        with self._guard, self._reached():
            self._refresh()
            kept = list(self._kept)
        for position, data in kept:
            if position > after:
                yield Waiting(position, parse_leaf(data))

    def copied(self, upto: int) -> None:
        """Remove what was copied, when there is enough of it; never the last one. Raises AuditUnavailable."""
        with self._guard:
            self._copied = max(self._copied, upto)
            done = sum(position < upto for position, _ in self._kept)
        if done < _REMOVE_EVERY:
            return
        with self._guard, self._reached(), self._journal.turn():
            self._refresh()
            kept = [(position, data) for position, data in self._kept if position >= upto]
            self._journal.rewrite([_POSITION.pack(position) + data for position, data in kept])
            self._refresh()

    def close(self) -> None:
        """Give the files back."""
        self._journal.close()

    def _last(self) -> int:
        return self._kept[-1][0] if self._kept else 0

    def _refresh(self) -> None:
        records = self._journal.news()
        if self._journal.start_over:
            self._kept = []
        self._kept += [(int(_POSITION.unpack_from(data)[0]), data[_POSITION.size :]) for data in records]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except AuditUnavailable:
            raise
        except CarmaError as error:
            raise AuditUnavailable(
                f"The events of the audit log cannot be stored: {error.message}"
            ) from error
