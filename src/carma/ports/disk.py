"""The one door to files.

Everything that the store keeps goes through `Disk`, so that a simulated disk can stand in and lose power,
tear a write or run full at any call. The registry is the exception: SQLite does its own input and output on
`Disk.real_path`; where that is None (a simulated disk) the registry lives in memory, which costs a rebuild at
open and nothing else, because it is disposable.

`LocalDisk` is the real one. Errors of the operating system become `StorageError` and `DiskFull` here and
nowhere else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from carma.errors import CarmaError, DiskFull, StorageError

__all__ = ["Disk", "File", "LocalDisk", "Lock", "write_whole"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class File(Protocol):
    """An open file."""

    def pread(self, length: int, offset: int) -> bytes:
        """At most `length` bytes from `offset`; fewer at the end of the file."""

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, or raise `StorageError`."""

    def truncate(self, length: int) -> None:
        """Cut or extend the file to `length` bytes."""

    def sync(self) -> None:
        """Return when everything written is durable, or raise `StorageError`."""

    def size(self) -> int:
        """Length in bytes."""

    def has_its_name(self) -> bool:
        """Whether this file still lies where it was opened; not if another was put there or it is gone."""

    def close(self) -> None:
        """Give the file back; idempotent."""


class Lock(Protocol):
    """An advisory lock between processes, given back when its holder dies."""

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""

    def release(self) -> None:
        """Give it back."""

    def close(self) -> None:
        """Release and forget."""


class Disk(Protocol):
    """A file system, as much of it as the store uses. Paths are strings, joined with '/'."""

    def open(self, path: str, *, write: bool = False, create: bool = False) -> File:
        """Open a file. Raises FileNotFoundError, `StorageError`."""

    def listdir(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty if it does not exist."""

    def size(self, path: str) -> int | None:
        """Length of a file, None if there is none."""

    def modified(self, path: str) -> float | None:
        """When a file was last written, seconds since the epoch; None if there is none."""

    def is_dir(self, path: str) -> bool:
        """Whether the path is a folder."""

    def mkdir(self, path: str) -> None:
        """Make a folder and its parents; fine if it exists."""

    def rename(self, old: str, new: str) -> None:
        """Replace `new` by `old`, atomically."""

    def unlink(self, path: str) -> None:
        """Remove a file; fine if it is gone."""

    def sync_dir(self, path: str) -> None:
        """Return when the folder's entries are durable."""

    def lock(self, path: str) -> Lock:
        """The lock of a folder."""

    def writable(self, path: str) -> bool:
        """Whether this process may write in the folder."""

    def real_path(self, path: str) -> str | None:
        """The path for libraries that do their own input and output, or None if there is none."""


def write_whole(disk: Disk, path: str, data: bytes) -> None:
    """Write a file that holds `data` and nothing else, durably; its name is the caller's to sync.

    Raises StorageError.
    """
    file = disk.open(path, write=True, create=True)
    try:
        file.pwrite(data, 0)
        file.truncate(len(data))
        file.sync()
    finally:
        file.close()


@contextmanager
def _translated(action: str, path: str) -> Iterator[None]:
    """Turn an OSError into a `StorageError` that names the action and the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _storage_error(error, action, path) from error


def _storage_error(error: OSError, action: str, path: str) -> CarmaError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFull(f"No space left: could not {action} {path} ({reason}).")
    return StorageError(f"Could not {action} {path} ({reason}).")


class LocalFile:
    """A file of the operating system, by descriptor; positions are explicit, so threads may share it."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def pread(self, length: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            raise _storage_error(error, "read", self._path) from error

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        with _translated("write", self._path):
            written = os.pwrite(self._fd, data, offset)
            while written < len(data):
                # A short write is legal (a signal, a disk that fills up); the next call says why.
                more = os.pwrite(self._fd, memoryview(data)[written:], offset + written)
                if more == 0:
                    raise OSError(errno.ENOSPC, "nothing was written")
                written += more

    def truncate(self, length: int) -> None:
        with _translated("truncate", self._path):
            os.ftruncate(self._fd, length)

    def sync(self) -> None:
        with _translated("sync", self._path):
            if sys.platform == "darwin":  # fsync on macOS leaves the data in the drive's cache.
                fcntl.fcntl(self._fd, fcntl.F_FULLFSYNC)
            else:
                os.fdatasync(self._fd)

    def size(self) -> int:
        with _translated("look at", self._path):
            return os.fstat(self._fd).st_size

    def has_its_name(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except OSError:
            return False

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # A handle that was dropped from a cache is closed by its last user.
        self.close()


class FolderLock:
    """flock(2) on a folder itself: no file to create, nothing left behind, released by the kernel on
    death.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY)

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _storage_error(error, "lock", self._path) from error
        return True

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # After a fork the child drops its parent's locks; closing them there gives nothing of them back.
        self.close()


class LocalDisk:
    """The machine's own file system."""

    def open(self, path: str, *, write: bool = False, create: bool = False) -> LocalFile:
        flags = (os.O_RDWR if write else os.O_RDONLY) | (os.O_CREAT if create else 0) | os.O_CLOEXEC
        with _translated("open", path):
            return LocalFile(os.open(path, flags, 0o600), path)

    def listdir(self, path: str) -> list[str]:
        try:
            with _translated("list", path):
                return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int | None:
        # Every read of a memory looks twice whether others have written: no context manager in here.
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _storage_error(error, "look at", path) from error

    def modified(self, path: str) -> float | None:
        try:
            with _translated("look at", path):
                return os.stat(path).st_mtime
        except FileNotFoundError:
            return None

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def mkdir(self, path: str) -> None:
        with _translated("make the folder", path):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def rename(self, old: str, new: str) -> None:
        with _translated("rename", old):
            os.replace(old, new)

    def unlink(self, path: str) -> None:
        try:
            with _translated("remove", path):
                os.unlink(path)
        except FileNotFoundError:
            return

    def sync_dir(self, path: str) -> None:
        with _translated("sync the folder", path):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def lock(self, path: str) -> FolderLock:
        with _translated("open the folder", path):
            return FolderLock(path)

    def writable(self, path: str) -> bool:
        return os.access(path, os.W_OK | os.X_OK)

    def real_path(self, path: str) -> str | None:
        return path
