"""A disk in memory that does wrong on demand.

It keeps, for every file, what reading gives and what would outlive a power loss, and the same for every name.
Each call of the port has a number, so a test can run a workload once, count its calls, and run it again for
each of them with a fault there. What a crash leaves is the same disk after `restart` (the page cache outlives
a process); what a power loss leaves is another disk, drawn from a seed.

It is harsher than real file systems where they differ: unsynced names and writes survive independently of
each other.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import TypeVar

from carma.errors import CarmaError, DiskFull, StorageError
from carma.ports.clock import Clock
from carma.testing.clocks import SimulatedClock
from carma.testing.faults import Crash, Drop, Fault, Misdirect, Refuse, SimulatedCrash
from carma.testing.medium import Inode, NameChange, Write

__all__ = ["SimulatedDisk", "SimulatedFile", "SimulatedLock"]

T = TypeVar("T")


class SimulatedDisk:
    """Implements `carma.ports.disk.Disk` in memory.

    faults: what goes wrong, by number of the call (the first is 1); may be changed while it runs.
    capacity_bytes: the sum of all file lengths at which the disk is full; None for no bound.
    read_only: refuse every change.
    calls: how many calls were made. log: (action, path) of each, in order.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        capacity_bytes: int | None = None,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        self.faults = list(faults)
        self.capacity_bytes = capacity_bytes
        self.read_only = False
        self.calls = 0
        self.log: list[tuple[str, str]] = []
        self._clock = clock or SimulatedClock()
        self._chance = random.Random(seed)
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._pending: list[NameChange] = []
        self._locks: dict[str, object] = {}

    # The port

    def open(self, path: str, *, write: bool = False, create: bool = False) -> SimulatedFile:
        def act() -> SimulatedFile:
            inode = self._names.get(path)
            if inode is None:
                if not create or not self.is_folder(os.path.dirname(path)):
                    raise FileNotFoundError(path)
                self._refuse_change(path)
                inode = Inode(modified=self._clock.now())
                self._rename(NameChange(None, path, inode))
            if write:
                self._refuse_change(path)
            return SimulatedFile(self, path, inode)

        return self.call("create" if create else "open", path, act)

    def listdir(self, path: str) -> list[str]:
        return self.call("list", path, lambda: sorted(self._inside(path)))

    def size(self, path: str) -> int | None:
        def act() -> int | None:
            inode = self._names.get(path)
            return None if inode is None else len(inode.seen)

        return self.call("size", path, act)

    def modified(self, path: str) -> float | None:
        def act() -> float | None:
            inode = self._names.get(path)
            return None if inode is None else inode.modified

        return self.call("modified", path, act)

    def is_dir(self, path: str) -> bool:
        return self.call("is_dir", path, lambda: self.is_folder(path))

    def mkdir(self, path: str) -> None:
        def act() -> None:
            above = os.path.dirname(path)
            if above not in ("", "/", path) and not self.is_folder(above):
                self.mkdir(above)
            if not self.is_folder(path):
                self._refuse_change(path)
                self._rename(NameChange(None, path, Inode(folder=True)))

        self.call("mkdir", path, act)

    def rename(self, old: str, new: str) -> None:
        def act() -> None:
            self._refuse_change(old)
            if old not in self._names:
                raise FileNotFoundError(old)
            self._rename(NameChange(old, new, self._names[old]))

        self.call("rename", old, act)

    def unlink(self, path: str) -> None:
        def act() -> None:
            self._refuse_change(path)
            if path in self._names:
                self._rename(NameChange(path, None, None))

        self.call("unlink", path, act)

    def sync_dir(self, path: str) -> None:
        def act() -> None:
            kept = []
            for change in self._pending:
                if os.path.dirname(change.new or change.old or "") == path:
                    change.apply(self._durable_names)
                else:
                    kept.append(change)
            self._pending = kept

        self.call("sync_dir", path, act)

    def lock(self, path: str) -> SimulatedLock:
        return self.call("lock", path, lambda: SimulatedLock(self, path))

    def writable(self, path: str) -> bool:
        return self.call("writable", path, lambda: not self.read_only)

    def real_path(self, path: str) -> str | None:
        return None

    # What happens to it

    def restart(self) -> None:
        """The process died: its locks are free and its plan of faults is over; what it wrote is in the page
        cache.
        """
        self._locks.clear()
        self.faults = []

    def power_loss(self, seed: int) -> SimulatedDisk:
        """The disk as it is found after the power was lost now."""
        chance = random.Random(seed)
        names = dict(self._durable_names)
        for change in self._pending:
            if chance.random() < 0.5:
                change.apply(names)
        other = self._another()
        found: dict[int, Inode] = {}
        for path, inode in sorted(names.items()):
            if id(inode) not in found:
                found[id(inode)] = inode.after_power_loss(chance)
            other._names[path] = found[id(inode)]
        # What lies in a folder whose name was lost is lost with it.
        for path in list(other._names):
            if not other._reachable(path):
                del other._names[path]
        other._durable_names = dict(other._names)
        return other

    def copy(self, clock: Clock | None = None) -> SimulatedDisk:
        """The same disk once more, without its faults. clock: another one, to which the copy keeps."""
        other = self._another()
        other._clock = clock or self._clock
        memo: dict[int, Inode] = {}

        def twin(inode: Inode) -> Inode:
            return memo.setdefault(id(inode), inode.copy())

        other._names = {path: twin(inode) for path, inode in self._names.items()}
        other._durable_names = {path: twin(inode) for path, inode in self._durable_names.items()}
        other._pending = [
            NameChange(change.old, change.new, twin(change.inode) if change.inode else None)
            for change in self._pending
        ]
        return other

    def paths(self) -> list[str]:
        """Every file, sorted."""
        return sorted(path for path, inode in self._names.items() if not inode.folder)

    def contents(self, path: str) -> bytes:
        """What a file holds. Not a call of the port."""
        return bytes(self._names[path].seen)

    def put(self, path: str, data: bytes) -> None:
        """Set what a file holds, durably and behind everybody's back: rot. Not a call of the port."""
        inode = self._names.setdefault(path, Inode())
        inode.seen, inode.durable, inode.pending = bytearray(data), bytearray(data), []
        self._durable_names[path] = inode

    def remove(self, path: str) -> None:
        """Take a file or a folder and all in it away, durably and behind everybody's back. Not a call of the
        port.
        """
        for names in (self._names, self._durable_names):
            for name in [name for name in names if name == path or name.startswith(f"{path}/")]:
                del names[name]

    # Inside

    def call(
        self, action: str, path: str, act: Callable[[], T], middle: Callable[[], None] | None = None
    ) -> T:
        """Count a call of the port and let happen to it what is planned.

        middle: what is left of it if the process dies in the middle.
        """
        self.calls += 1
        number = self.calls
        self.log.append((action, path))
        if not self.faults:
            return act()
        crash = None
        for fault in self.faults:
            if isinstance(fault, Refuse) and fault.at <= number < fault.at + fault.calls:
                raise self._refusal(fault, action, path)
            if isinstance(fault, Crash) and fault.at == number:
                crash = fault
        if crash is not None and crash.when == "before":
            raise SimulatedCrash(f"before call {number}: {action} {path}")
        if crash is not None and crash.when == "middle" and middle is not None:
            middle()
            raise SimulatedCrash(f"in the middle of call {number}: {action} {path}")
        result = act()
        if crash is not None:
            raise SimulatedCrash(f"after call {number}: {action} {path}")
        return result

    def write(self, path: str, inode: Inode, data: bytes, offset: int) -> None:
        """A write of a file, as a call of the port."""

        def put(part: bytes) -> None:
            inode.change(Write(offset, part))
            inode.modified = self._clock.now()

        def act() -> None:
            nonlocal offset
            self._refuse_change(path)
            for fault in self.faults:
                if isinstance(fault, Drop) and fault.at == self.calls:
                    return
                if isinstance(fault, Misdirect) and fault.at == self.calls:
                    offset = fault.offset
            fits = self._room(inode, offset)
            put(data[:fits])
            if fits < len(data):
                raise DiskFull(f"No space left: could not write {path} (simulated).")

        self.call("write", path, act, lambda: put(data[: self._chance.randrange(len(data) + 1)]))

    def _room(self, inode: Inode, offset: int) -> int:
        """How many bytes may be written at `offset`."""
        if self.capacity_bytes is None:
            return 1 << 62
        used = sum(len(other.seen) for other in _each(self._names.values()))
        return max(len(inode.seen) - offset, 0) + max(self.capacity_bytes - used, 0)

    def _refusal(self, fault: Refuse, action: str, path: str) -> CarmaError:
        inode = self._names.get(path)
        if action == "sync" and inode is not None:
            inode.pending.clear()
        if fault.reason == "full":
            return DiskFull(f"No space left: could not {action} {path} (simulated).")
        return StorageError(f"Could not {action} {path} (simulated input/output error).")

    def _refuse_change(self, path: str) -> None:
        if self.read_only:
            raise StorageError(f"Could not write {path} (simulated read-only file system).")

    def is_folder(self, path: str) -> bool:
        """Whether the path is a folder. Not a call of the port."""
        inode = self._names.get(path)
        return path in ("", "/") or (inode is not None and inode.folder)

    def has_name(self, path: str, inode: Inode) -> bool:
        """Whether a file has this name. Not a call of the port."""
        return self._names.get(path) is inode

    def _inside(self, path: str) -> list[str]:
        above = path if path in ("", "/") else f"{path}/"
        below = [name[len(above) :] for name in self._names if name.startswith(above) and name != above]
        return [name for name in below if "/" not in name]

    def _reachable(self, path: str) -> bool:
        above = os.path.dirname(path)
        return above in ("", "/") or (above in self._names and self._reachable(above))

    def _rename(self, change: NameChange) -> None:
        change.apply(self._names)
        self._pending.append(change)

    def _another(self) -> SimulatedDisk:
        return SimulatedDisk(
            capacity_bytes=self.capacity_bytes, clock=self._clock, seed=self._chance.randrange(1 << 30)
        )

    def take(self, path: str, who: object) -> bool:
        """Give the lock of a folder to `who` if it is free."""
        return self._locks.setdefault(path, who) is who

    def give_back(self, path: str, who: object) -> None:
        """Free the lock of a folder if `who` has it."""
        if self._locks.get(path) is who:
            del self._locks[path]


