"""Which memory a command speaks of, and opening it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carma.memory.memory import Memory

__all__ = ["opened", "store_path"]


def store_path(given: Path | None) -> Path:
    """The folder of the memory: the one given, else CARMA_STORE, else `~/.carma/memory`."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get("CARMA_STORE")
    return Path(named).expanduser() if named else Path.home() / ".carma" / "memory"


@contextmanager
def opened(store: Path | None, *, create: bool = False, read_only: bool = False) -> Iterator[Memory]:
    """The memory, open, and closed at the end. Raises what `Memory.open` raises."""
    from carma.memory.memory import Memory

    with Memory.open(store_path(store), create=create, read_only=read_only) as memory:
        yield memory
