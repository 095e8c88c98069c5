"""The log: appending batches of records to the tail and its mirror, and following what others appended.

The tail is the last log segment. Its two copies are written and synced side by side; a batch is acknowledged
when both are durable. A log segment ends with a footer when it is sealed. Segment n + 1 exists only when n
will never grow again, so a follower needs two looks (existence of n + 1, then length of n) to know that it
has seen everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

from carma.errors import DurabilityError, StorageError
from carma.ports.disk import File
from carma.store.payload import pack_map
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header
from carma.store.scan import Damaged, Intact, merge_copies
from carma.store.segments import COPIES, Segments, is_log

__all__ = ["Cursor", "FellBehind", "Tail", "follow_log"]


class Cursor(NamedTuple):
    """A place in the log: everything before it has been seen."""

    segment: int
    offset: int


class FellBehind(Exception):
    """The log segment at the cursor was compacted away: what it said must be read from the registry."""


class Tail:
    """The tail segment and its mirror, open for appending. Only who holds the turn may use it.

    memory: makes the payload of the MEMORY record that begins a segment.
    pool: runs the mirror's write and sync beside the first copy's; None runs them one after the other.
    """

    def __init__(
        self, segments: Segments, number: int, end: int, memory: Callable[[], bytes], pool: Executor | None
    ) -> None:
        self.number = number
        self.end = end
        self.poisoned = False
        self.doubtful = False
        """A failed append could not be taken back: it is seen, and a power loss may take it away."""
        self._segments = segments
        self._memory = memory
        self._pool = pool
        self._files: tuple[File, File] | None = None

    def reserve(self) -> int:
        """Offset at which the next batch's first record will stand."""
        if self.end == 0:
            return HEADER_BYTES + len(self._memory())
        return self.end

    def append(self, data: bytes, time_ms: int) -> None:
        """Append whole records, durably in both copies. Raises StorageError; then nothing was
        acknowledged.
        """
        assert not self.poisoned, "a poisoned tail is never written again"
        begins = self.end == 0
        if begins:
            data = self._begin(time_ms) + data
        files = self._open()
        try:
            self._both(lambda file: file.pwrite(data, self.end), files)
        except StorageError:
            self._cut(files)
            raise
        try:
            self._both(lambda file: file.sync(), files)
            self._sync_names()
        except StorageError as error:
            # After a failed sync the kernel may have dropped the dirty pages and call the next sync a
            # success.
            # So nobody may see this append and build on it; a power loss may still bring it back.
            self.poisoned = True
            self._cut(files)
            raise DurabilityError(f"The write may or may not exist: {error.message}") from error
        self.end += len(data)

    def seal(self, time_ms: int) -> None:
        """Write the footer: this segment will never grow again."""
        if self.end == 0:
            return
        payload = pack_map({"bytes": self.end})
        header = encode_header(RecordKind.FOOTER, 0, 0, time_ms, NO_ID, self.number, self.end, payload)
        self.append(header + payload, time_ms)

    def close(self) -> None:
        """Close the files."""
        if self._files is not None:
            for file in self._files:
                file.close()
            self._files = None

    def _sync_names(self) -> None:
        """Make the file names durable, once: also when another process made the files, for it may have died
        before.
        """
        if self.number not in self._segments.durable:
            for copy in COPIES:
                self._segments.disk.sync_dir(f"{self._segments.folder}/{copy}")
            self._segments.durable.add(self.number)

    def _begin(self, time_ms: int) -> bytes:
        payload = self._memory()
        return encode_header(RecordKind.MEMORY, 0, 0, time_ms, NO_ID, self.number, 0, payload) + payload

    def _open(self) -> tuple[File, File]:
        if self._files is None:
            disk = self._segments.disk
            first, second = (
                disk.open(self._segments.path(copy, self.number), write=True, create=True) for copy in COPIES
            )
            self._files = (first, second)
        return self._files

    def _both(self, act: Callable[[File], None], files: tuple[File, File]) -> None:
        """Do it to both copies, at once where there is a pool; raise the first error after both have
        ended.
        """
        if self._pool is None:
            for file in files:
                act(file)
            return
        mirrored = self._pool.submit(act, files[1])
        try:
            act(files[0])
        finally:
            error = mirrored.exception()
        if error is not None:
            raise error

    def _cut(self, files: tuple[File, File]) -> None:
        """Take back a batch that was written in part."""
        for file in files:
            try:
                if file.size() > self.end:
                    file.truncate(self.end)
            except StorageError:
                # Recovery at the next open sees a torn end and quarantines it.
                self.poisoned = self.doubtful = True


def follow_log(segments: Segments, cursor: Cursor) -> Iterator[tuple[Intact | Damaged | None, Cursor]]:
    """What was appended after `cursor`: proven records, each with the cursor behind it.

    A record that is damaged in one copy is taken from the other. One that is damaged in both is passed as it
    is if something follows it; at the end of the log it may be a write in progress, and following stops
    before it, as it does before records whose joined ones have not come yet. Raises FellBehind if the log
    went on without us and our place in it is gone; StorageError if it cannot be read.
    """
    number, offset = cursor
    while True:
        # Looked at before the length: once the next segment exists, this one does not grow.
        goes_on = segments.exists(number + 1)
        size = segments.size(number)
        if size < offset or (size == 0 and _goes_on_after(segments, number)):
            raise FellBehind
        sealed, damage = False, list[Damaged]()
        for item in merge_copies(*segments.both(number, offset), number, offset):
            if isinstance(item, Damaged):
                damage.append(item)
                continue
            yield from ((run, Cursor(number, run.offset + run.length)) for run in damage)
            damage.clear()
            sealed = item.header.kind == RecordKind.FOOTER
            yield item, Cursor(number, item.header.end)
        if not sealed and not goes_on:
            return
        yield from ((run, Cursor(number, run.offset + run.length)) for run in damage)
        number, offset = number + 1, 0
        yield None, Cursor(number, 0)


def _goes_on_after(segments: Segments, number: int) -> bool:
    return any(is_log(other) and other > number for other in segments.numbers())