def _each(inodes: Iterable[Inode]) -> list[Inode]:
    """Each file once, however many names it has."""
    return list({id(inode): inode for inode in inodes}.values())


class SimulatedFile:
    """An open file of a simulated disk."""

    def __init__(self, disk: SimulatedDisk, path: str, inode: Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode

    def pread(self, length: int, offset: int) -> bytes:
        return self._disk.call("read", self._path, lambda: bytes(self._inode.seen[offset : offset + length]))

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        self._disk.write(self._path, self._inode, bytes(data), offset)

    def truncate(self, length: int) -> None:
        self._disk.call("truncate", self._path, lambda: self._inode.change(Write(length, None)))

    def sync(self) -> None:
        self._disk.call("sync", self._path, self._inode.sync)

    def size(self) -> int:
        return self._disk.call("size", self._path, lambda: len(self._inode.seen))

    def has_its_name(self) -> bool:
        return self._disk.has_name(self._path, self._inode)

    def close(self) -> None:
        return


class SimulatedLock:
    """An advisory lock of a simulated disk."""

    def __init__(self, disk: SimulatedDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def try_acquire(self) -> bool:
        return self._disk.call("take", self._path, lambda: self._disk.take(self._path, self))

    def release(self) -> None:
        self._disk.give_back(self._path, self)

    def close(self) -> None:
        self._disk.give_back(self._path, self)
