"""The store: records in segments, and the registry that follows them.

Writing goes log first: a batch is acknowledged when it lies in tail and mirror, both synced. The registry
follows in the background, or at once when somebody asks for what it does not know yet; it may be deleted at
any moment. The store knows nothing of meaning: it hands every entry, its own or another process's, to one
listener.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from carma.config import Settings
from carma.errors import CarmaError, MemoryClosed, ReadOnlyMemory, StorageError
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk
from carma.store.commit import Committer, Overlay, Prepare, Request
from carma.store.entry import Draft, Entry, entry_of
from carma.store.follow import Follower, Listener
from carma.store.identity import Identity, write_identity
from carma.store.log import Cursor, Tail
from carma.store.opening import Opened, open_parts
from carma.store.parity import Spreads
from carma.store.payload import decode_text
from carma.store.record import (
    APPEND,
    HEADER_BYTES,
    NO_DIGEST,
    NO_ID,
    RecordDamaged,
    RecordKind,
    encode_header,
)
from carma.store.recovery import begin_segment, recover_segment
from carma.store.registry import Registry
from carma.store.scan import Intact
from carma.store.segments import COPIES, Segments
from carma.store.turn import Turn

__all__ = ["Store", "open_store"]


def open_store(
    disk: Disk,
    folder: str,
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    *,
    create: bool = True,
    read_only: bool = False,
) -> Store:
    """Open or create the memory in `folder`.

    Raises MemoryNotFound, NotAMemory, FormatTooNew, MemoryBusy, StorageError.
    """
    opened = open_parts(disk, folder, settings, clock, entropy, create=create, read_only=read_only)
    return Store(opened, disk, folder, clock, settings)


class Store:
    """One open memory's records. Made by `open_store`; safe to share between threads, not across a fork."""

    def __init__(self, opened: Opened, disk: Disk, folder: str, clock: Clock, settings: Settings) -> None:
        self.disk = disk
        self.folder = folder
        self.clock = clock
        self.settings = settings
        self.recovered = opened.recovered
        self.identity: Identity = opened.identity
        self.segments: Segments = opened.segments
        self.spreads: Spreads = opened.spreads
        self.turn: Turn | None = opened.turn
        real = disk.real_path(folder) is not None
        # A simulated disk replays one run from one seed, so it sees no threads of ours.
        self._pool = ThreadPoolExecutor(1, "carma-mirror") if real else None
        self._follower = Follower(
            opened.registry, opened.spreads, opened.cursor, opened.last_seq, opened.reopen, threaded=real
        )
        self._poisoned: set[int] = set(opened.closed)
        self.doubtful = False
        """Something is seen that may not be durable; nothing older may be dropped for its sake."""
        self._committer = Committer(self._write_batch)
        self._tail: Tail | None = None
        if opened.turn is not None:
            self._tail = self._open_tail(opened.cursor)
        self._pid = os.getpid()
        self._closed = False
        self.last_write = self.last_call = clock.monotonic()
        """When something was last written, and when anything was last asked; monotonic seconds."""

    # State

    @property
    def read_only(self) -> bool:
        """Whether this store can only be read."""
        return self.turn is None

    @property
    def registry(self) -> Registry:
        """The registry, which may lag behind; `settle()` first where that matters."""
        return self._follower.registry

    @property
    def last_seq(self) -> int:
        """The number of the last write that was seen."""
        return self._follower.last_seq

    @property
    def cursor(self) -> Cursor:
        """How far into the log this process has seen."""
        return self._follower.cursor

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every entry from now on, in the order of the log."""
        self._follower.listener = listener

    @property
    def is_open(self) -> bool:
        """Whether it can be used in this process."""
        return not self._closed and os.getpid() == self._pid

    def check_open(self) -> None:
        """Raise MemoryClosed if the store was closed or the process forked since it was opened."""
        if self._closed:
            raise MemoryClosed("This memory is closed.")
        if os.getpid() != self._pid:
            raise MemoryClosed(
                "This process was forked from the one that opened the memory; open it again here."
            )

    # Reading

    def refresh(self) -> None:
        """See what other processes have written. Costs two looks at the file system when there is nothing
        new.
        """
        self._follower.refresh()

    def settle(self) -> None:
        """Bring the registry up to everything this process has seen."""
        self._follower.refresh()
        self._follower.settle()

    def mend_registry(self) -> None:
        """Put a usable registry in place of a damaged one."""
        self._follower.replace_registry()

    def pending(self) -> int:
        """Entries that the registry does not know yet."""
        return self._follower.pending()

    def head(self, id: bytes) -> Entry | None:
        """The newest entry of a fragment (content may be absent), tombstones included; None if there is
        none.
        """
        return self._follower.head(id)

    def read(self, segment: int, offset: int, length: int) -> Intact:
        """The proven record at a place. Raises RecordDamaged if no copy has it."""
        return self.segments.read(segment, offset, length)

    def read_text(self, seq: int, segment: int, offset: int, length: int) -> str:
        """Only the text of the write `seq`, proven. Raises RecordDamaged."""
        try:
            return decode_text(self.segments.payload(segment, offset, length, seq))
        except RecordDamaged:
            content = self.read_entry(seq, segment, offset, length).content
            return content.text if content is not None else ""

    def read_entry(self, seq: int, segment: int, offset: int, length: int) -> Entry:
        """The proven entry `seq`, from the place given or, if a compaction moved it, from where it is now.

        Raises RecordDamaged.
        """
        try:
            found = self.segments.read(segment, offset, length)
            if found.header.seq == seq:
                return entry_of(found)
            damage = RecordDamaged("misdirected", segment, offset)
        except RecordDamaged as error:
            damage = error
        place = self._follower.place(seq)
        if place is None or place == (segment, offset, length):
            raise damage
        return entry_of(self.segments.read(*place))

    def start_over(self) -> None:
        """Let who listens read everything anew from the registry."""
        self._follower.start_over()

    # Writing

    def commit(self, prepare: Prepare) -> Sequence[Entry]:
        """Write the drafts that `prepare` makes under the turn; durable when it returns.

        Raises ReadOnlyMemory, MemoryBusy, StorageError, and whatever `prepare` raises.
        """
        self.check_open()
        if self.turn is None:
            raise ReadOnlyMemory("This memory was opened read-only.")
        return self._committer.submit(prepare)

    def append(self, kind: RecordKind, payload: bytes) -> Entry:
        """Write one record that is no fragment (LEDGER, MEMORY)."""
        draft = Draft(kind, NO_ID, 0, payload, NO_DIGEST, None)
        return self.commit(lambda view: [draft])[0]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block no other thread and no other process writes. Not reentrant.

        Raises ReadOnlyMemory, MemoryBusy.
        """
        self.check_open()
        if self.turn is None:
            raise ReadOnlyMemory("This memory was opened read-only.")
        with self._committer.quiet(), self.turn.held():
            self._follower.refresh()
            yield

    def append_alone(self, kind: RecordKind, payload: bytes) -> Entry:
        """Write one record that is no fragment, inside `alone`."""
        return self._append([Draft(kind, NO_ID, 0, payload, NO_DIGEST, None)])[0]

    def set_identity(self, identity: Identity) -> None:
        """Change what the memory is, in `memory.json` and in the log."""
        self.identity = identity
        self.append(RecordKind.MEMORY, identity.payload())
        write_identity(self.disk, self.folder, identity)

    def _write_batch(self, batch: list[Request]) -> None:
        assert self.turn is not None
        with self.turn.held():
            self._follower.refresh()
            overlay: dict[bytes, Draft] = {}
            view = Overlay(overlay, self._follower.head)
            for request in batch:
                try:
                    request.drafts = request.prepare(view)
                    overlay.update(
                        (draft.id, draft)
                        for draft in request.drafts
                        if draft.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE)
                    )
                except CarmaError as error:
                    request.error = error
            drafts = [draft for request in batch if request.error is None for draft in request.drafts]
            entries = self._append(drafts) if drafts else []
        at = 0
        for request in batch:
            if request.error is None:
                request.entries = entries[at : at + len(request.drafts)]
                at += len(request.drafts)

    def _append(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Give numbers and places to drafts and write them, in as many appends as the bound asks for."""
        entries: list[Entry] = []
        at = 0
        while at < len(drafts):
            tail = self._tail_for_writing()
            chunk, data, at = self._encode(drafts, at, tail)
            try:
                with self._follower.appending():
                    tail.append(data, self.now_ms())
                    end = Cursor(tail.number, tail.end)
            except StorageError:
                if tail.poisoned:
                    # The numbers stay used: what failed may come back, and must not share them.
                    self._follower.last_seq = max(self._follower.last_seq, *(entry.seq for entry in chunk))
                    self._abandon(tail)
                raise
            self._follower.publish(chunk, end)
            entries.extend(chunk)
        self.last_write = self.clock.monotonic()
        return entries

    def _encode(self, drafts: Sequence[Draft], at: int, tail: Tail) -> tuple[list[Entry], bytes, int]:
        """Entries and bytes of the drafts from `at` on, up to `batch_bytes`; and where it stopped."""
        parts: list[bytes] = []
        entries: list[Entry] = []
        offset, seq = tail.reserve(), self._follower.last_seq
        first, now = offset, self.now_ms()
        while at < len(drafts) and (offset - first < self.settings.batch_bytes or not entries):
            draft = drafts[at]
            # An announcement says nothing that the manifests do not say too, so its loss is no gap.
            numbered = draft.kind != RecordKind.REWRITE
            seq += numbered
            time_ms = draft.time_ms or now
            header = encode_header(
                draft.kind, draft.version, seq * numbered, time_ms, draft.id, tail.number, offset,
                draft.payload, draft.text_digest, 0 if entries else APPEND,
            )  # fmt: skip
            length = HEADER_BYTES + len(draft.payload)
            raw = draft.payload if draft.content is None else b""
            entries.append(
                Entry(
                    seq * numbered, draft.kind, draft.id, draft.version, time_ms, tail.number, offset, length,
                    draft.text_digest, draft.content, draft.fresh, raw,
                )
            )  # fmt: skip
            parts += (header, draft.payload)
            offset += length
            at += 1
        return entries, b"".join(parts), at

    def _abandon(self, tail: Tail) -> None:
        """Never write to a log segment again, and tell the others so."""
        self.doubtful = self.doubtful or tail.doubtful
        self._poisoned.add(tail.number)
        begin_segment(self.segments, tail.number + 1)

    def _tail_for_writing(self) -> Tail:
        """The tail at the end of what was followed; a new one where the last is sealed, poisoned or full."""
        self._clear_end()
        tail, cursor = self._tail, self._follower.cursor
        if tail is None or (tail.number, tail.end) != cursor:
            if tail is not None:
                tail.close()
            tail = self._tail = self._open_tail(cursor)
        if tail.number in self._poisoned or tail.end >= self.settings.segment_bytes:
            tail = self._next_tail(tail)
        return tail

    def _clear_end(self) -> None:
        """If a process died while it wrote, or a copy went missing, make both copies end where the log
        ends.
        """
        number, end = self._follower.cursor
        paths = [self.segments.path(copy, number) for copy in COPIES]
        if number in self._poisoned or all((self.disk.size(path) or 0) == end for path in paths):
            return
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        self.segments.forget(number)
        if recover_segment(self.segments, number, seen=end).closed:
            self._poisoned.add(number)
            begin_segment(self.segments, number + 1)
        self._follower.refresh()

    def _next_tail(self, tail: Tail) -> Tail:
        if tail.number not in self._poisoned:
            try:
                with self._follower.appending():
                    tail.seal(self.now_ms())
            except StorageError:
                if tail.poisoned:
                    self._abandon(tail)
                raise
        tail.close()
        self._tail = self._open_tail(Cursor(tail.number + 1, 0))
        self._follower.advance(Cursor(tail.number + 1, 0))
        return self._tail

    def seal_alone(self) -> None:
        """Seal the tail, so that nothing is appended to it any more, inside `alone`."""
        tail = self._tail_for_writing()
        if tail.end:
            self._next_tail(tail)

    def _open_tail(self, cursor: Cursor) -> Tail:
        number = max(cursor.segment, 1)
        return Tail(self.segments, number, cursor.offset, lambda: self.identity.payload(), self._pool)

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock.now() * 1000)

    def close(self) -> None:
        """Bring the registry up to date and close every file; idempotent."""
        if self._closed:
            return
        self._closed = True
        forked = os.getpid() != self._pid
        if not forked and self.turn is not None:
            # The registry is disposable: what it cannot take now is read from the log at the next open.
            with suppress(CarmaError):
                self._follower.settle()
        if self._pool is not None and not forked:
            self._pool.shutdown()
        if self._tail is not None:
            self._tail.close()
        if not forked:
            self._follower.close()
        self.segments.close()
        if self.turn is not None:
            self.turn.close()
