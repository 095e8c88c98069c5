"""The key store's journal, read and written: what is known of every key, as of now, in this process.

Records are taken in as they come, from this process and others; a record whose key-encryption key is missing
waits. Rejected: reading the journal anew at each question (a server asks 100,000 times a second).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from carma.access.journal import Journal
from carma.access.keys.record import Opening, StoredKey, StoreSecret, parse_opening
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import KekWrong, KeyStoreDamaged, StorageError

__all__ = ["LEASE_S", "KeyBook"]

LEASE_S: Final = 0.001
"""How long a server relies on what it has seen, and how long a change waits before it returns."""

_SECRET_BYTES = 32
_SPARE_RECORDS = 200


class KeyBook:
    """All keys by name, and the store's secret. Threads and processes may share the journal.

    reload: gives the key-encryption key anew; it is asked once when another process has rotated it, and
    before the first record. keys: by name; only within `lock`. counted: the number of the newest event.
    """

    def __init__(
        self, journal: Journal, kek: KeyEncryptionKey, reload: Callable[[], KeyEncryptionKey] | None
    ) -> None:
        self.journal = journal
        self.kek = kek
        self.lock = threading.RLock()
        self.keys: dict[str, StoredKey] = {}
        self.counted = 0
        self.damaged = 0
        self.opening: Opening | None = None
        self.kept: Callable[[Mapping[str, StoredKey]], list[StoredKey]] = lambda keys: list(keys.values())
        """Which keys stay when the journal is cleared."""
        self._reload = reload
        self._secret: StoreSecret | None = None
        self._mark: bytes | None = None
        self._pending: deque[bytes] = deque()
        self._records = 0
        self._kept_last = 0

    @property
    def secret(self) -> StoreSecret:
        """The store's secret. Raises KekWrong, VaultKeyWrong."""
        with self.lock:
            if self._secret is None:
                assert self.opening is not None
                self._secret = StoreSecret(self._unwrapped(self.opening.wrapped, self.opening.wrap_context))
            return self._secret

    def unwrap(self, key: StoredKey) -> bytes:
        """The 43 letters of a root key. Raises KekWrong, VaultKeyWrong."""
        with self.lock:
            return self._unwrapped(key.secret, key.wrap_context)

    def _unwrapped(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self.kek.unwrap(wrapped, context)
        except KekWrong:
            if self._reload is None:
                raise
            self.kek = self._reload()
            return self.kek.unwrap(wrapped, context)

    # Reading

    def refresh(self, *, surely: bool = False) -> None:
        """Take in what was appended, by anybody. Within `lock`. surely: also where the mark has not moved."""
        mark = self.journal.mark()
        if mark == self._mark and not self._pending and not surely:
            return
        records = self.journal.news()
        if self.journal.start_over:
            self.opening, self._secret, self.keys = None, None, {}
            self._records, self.damaged = 0, 0
            self._pending.clear()
        self._pending.extend(records)
        # If this raises, because the key-encryption key is missing say, the rest waits for the next time.
        while self._pending:
            self._take(self._pending[0])
            self._pending.popleft()
        self._mark = mark

    def refuse_damage(self) -> None:
        """Raise KeyStoreDamaged if a record is lost or was changed: nobody knows of which key it spoke."""
        lost = len(self.journal.lost) + self.damaged
        if lost:
            raise KeyStoreDamaged(f"{lost} records of the key store are lost or were changed.")

    def _take(self, record: bytes) -> None:
        try:
            if self.opening is None:
                self.opening = parse_opening(record)
                self.counted = max(self.counted, self.opening.counted)
                return
            key = self.secret.parse(record)
        except KeyStoreDamaged:
            self.damaged += 1
            return
        self._records += 1
        self.counted = max([self.counted, *(each.number for each in key.history)])
        known = self.keys.get(key.name)
        if known is None or key.revision > known.revision:
            self.keys[key.name] = key

    # Writing

    @contextmanager
    def turn(self, *, damaged: bool = False) -> Iterator[None]:
        """Change keys within the block; when it ends, every process knows. damaged: also a damaged store."""
        # The turn first: whoever waits for another process must not keep readers of this one from `lock`.
        with self.journal.turn(), self.lock:
            # A change that failed at its very end may have been written all the same.
            self.refresh(surely=True)
            if not damaged:
                self.refuse_damage()
            before = self._mark
            yield
            changed = self._mark != before
        if changed:
            # In real time, whatever clock was given: it is other processes that it is about.
            time.sleep(LEASE_S)

    def begin(self, now: float, random: bytes) -> None:
        """Write the first record, with a new secret of 32 bytes. Within a turn."""
        assert self.opening is None
        assert len(random) == _SECRET_BYTES
        if self._reload is not None:
            # Nothing here says which key-encryption key is right: another process may have rotated it.
            self.kek = self._reload()
        opening = Opening(now, 0, b"")
        wrapped = self.kek.wrap(random, opening.wrap_context)
        self.journal.append([replace(opening, wrapped=wrapped).to_bytes()])
        self.refresh()

    def append(self, keys: Sequence[StoredKey]) -> None:
        """Write the new state of keys, all or none. Within a turn."""
        self.journal.append([self.secret.to_bytes(key) for key in keys])
        self.refresh()
        if self._records <= 2 * self._kept_last + _SPARE_RECORDS:
            return
        # Asked once while the records double, not at every change: it looks at every key.
        kept = self.kept(self.keys)
        self._kept_last = len(kept)
        if self._records > 2 * len(kept) + _SPARE_RECORDS:
            try:
                self.rewrite(kept)
            except StorageError:
                self._kept_last = 0  # The change is durable; clearing away waits for the next one.

    def rewrite(self, keys: Sequence[StoredKey], wrapped: bytes | None = None) -> None:
        """Let these be all keys, and leave no byte of the others. wrapped: the secret, wrapped anew."""
        assert self.opening is not None
        opening = replace(self.opening, counted=self.counted, wrapped=wrapped or self.opening.wrapped)
        self.journal.rewrite([opening.to_bytes(), *(self.secret.to_bytes(key) for key in keys)])
        self.refresh()
