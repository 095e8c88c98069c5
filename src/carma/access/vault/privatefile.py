"""Files that hold a key: written once and whole, readable by their owner alone, overwritten when they go.

A new file is written under a name of its own and then linked to the right one, which fails if that exists:
two processes that start at once make one key, and a crash leaves no half of one. Rejected: opening the right
name with O_EXCL and writing there (a crash between the two leaves an empty key file in the way).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from carma.errors import KekMissing, KekUnsafe, StorageError

__all__ = ["create_private", "read_private", "sync_folder", "wipe"]

_MOST_BYTES = 64 * 2**10


def create_private(path: Path, data: bytes) -> None:
    """Make the file with mode 0600, durably, and its folder (0700) if it is missing.

    Raises FileExistsError if there is one, StorageError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path)
        finally:
            os.unlink(draft)
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"Could not write the key file {path} ({error.strerror}).") from error


def read_private(path: Path) -> bytes:
    """The bytes of a file that only its owner, who is us, may use; 64 KiB at most.

    Raises KekMissing (no file, or not for us), KekUnsafe (others may use it, or it is no plain file).
    """
    try:
        # Not blocking, because a pipe in its place would else wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KekMissing(f"There is no key file {path}.") from None
    except OSError as error:
        raise KekMissing(f"The key file {path} cannot be read ({error.strerror}).") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KekUnsafe(f"The key file {path} is not a plain file.")
        if status.st_mode & 0o077:
            mode = f"{stat.S_IMODE(status.st_mode):o}"
            raise KekUnsafe(
                f"Others than its owner may use the key file {path} (mode {mode}).",
                hint=f"Take their rights away: chmod 600 {path}. If others were here, rotate the key too.",
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise KekUnsafe(f"The key file {path} belongs to another user (number {status.st_uid}).")
        return os.pread(descriptor, _MOST_BYTES, 0)
    except OSError as error:
        raise KekMissing(f"The key file {path} cannot be read ({error.strerror}).") from error
    finally:
        os.close(descriptor)


def wipe(path: Path) -> None:
    """Overwrite and remove a file; fine if it is gone. Flash and copy-on-write file systems may keep the old
    blocks. Raises OSError.
    """
    if not path.exists():
        return
    with open(path, "r+b") as file:
        length = os.fstat(file.fileno()).st_size
        file.write(bytes(length))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def sync_folder(folder: Path) -> None:
    """Return when the folder's names are durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
