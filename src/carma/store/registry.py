"""The registry: the disposable SQLite index over the segments.

SQLite runs with its checksum VFS, so a flipped bit in the file is an error and never a wrong answer; any
error means: build a new registry from the segments, under a new file name. Names are never used twice,
because a write-ahead log that belongs to another file of the same name would be read as its own.

How the file is opened, and how it is encrypted, stands in `database`. Rejected: LMDB (a truncated file kills
the process).
"""

from __future__ import annotations

import ctypes
import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import apsw

from carma.ports.disk import Disk
from carma.store.apply import apply_entries, apply_read_cursor
from carma.store.database import CHECKED, ENCRYPTED, connect
from carma.store.entry import Entry
from carma.store.log import Cursor
from carma.store.record import RecordDamaged
from carma.store.schema import SCHEMA, SCHEMA_VERSION
from carma.store.segments import Segments

__all__ = ["Registry", "RegistryDamaged", "next_name", "registry_names"]

_NAME = re.compile(r"^registry-(\d{6})\.sqlite$")
_POOL = 4
_damage_types = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.SchemaChangeError,
    apsw.FormatError,
    apsw.SQLError,
    apsw.InternalError,
    apsw.FullError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
)


class RegistryDamaged(Exception):
    """The registry cannot be trusted or used: it must be rebuilt from the segments."""


