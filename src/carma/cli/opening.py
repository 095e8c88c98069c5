"""Which memory a command speaks of, and opening it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from carma.cli.output import progress_bar
from carma.cli.remote import address, reached
from carma.cli.unlocking import current, vault_at
from carma.errors import InvalidInput, NotEncrypted

if TYPE_CHECKING:
    from carma.memory.memory import Memory

__all__ = ["is_encrypted", "key_for", "opened", "store_path"]


_MANY = 100
"""With fewer sketches a command ends at once, and no bar is shown."""


def store_path(given: Path | None) -> Path:
    """The folder of the memory: the one given, else CARMA_STORE, else `~/.carma/memory`."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get("CARMA_STORE")
    return Path(named).expanduser() if named else Path.home() / ".carma" / "memory"


@contextmanager
def opened(store: Path | None, *, create: bool = False, read_only: bool = False) -> Iterator[Memory]:
    """The memory, open, and closed at the end: on this machine, or a client of the server that was named.

    Raises what `Memory.open` and `Client` raise.
    """
    url = address(store)
    if url is not None:
        if current().wanted:
            raise InvalidInput(
                "A server encrypts its seats itself; --vault and --owner are about a memory of this machine.",
                hint="Leave them out; or name a folder with --store.",
            )
        with reached(url) as client:
            yield cast("Memory", client)  # The same verbs; those it has not, it refuses with a hint.
        return
    from carma.memory.memory import Memory

    path = store_path(store)
    memory = Memory.open(path, create=create, read_only=read_only, **key_for(path, create=create))
    try:
        yield memory
    finally:
        with progress_bar("Sketching", "sketches", _MANY) as update:
            memory.close(progress=update)


def key_for(path: Path, *, create: bool) -> dict[str, Any]:
    """The arguments by which `Memory.open` opens the memory at `path`: vault and owner, if it is encrypted or
    is to be.
    """
    given = current()
    found = is_encrypted(path)
    if not found and not given.wanted:
        return {}
    if found is False:
        raise NotEncrypted("This memory is not encrypted, and a vault was asked for.")
    return {"vault": vault_at(given.data, create=create and found is None), "owner": given.name}


def is_encrypted(path: Path) -> bool | None:
    """Whether the memory at `path` is encrypted; None if there is none. Raises StorageError."""
    from carma.ports.disk import LocalDisk
    from carma.store.encrypting import pending_identity
    from carma.store.opening import known_identity

    disk, folder = LocalDisk(), os.path.abspath(path)
    identity = pending_identity(disk, folder) or known_identity(disk, folder)
    return identity.encryption is not None if identity is not None else None
