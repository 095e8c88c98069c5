"""Following the log: one process's view of it, and the registry behind that view.

Everything this process learns of, written by itself or by others, passes through `publish` in the order of
the log: the cursor moves, the listener (columns, vectors) hears of it, and the entries wait to be applied to
the registry. A thread applies them soon; `settle` applies them now. What waits is looked up in memory first,
so a write is visible at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from carma.errors import BecameEncrypted
from carma.store.catchup import catch_up
from carma.store.entry import Entry, followed
from carma.store.identity import Identity, read_identity
from carma.store.log import Cursor, FellBehind, follow_log
from carma.store.parity import Spreads
from carma.store.recent import Recent
from carma.store.record import RecordKind
from carma.store.registry import Registry, RegistryDamaged

__all__ = ["Follower", "Listener"]

_MOST_PENDING = 20_000
_APPLY_PAUSE_S = 0.05


class Listener(Protocol):
    """Who keeps something in memory that follows the log."""

    def entries(self, entries: Sequence[Entry]) -> None:
        """New entries, in the order of the log."""

    def reset(self) -> None:
        """The log cannot be followed from where we were: read everything anew from the registry."""


class Follower:
    """One process's place in the log of one memory.

    reopen: gives a usable registry in place of a damaged one.
    threaded: apply pending entries in a thread of its own; otherwise only `settle` applies them.
    """

    def __init__(
        self,
        registry: Registry,
        spreads: Spreads,
        cursor: Cursor,
        last_seq: int,
        reopen: Callable[[Registry], Registry],
        threaded: bool,
    ) -> None:
        self.registry = registry
        self.cursor = cursor
        self.last_seq = last_seq
        self.listener: Listener | None = None
        self._spreads = spreads
        self._segments = spreads.segments
        self._reopen = reopen
        self._state = threading.RLock()
        self._applying = threading.RLock()
        self._appending = False
        self._pending: deque[tuple[Cursor, Sequence[Entry], Cursor]] = deque()
        self._pending_count = 0
        self._recent = Recent()
        self._wake = threading.Event()
        self._stop = False
        self._watched = (-1, "", "")
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._apply_in_background, name="carma-words", daemon=True)
            self._thread.start()

    # Seeing

    def refresh(self) -> None:
        """Read what others have appended, if anything. Raises StorageError if it cannot be read."""
        if self._appending or not self._grown():
            return
        try:
            with self._state:
                if self._appending:
                    return
                blank = self._follow()
            if blank:
                # Nothing but the registry knows the place of a fragment whose content cannot be read.
                self.start_over()
        except FellBehind:
            # Outside the block: who applies takes the locks in this order, `_applying` before `_state`.
            self._resynchronise()
        self._settle_if_many()

    def _grown(self) -> bool:
        """Whether the log may hold more than we have seen: two looks at the file system."""
        number, offset = self.cursor
        watched, here, after = self._watched
        if watched != number:
            here, after = (self._segments.path("segments", n) for n in (number, number + 1))
            self._watched = (number, here, after)
        size = self._segments.disk.size
        return (size(here) or 0) != offset or size(after) is not None

    def _follow(self) -> bool:
        """Take note of what was appended; whether a fragment without content is among it."""
        entries: list[Entry] = []
        end = self.cursor
        for item, here in follow_log(self._segments, self.cursor):
            end = here
            entry = followed(item, self._segments.sealing)
            if entry is not None:
                self._refuse_encryption(entry)
                entries.append(self._spreads.expanded(entry))
        if end != self.cursor:
            self._note(entries, end)
        return any(map(_blank, entries))

    def start_over(self) -> None:
        """Let the listener read everything anew from the registry."""
        with self._applying:
            self.settle()
            with self._state:
                if self.listener is not None:
                    self.listener.reset()

    def _resynchronise(self) -> None:
        """Our place in the log is gone: stand where the registry stands, and start over from it."""
        self._refuse_if(read_identity(self._segments.disk, self._segments.folder))
        with self._applying:
            with self._state:
                self._pending.clear()
                self._pending_count = 0
                self._recent.clear()
            # An open file outlives its name, and what is appended from now on lands in another of that name.
            self._segments.close()
            self._mended(lambda: catch_up(self.registry, self._spreads))
            with self._state:
                self.cursor = self.registry.cursor()
                self.last_seq = max(self.last_seq, known_last_seq(self.registry))
                if self.listener is not None:
                    self.listener.reset()

    def _refuse_encryption(self, entry: Entry) -> None:
        if entry.kind == RecordKind.MEMORY:
            self._refuse_if(Identity.from_payload(entry.payload))

    def _refuse_if(self, identity: Identity | None) -> None:
        """Raise BecameEncrypted if this memory is encrypted now, and was not when it was opened."""
        if identity is not None and identity.encryption and self._segments.sealing.cipher is None:
            raise BecameEncrypted("This memory was encrypted by another process.")

    # Our own writing

    @contextmanager
    def appending(self) -> Iterator[None]:
        """While the block runs, what grows at the end of the log is ours and not for `refresh`."""
        with self._state:
            self._appending = True
        try:
            yield
        finally:
            self._appending = False

    def publish(self, entries: Sequence[Entry], end: Cursor) -> None:
        """Take note of entries that stand in the log between our cursor and `end`."""
        try:
            entries = [self._spreads.expanded(entry) for entry in entries]
        except FellBehind:
            self._resynchronise()  # A manifest that was just written cannot be read.
            return
        self._note(entries, end)
        self._settle_if_many()

    def _note(self, entries: Sequence[Entry], end: Cursor) -> None:
        with self._state:
            start, self.cursor = self.cursor, end
            self.last_seq = max(self.last_seq, *(entry.seq for entry in entries), 0)
            self._recent.take(entries)
            self._pending.append((start, entries, end))
            self._pending_count += len(entries)
            if self.listener is not None and entries:
                self.listener.entries([entry for entry in entries if not _blank(entry)])
        self._wake.set()

    def _settle_if_many(self) -> None:
        if self._pending_count > _MOST_PENDING:
            self.settle()

    def advance(self, end: Cursor) -> None:
        """Move past something of ours that says nothing to anybody (a footer)."""
        self.publish((), end)

    # The registry

    def pending(self) -> int:
        """Entries that the registry does not know yet."""
        return self._pending_count

    def head(self, id: bytes) -> Entry | None:
        """The newest entry of a fragment, tombstones included; without content if it comes from the
        registry.
        """
        recent = self._recent.head(id)
        if recent is not None:
            return recent
        row = self.query(
            "SELECT seq, live, version, updated, segment, offset, length, text_digest, kind FROM fragments "
            "WHERE id=? ORDER BY version DESC, seq DESC LIMIT 1",
            (id,),
        )
        if not row:
            return None
        seq, _, version, updated, segment, offset, length, digest, kind = row[0]
        what = RecordKind.TOMBSTONE if kind == "tombstone" else RecordKind.FRAGMENT
        return Entry(seq, what, id, version, updated, segment, offset, length, digest, None)

    def note_of(self, key: str) -> bytes | None:
        """The newest note of an act with an Idempotency-Key; None if there is none."""
        recent = self._recent.act(key)
        if recent is not None:
            return recent.payload
        rows = self.query("SELECT note FROM acts WHERE key=? ORDER BY seq DESC LIMIT 1", (key,))
        return rows[0][0] if rows else None

    def place(self, seq: int) -> tuple[int, int, int] | None:
        """Where a record is now: segment, offset, length."""
        self.settle()
        rows = self.query("SELECT segment, offset, length FROM fragments WHERE seq=?", (seq,))
        return rows[0] if rows else None

    def query(self, sql: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the registry, which is rebuilt first if it is damaged."""
        try:
            return self.registry.rows(sql, bindings)
        except RegistryDamaged:
            self.replace_registry()
            return self.registry.rows(sql, bindings)

    def settle(self) -> None:
        """Apply everything that waits."""
        if not self._pending:
            return
        with self._applying:
            self._mended(self._apply_pending)

    def _mended(self, act: Callable[[], None]) -> None:
        """Do it; if the registry turns out to be damaged, replace it and do it again."""
        try:
            act()
        except RegistryDamaged:
            self._replace()
            act()

    def replace_registry(self) -> None:
        """Put a usable registry in place of a damaged one."""
        with self._applying:
            self._replace()

    def _replace(self) -> None:
        self.registry = self._reopen(self.registry)

    def _apply_pending(self) -> None:
        if self.registry.vanished(self._segments.disk):
            raise RegistryDamaged("the registry file is gone")
        while self._pending:
            batches = list(self._pending)
            entries = [entry for _, run, _ in batches for entry in run]
            start, end = batches[0][0], batches[-1][2]
            if not self.registry.apply(start, entries, end):
                catch_up(self.registry, self._spreads)
            with self._state:
                for _ in batches:
                    self._pending.popleft()
                self._pending_count -= len(entries)
                self._recent.drop(entries)

    def _apply_in_background(self) -> None:
        while not self._stop:
            self._wake.wait()
            self._wake.clear()
            if self._stop:
                return
            try:
                self.settle()
            except Exception:
                # Whoever settles next gets the error; this thread must not die of it.
                self._wake_later()
            # Entries of many small writes are cheaper to apply together.
            threading.Event().wait(_APPLY_PAUSE_S)

    def _wake_later(self) -> None:
        timer = threading.Timer(1.0, self._wake.set)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Stop the thread and close the registry."""
        self._stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._applying:
            self.registry.close()


def _blank(entry: Entry) -> bool:
    return entry.kind == RecordKind.FRAGMENT and entry.content is None


def known_last_seq(registry: Registry) -> int:
    """The highest write number that the registry knows of."""
    row = registry.one(
        "SELECT max((SELECT coalesce(max(seq), 0) FROM fragments), "
        "(SELECT coalesce(max(seq), 0) FROM other), (SELECT coalesce(max(last), 0) FROM dropped))"
    )
    return int(row[0]) if row else 0
