"""How the registry's file is opened: with checksums, or encrypted.

A plain one has SQLite's checksum VFS: eight spare bytes on each page. The one of an encrypted memory is
encrypted page by page (SQLite3 Multiple Ciphers, ChaCha20-Poly1305, write-ahead log included), and the tag of
each page takes the place of the checksum. Nothing spills into a temporary file that is not encrypted. AEGIS
was no faster, and left bits of the file's head unproven (docs/decisions/0012).

Rejected: the standard library's sqlite3 (no checksum VFS, and the WAL of 3.40 can lose commits).
"""

from __future__ import annotations

import threading

import apsw
import apsw.sqlite_extra

__all__ = ["CHECKED", "ENCRYPTED", "connect", "in_use"]

CHECKED = "cksmvfs"
"""The VFS of plain registries."""
ENCRYPTED = "multipleciphers-unix"
"""The VFS of encrypted ones."""

_CIPHER = "chacha20"
_PAGE_BYTES = 8192
_BUSY_MS = 30_000
_loaded = threading.Lock()


def connect(path: str, vfs: str, flags: int, *, key: bytes | None, cache_kib: int) -> apsw.Connection:
    """A connection to the database at `path`. key: encrypts it, 32 bytes. Raises apsw.Error."""
    _use_checksums()
    db = apsw.Connection(path, flags=flags, vfs=vfs, statementcachesize=64)
    db.set_busy_timeout(_BUSY_MS)
    if key is not None:
        db.execute(f"PRAGMA cipher='{_CIPHER}'")
        db.execute(f"PRAGMA key='raw:{key.hex()}'")
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    elif vfs == CHECKED:
        # Eight spare bytes on each page hold its checksum; set before the first page is written.
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        db.reserve_bytes(reserve=8)
    db.execute(f"PRAGMA cache_size=-{cache_kib}")
    db.execute("PRAGMA temp_store=MEMORY")
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def in_use(path: str) -> bool:
    """Whether anybody has the plain registry at `path` open."""
    _use_checksums()
    try:
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=CHECKED)
    except apsw.Error:
        return False
    try:
        # Whoever has a database with a write-ahead log open holds a lock that excludes this one.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return False
    except (apsw.BusyError, apsw.LockedError):
        return True
    except apsw.Error:
        return False  # It is damaged, so nobody works with it.
    finally:
        db.close()


def _use_checksums() -> None:
    """Register the checksum VFS for the process, once."""
    with _loaded:
        if CHECKED not in apsw.vfs_names():
            connection = apsw.Connection(":memory:", vfs=apsw.vfs_names()[0])
            try:
                apsw.sqlite_extra.load(connection, "cksumvfs")
            finally:
                connection.close()
