"""The store: records in segments, and the registry that follows them.

Writing goes log first: a batch is acknowledged when it lies in tail and mirror, both synced. The registry
follows in the background, or at once when somebody asks for what it does not know yet; it may be deleted at
any moment. The store knows nothing of meaning: it hands every entry, its own or another process's, to one
listener.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from carma.config import Settings
from carma.errors import BecameEncrypted, CarmaError, MemoryClosed, ReadOnlyMemory
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk
from carma.store.appending import Appender
from carma.store.commit import Committer, Overlay, Prepare, Request
from carma.store.encrypting import ENCRYPTING
from carma.store.entry import Draft, Entry, entry_of
from carma.store.follow import Follower, Listener
from carma.store.identity import Identity, write_identity
from carma.store.log import Cursor
from carma.store.opening import Opened, open_parts
from carma.store.parity import Spreads
from carma.store.payload import decode_text
from carma.store.record import NO_DIGEST, NO_ID, RecordDamaged, RecordKind
from carma.store.registry import Registry
from carma.store.scan import Intact
from carma.store.sealing import Sealing
from carma.store.segments import Segments
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
    cipher: Cipher | None = None,
) -> Store:
    """Open or create the memory in `folder`.

    cipher: of an encrypted memory; a new one becomes encrypted by it.
    Raises MemoryNotFound, NotAMemory, FormatTooNew, MemoryBusy, StorageError, VaultNeeded, VaultWrong,
    NotEncrypted, EncryptionUnfinished.
    """
    opened = open_parts(
        disk, folder, settings, clock, entropy, create=create, read_only=read_only, cipher=cipher
    )
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
        self.sealing: Sealing = opened.segments.sealing
        self.spreads: Spreads = opened.spreads
        self.turn: Turn | None = opened.turn
        real = disk.real_path(folder) is not None
        # A simulated disk replays one run from one seed, so it sees no threads of ours.
        self._pool = ThreadPoolExecutor(1, "carma-mirror") if real else None
        self._follower = Follower(
            opened.registry, opened.spreads, opened.cursor, opened.last_seq, opened.reopen, threaded=real
        )
        self._appender = Appender(
            opened.segments, self._follower, settings, self.now_ms, lambda: self.identity.payload(),
            self._pool, opened.closed,
        )  # fmt: skip
        self._committer = Committer(self._write_batch)
        self._pid = os.getpid()
        self._closed = False
        self.refuse: Callable[[], None] = lambda: None
        """Asked whenever the store is about to be used; may raise (the owner's key was shredded)."""
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
    def doubtful(self) -> bool:
        """Whether something is seen that may not be durable; nothing older may be dropped for its sake."""
        return self._appender.doubtful

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
        self.refuse()

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

    def rows(self, sql: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the registry, which is made again first if it turns out to be damaged."""
        return self._follower.query(sql, bindings)

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

    def note_of(self, key: str) -> bytes | None:
        """What the newest act with an Idempotency-Key noted; None if there is none."""
        return self._follower.note_of(key)

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

    def entry_at(self, seq: int, segment: int, offset: int, length: int) -> Entry:
        """The proven entry `seq` from the place given. Raises RecordDamaged."""
        entry = self.segments.read_as(self.decoded, segment, offset, length)
        if entry.seq != seq:
            raise RecordDamaged("misdirected", segment, offset)
        return entry

    def read_entry(self, seq: int, segment: int, offset: int, length: int) -> Entry:
        """The proven entry `seq`, from the place given or, if a compaction moved it, from where it is now.

        Raises RecordDamaged.
        """
        try:
            return self.entry_at(seq, segment, offset, length)
        except RecordDamaged as error:
            damage = error
        place = self._follower.place(seq)
        if place is None or place == (segment, offset, length):
            raise damage
        return self.segments.read_as(self.decoded, *place)

    def decoded(self, item: Intact) -> Entry:
        """The entry of a proven record. Raises RecordDamaged where its seal is not the owner's."""
        return entry_of(item, self.sealing)

    def payload(self, item: Intact) -> bytes:
        """What a proven record says, opened. Raises RecordDamaged where its seal is not the owner's."""
        return self.sealing.payload(item.header, item.payload)

    def is_ours(self, item: Intact) -> bool:
        """Whether the owner sealed this proven record under its header; of a plain memory every record."""
        return self.sealing.proves(item.header, item.payload)

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
            self._refuse_if_encrypted()
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
            self._refuse_if_encrypted()
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
        entries = self._appender.append(drafts)
        self.last_write = self.clock.monotonic()
        return entries

    def seal_alone(self) -> None:
        """Seal the tail, so that nothing is appended to it any more, inside `alone`."""
        self._appender.seal()

    def _refuse_if_encrypted(self) -> None:
        """Raise if the memory is being encrypted by another process: its old files are about to go."""
        if self.disk.size(f"{self.folder}/{ENCRYPTING}") is not None:
            raise BecameEncrypted("This memory is being encrypted by another process.")

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
        self._appender.close()
        if not forked:
            self._follower.close()
        self.segments.close()
        if self.turn is not None:
            self.turn.close()
