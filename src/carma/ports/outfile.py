"""Whether something can be written where somebody wants it, asked before the work and not after it.

A file without a name is made in the folder and is gone at once: what a system allows is only known by trying.
Rejected: looking at permissions, which says nothing of a read-only file system or of `/proc`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from carma.errors import InvalidInput

__all__ = ["check_file", "check_folder"]

_HINT = "Name another with --out."


def check_file(path: Path) -> None:
    """Return if a file can be written at `path`. Raises InvalidInput, which names it and says why not."""
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder.", hint=_HINT)
    try:
        _try(path.parent)
    except OSError as error:
        raise _refused(path, error) from None


def check_folder(path: Path) -> None:
    """Make the folder if it is not there, and return if files can be written into it. Raises InvalidInput."""
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path} is not a folder.", hint=_HINT)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _try(path)
    except OSError as error:
        raise _refused(path, error) from None


def _try(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"?")


def _refused(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{path} cannot be written: {error.strerror or error}.", hint=_HINT)
