"""Processes take turns: the lock that lets one process at a time append to a memory.

The lock is flock(2) on the memory's own folder: nothing to create, nothing left behind, given back by the
kernel when its holder dies. Since a lock does not say who holds it, the holder's process id stands in the
file `turn`; it is a hint for people and not part of the protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from carma.errors import CarmaError, MemoryBusy
from carma.ports.clock import Clock
from carma.ports.disk import Disk, File

__all__ = ["Turn"]

_FIRST_PAUSE_S = 0.0002
_LONGEST_PAUSE_S = 0.01


class Turn:
    """The turn to write in one memory, for one process. Not for two threads at once: the committer sees to
    that.
    """

    def __init__(self, disk: Disk, folder: str, clock: Clock, wait_ms: int) -> None:
        self._lock = disk.lock(folder)
        self._disk = disk
        self._path = f"{folder}/turn"
        self._clock = clock
        self._wait_s = wait_ms / 1000
        self._file: File | None = None
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the turn within the block; reentrant. Raises MemoryBusy after the bounded wait."""
        if self._depth == 0:
            self._acquire()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._lock.release()

    def close(self) -> None:
        """Give everything back."""
        self._lock.close()
        if self._file is not None:
            self._file.close()

    def _acquire(self) -> None:
        if not self._lock.try_acquire():
            self._wait()
        # The name of the holder is a hint; a full disk must not keep anybody from deleting.
        with suppress(CarmaError, FileNotFoundError):
            self._sign()

    def _wait(self) -> None:
        deadline = self._clock.monotonic() + self._wait_s
        pause = _FIRST_PAUSE_S
        while not self._lock.try_acquire():
            if self._clock.monotonic() >= deadline:
                pid = self._holder()
                who = f"process {pid}" if pid else "another process"
                raise MemoryBusy(f"{who} holds the turn to write for more than {self._wait_s:g} s.", pid=pid)
            self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _sign(self) -> None:
        """Write our process id into `turn`, unless it stands there already."""
        name = b"%-20d\n" % os.getpid()
        if self._file is None:
            self._file = self._disk.open(self._path, write=True, create=True)
        if self._file.pread(len(name), 0) != name:
            self._file.pwrite(name, 0)

    def _holder(self) -> int | None:
        try:
            file = self._disk.open(self._path)
        except (CarmaError, FileNotFoundError):
            return None
        try:
            word = file.pread(20, 0).strip()
            return int(word) if word.isdigit() else None
        finally:
            file.close()
