"""Folders: made so that they last, and their lock, waited for no longer than ten seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from carma.errors import AuditUnavailable, StorageError
from carma.ports.clock import Clock
from carma.ports.disk import Disk, Lock

__all__ = ["folder_turn", "lasting_folder", "take"]

_WAIT_S = 10.0
_PAUSE_S = 0.002


def lasting_folder(disk: Disk, folder: str) -> None:
    """Make a folder and those above it, and their names durable. Raises StorageError."""
    above = os.path.dirname(folder)
    if disk.is_dir(folder):
        # Who made it may have died before its name was durable. The folder above need not be ours to open.
        with suppress(StorageError, PermissionError):
            disk.sync_dir(above or "/")
        return
    if above not in ("", "/", folder):
        lasting_folder(disk, above)
    disk.mkdir(folder)
    disk.sync_dir(above or "/")


def take(lock: Lock, clock: Clock, what: str) -> None:
    """Take a lock. Raises AuditUnavailable after the bounded wait; `what` says whose it is."""
    until = clock.monotonic() + _WAIT_S
    while not lock.try_acquire():
        if clock.monotonic() >= until:
            raise AuditUnavailable(f"Another process holds {what} for more than {_WAIT_S:g} s.")
        clock.sleep(_PAUSE_S)


@contextmanager
def folder_turn(disk: Disk, folder: str, clock: Clock, what: str) -> Iterator[None]:
    """Within the block no other process has the turn in a folder, which is made if need be."""
    lasting_folder(disk, folder)
    lock = disk.lock(folder)
    try:
        take(lock, clock, what)
        yield
    finally:
        lock.close()