class Registry:
    """One registry file: a connection that writes and a pool of connections that read.

    Raises RegistryDamaged from any method when SQLite reports an error of the file.
    """

    def __init__(self, path: str, *, vfs: str, flags: int, cache_kib: int, key: bytes | None = None) -> None:
        self.path = path
        self._vfs = vfs
        self._key = key
        self._flags = flags
        self._cache_kib = cache_kib
        self._write_lock = threading.RLock()
        self._readers: deque[apsw.Connection] = deque()
        self._closed = False
        self._writer = self._connect()

    # Opening

    @classmethod
    def create(cls, path: str | None, *, key: bytes | None = None, cache_kib: int = 32768) -> Registry:
        """A new, empty registry; in memory if `path` is None. key: encrypts the file, 32 bytes."""
        registry = cls._at(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, cache_kib, key)
        with registry._guarded():
            db = registry._writer
            db.execute("PRAGMA journal_mode=WAL" if path else "PRAGMA journal_mode=OFF")
            db.execute("PRAGMA synchronous=NORMAL")
            with db:
                db.execute(SCHEMA)
                db.execute("INSERT INTO state VALUES('schema', ?)", (SCHEMA_VERSION,))
        return registry

    @classmethod
    def open(
        cls, path: str, *, key: bytes | None = None, frozen: bool = False, cache_kib: int = 32768
    ) -> Registry:
        """An existing registry. Raises RegistryDamaged if it cannot be used.

        key: the one it was created with.
        frozen: read the file as it is, without locks and without leaving anything beside it.
        """
        if frozen:
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            registry = cls._at(f"file:{quote(path)}?immutable=1", flags, cache_kib, key)
        else:
            registry = cls._at(path, apsw.SQLITE_OPEN_READWRITE, cache_kib, key)
        if registry.state("schema") != SCHEMA_VERSION or registry.state("complete") != 1:
            registry.close()
            raise RegistryDamaged(f"{path} is unfinished or of another version")
        return registry

    @classmethod
    def _at(cls, path: str | None, flags: int, cache_kib: int, key: bytes | None) -> Registry:
        try:
            if path is None:
                # Connections of one process share a database of the memdb VFS by its name.
                name = f"/carma-{id(object())}-{threading.get_ident()}-{next(_counter)}"
                return cls(name, vfs="memdb", flags=flags, cache_kib=cache_kib)
            vfs = CHECKED if key is None else ENCRYPTED
            return cls(path, vfs=vfs, flags=flags, cache_kib=cache_kib, key=key)
        except apsw.Error as error:
            raise RegistryDamaged(str(error)) from error

    def _connect(self) -> apsw.Connection:
        return connect(self.path, self._vfs, self._flags, key=self._key, cache_kib=self._cache_kib)

    def close(self) -> None:
        """Close every connection; idempotent."""
        with self._write_lock:
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            try:
                self._writer.close()
            except apsw.Error:
                # Closing checkpoints; what it cannot write now is rebuilt from the segments at the next open.
                self._writer.close(True)

    def keep_log(self) -> None:
        """Leave the write-ahead log beside the file when it is closed, so that it can be overwritten."""
        with self._write_lock, self._guarded():
            pointer = ctypes.c_int(1)
            self._writer.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(pointer))

    # Reading

    @contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        """A connection for this thread alone, within the block."""
        with self._guarded():
            try:
                db = self._readers.pop()
            except IndexError:
                db = self._connect()
            try:
                yield db
            finally:
                if len(self._readers) < _POOL and not self._closed:
                    self._readers.append(db)
                else:
                    db.close()

    def rows(self, sql: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.reader() as db:
            return db.execute(sql, bindings).fetchall()

    def one(self, sql: str, bindings: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        with self.reader() as db:
            rows: list[tuple[Any, ...]] = db.execute(sql, bindings).fetchall()
            return rows[0] if rows else None

    def state(self, key: str) -> Any:
        """A value of the state table, or None."""
        row = self.one("SELECT value FROM state WHERE key=?", (key,))
        return row[0] if row else None

    def cursor(self) -> Cursor:
        """How far into the log the registry has come."""
        with self.reader() as db:
            return apply_read_cursor(db)

    def fits(self, segments: Segments) -> bool:
        """Whether the registry's past is the log's: its last record stands where it saw it, and is the
        same.
        """
        cursor = self.cursor()
        tip = self.state("tip")
        if cursor.offset > segments.size(cursor.segment):
            return False
        if tip is None:
            return True
        segment, offset, length, seq, time_ms = json.loads(tip)
        try:
            header = segments.read(segment, offset, length).header
        except RecordDamaged:
            # A damaged or compacted tip proves nothing; the checksums of the file do.
            return True
        return (header.seq, header.time_ms) == (seq, time_ms)

    def behind(self, segments: Segments) -> bool:
        """Whether the log holds more than the registry has seen."""
        cursor = self.cursor()
        return segments.size(cursor.segment) != cursor.offset or segments.exists(cursor.segment + 1)

    def vanished(self, disk: Disk) -> bool:
        """Whether somebody removed the file."""
        return (
            self._vfs in (CHECKED, ENCRYPTED)
            and not self.path.startswith("file:")
            and disk.size(self.path) is None
        )

    # Writing

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """The writing connection inside an immediate transaction; rolled back on any exception."""
        with self._write_lock, self._guarded():
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def apply(self, start: Cursor, entries: Sequence[Entry], end: Cursor) -> bool:
        """Apply the records between two places of the log; False if the registry does not stand at `start`.

        A registry that is already past `end` (another process applied them) counts as applied.
        """
        with self.transaction() as db:
            here = apply_read_cursor(db)
            if here >= end:
                return True
            if here != start:
                return False
            apply_entries(db, entries, end)
            return True

    def scrub(self) -> None:
        """Write the file anew without what was deleted from it, and empty its write-ahead log."""
        with self._write_lock, self._guarded():
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _damage_types as error:
            raise RegistryDamaged(str(error)) from error


def registry_names(disk: Disk, folder: str) -> list[str]:
    """Registry files in an index folder, newest first."""
    return sorted((name for name in disk.listdir(folder) if _NAME.match(name)), reverse=True)


def next_name(names: Sequence[str]) -> str:
    """A registry name that was never used in this folder."""
    numbers = [int(match[1]) for match in map(_NAME.match, names) if match]
    return f"registry-{max(numbers, default=0) + 1:06d}.sqlite"


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_counter = _count()
