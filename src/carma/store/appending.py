"""The end of the log, from the writer's side: drafts get their numbers and places, and are written.

Whoever writes holds the turn, and may find that another process wrote meanwhile, that one died while it
wrote, or that the disk refuses: then the log goes on behind the last proven record, in the next segment if
need be. A segment whose sync failed is never written to again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from carma.config import Settings
from carma.errors import StorageError
from carma.store.encode import Start, encode
from carma.store.entry import Draft, Entry
from carma.store.follow import Follower
from carma.store.log import Cursor, Tail
from carma.store.recovery import begin_segment, recover_segment
from carma.store.segments import COPIES, Segments

__all__ = ["Appender"]


class Appender:
    """Writes at the end of one log. Only who holds the turn may use it.

    follower: this process's place in the log; told of everything that is written. memory: makes the payload
    of the MEMORY record that begins a segment. closed: log segments to which nothing may be appended.
    doubtful: something is seen that may not be durable.
    """

    def __init__(
        self,
        segments: Segments,
        follower: Follower,
        settings: Settings,
        now_ms: Callable[[], int],
        memory: Callable[[], bytes],
        pool: Executor | None,
        closed: Iterable[int],
    ) -> None:
        self._segments = segments
        self._sealing = segments.sealing
        self._follower = follower
        self._settings = settings
        self._now_ms = now_ms
        self._memory = memory
        self._pool = pool
        self._poisoned = set(closed)
        self._tail: Tail | None = None
        self.doubtful = False

    def append(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Give numbers and places to drafts and write them, in as many appends as the bound asks for.

        Raises StorageError.
        """
        entries: list[Entry] = []
        at = 0
        while at < len(drafts):
            tail = self._tail_for_writing()
            start = Start(tail.number, tail.reserve(), self._follower.last_seq, self._now_ms())
            chunk, data, at = encode(drafts, at, start, self._sealing, self._settings.batch_bytes)
            try:
                with self._follower.appending():
                    tail.append(data, self._now_ms())
                    end = Cursor(tail.number, tail.end)
            except StorageError:
                if tail.poisoned:
                    # The numbers stay used: what failed may come back, and must not share them.
                    self._follower.last_seq = max(self._follower.last_seq, *(entry.seq for entry in chunk))
                    self._abandon(tail)
                raise
            self._follower.publish(chunk, end)
            entries.extend(chunk)
        return entries

    def _abandon(self, tail: Tail) -> None:
        """Never write to a log segment again, and tell the others so."""
        self.doubtful = self.doubtful or tail.doubtful
        self._poisoned.add(tail.number)
        begin_segment(self._segments, tail.number + 1)

    def _tail_for_writing(self) -> Tail:
        """The tail at the end of what was followed; a new one where the last is sealed, poisoned or full."""
        self._clear_end()
        tail, cursor = self._tail, self._follower.cursor
        if tail is None or (tail.number, tail.end) != cursor:
            if tail is not None:
                tail.close()
            tail = self._tail = self._open_tail(cursor)
        if tail.number in self._poisoned or tail.end >= self._settings.segment_bytes:
            tail = self._next_tail(tail)
        return tail

    def _clear_end(self) -> None:
        """If a process died while it wrote, or a copy went missing, make both copies end where the log
        ends.
        """
        number, end = self._follower.cursor
        paths = [self._segments.path(copy, number) for copy in COPIES]
        if number in self._poisoned or all((self._segments.disk.size(path) or 0) == end for path in paths):
            return
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        self._segments.forget(number)
        if recover_segment(self._segments, number, seen=end).closed:
            self._poisoned.add(number)
            begin_segment(self._segments, number + 1)
        self._follower.refresh()

    def _next_tail(self, tail: Tail) -> Tail:
        if tail.number not in self._poisoned:
            try:
                with self._follower.appending():
                    tail.seal(self._now_ms())
            except StorageError:
                if tail.poisoned:
                    self._abandon(tail)
                raise
        tail.close()
        self._tail = self._open_tail(Cursor(tail.number + 1, 0))
        self._follower.advance(Cursor(tail.number + 1, 0))
        return self._tail

    def seal(self) -> None:
        """Seal the tail, so that nothing is appended to it any more."""
        tail = self._tail_for_writing()
        if tail.end:
            self._next_tail(tail)

    def _open_tail(self, cursor: Cursor) -> Tail:
        number = max(cursor.segment, 1)
        return Tail(self._segments, number, cursor.offset, self._memory, self._pool)

    def close(self) -> None:
        """Close the tail's files."""
        if self._tail is not None:
            self._tail.close()
