"""Erase a folder: overwrite what its files hold, then remove them.

An encrypted seat is unreadable once its data key is destroyed; this is for the seats that are not, and so
that nothing is left lying about. On copy-on-write file systems and flash the old blocks may outlive it: only
encryption helps there.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["erase_folder"]

_PIECE = bytes(1 << 20)


def erase_folder(folder: Path) -> int:
    """Overwrite and remove every file below `folder`, and it; how many files there were.

    Links are removed and never followed. Nothing happens if there is no such folder. Raises OSError if
    something could not be removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        return 0
    count = 0
    for root, folders, files in os.walk(folder, topdown=False, followlinks=False):
        for name in files:
            _erase_file(Path(root, name))
            count += 1
        for name in folders:
            path = Path(root, name)
            if path.is_symlink():
                path.unlink()
            else:
                path.rmdir()
    folder.rmdir()
    _sync(folder.parent)
    return count


def _erase_file(path: Path) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                left = os.fstat(descriptor).st_size
                while left > 0:
                    left -= os.write(descriptor, _PIECE[: min(left, len(_PIECE))])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
