"""Turning a plain memory into an encrypted one: the decision, and what follows from it.

`reseal` writes the encrypted files beside the plain ones, under names that nobody reads, and proves them.
Then one file appears, `encrypting`: from that moment the memory is the encrypted one, and whoever opens it
with the vault goes on here. What is left to do needs no key: the new files get their names, memory.json is
replaced, and every old file is overwritten and removed. The numbers of the new files follow those of the old
ones, so none takes the place of another before it was proven, and who still follows the old log meets the
new one.

A process may die anywhere. Before the file appears nothing has happened but work for nothing; after it, this
is done again from the beginning and changes only what is not done yet. The file holds itself three times,
because it is the one thing that nothing else says.

Rejected: a copy in another folder and a rename (who has the memory open would write on into the old one),
encrypting file by file in place (half of a memory would be in each state, and each file needs its key).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from carma.errors import BecameEncrypted, EncryptionUnfinished
from carma.ports.clock import Clock, SystemClock
from carma.ports.disk import Disk, write_whole
from carma.store.identity import Identity, read_identity, write_identity
from carma.store.sealing import Sealing
from carma.store.segments import COPIES, PARITY, REWRITTEN, Segments, is_log
from carma.store.turn import Turn

__all__ = [
    "ENCRYPTING", "UNFINISHED", "Decision", "decide", "erase", "finish_encrypting", "pending_identity",
    "refuse_if_encrypted", "wipe_unfinished",
]  # fmt: skip

ENCRYPTING = "encrypting"
"""The file that says: this memory is encrypted from now on, and what was before is about to go."""
UNFINISHED = ".sealed"
"""Behind the names of files that will be those of the encrypted memory."""

_PLACES = (*COPIES, "parity", "index")
_COPY_BYTES = 4096
"""The file's copies begin this far apart, so that one bad sector costs one."""
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Decision:
    """What the memory is from now on.

    log: number of the last plain log segment. segment, spread: first numbers of the encrypted files. index:
    names of files in the index folder that stay.
    """

    identity: Identity
    log: int
    segment: int
    spread: int
    index: tuple[str, ...] = ()

    def is_old(self, number: int) -> bool:
        """Whether a file of records is one of the plain ones."""
        if number >= PARITY:
            return (number - PARITY) >> 4 < self.spread
        return number <= self.log if is_log(number) else REWRITTEN <= number < self.segment


def decide(disk: Disk, folder: str, decision: Decision) -> None:
    """Let the memory be the encrypted one. Raises StorageError; then it is not."""
    said: dict[str, Any] = {
        "identity": decision.identity.members(), "log": decision.log, "segment": decision.segment,
        "spread": decision.spread, "index": list(decision.index),
    }  # fmt: skip
    line = json.dumps(said | {"digest": _digest(said)}).encode() + b"\n"
    copy = line.ljust(-(-len(line) // _COPY_BYTES) * _COPY_BYTES, b" ")
    path = f"{folder}/{ENCRYPTING}"
    write_whole(disk, f"{path}.new", copy * 3)
    disk.rename(f"{path}.new", path)
    disk.sync_dir(folder)


def pending_identity(disk: Disk, folder: str) -> Identity | None:
    """What a memory is whose encryption was decided and not finished; None for any other.

    Raises EncryptionUnfinished (it was, and what was decided cannot be read), StorageError.
    """
    decision = _decision(disk, folder)
    return decision.identity if decision is not None else None


def finish_encrypting(
    disk: Disk, folder: str, *, clock: Clock | None = None, wait_ms: int = 10_000
) -> Decision | None:
    """Do what is left to do; None if nothing was decided. Needs no key.

    Raises MemoryBusy, StorageError, EncryptionUnfinished; then it is to be called again.
    """
    if disk.size(f"{folder}/{ENCRYPTING}") is None:
        return None
    clock = clock or SystemClock()
    turn, indexing = (Turn(disk, each, clock, wait_ms) for each in (folder, f"{folder}/index"))
    try:
        with turn.held(), indexing.held():
            decision = _decision(disk, folder)
            if decision is not None:
                _finish(disk, folder, decision)
            return decision
    finally:
        turn.close()
        indexing.close()


def refuse_if_encrypted(disk: Disk, folder: str, sealing: Sealing) -> None:
    """Raise BecameEncrypted if a memory that was opened as a plain one is encrypted now."""
    if sealing.cipher is not None:
        return
    identity = read_identity(disk, folder)
    if disk.size(f"{folder}/{ENCRYPTING}") is not None or (identity is not None and identity.encryption):
        raise BecameEncrypted("This memory was encrypted by another process.")


def wipe_unfinished(disk: Disk, folder: str) -> None:
    """Remove what an encryption left that was never decided: sealed files that say nothing."""
    for place in _PLACES:
        names = [name for name in disk.listdir(f"{folder}/{place}") if name.endswith(UNFINISHED)]
        for name in names:
            disk.unlink(f"{folder}/{place}/{name}")
        if names:
            disk.sync_dir(f"{folder}/{place}")


def erase(disk: Disk, path: str) -> None:
    """Overwrite a file with zeros, durably, and remove it. Fine if it is gone."""
    try:
        file = disk.open(path, write=True)
    except FileNotFoundError:
        return
    try:
        size = file.size()
        for at in range(0, size, _PIECE):
            file.pwrite(bytes(min(_PIECE, size - at)), at)
        file.sync()
    finally:
        file.close()
    disk.unlink(path)


def _finish(disk: Disk, folder: str, decision: Decision) -> None:
    for place in _PLACES:
        _name(disk, f"{folder}/{place}")
    write_identity(disk, folder, decision.identity)
    segments = Segments(disk, folder)
    for copy in COPIES:
        old = [n for n in segments.numbers(copy) if decision.is_old(n)]
        _erase_all(disk, f"{folder}/{copy}", (segments.path(copy, number) for number in old))
    old = [number for number in segments.columns() if decision.is_old(number)]
    _erase_all(disk, f"{folder}/parity", (segments.path("segments", number) for number in old))
    for place in (*COPIES, "parity"):
        _erase_named(disk, f"{folder}/{place}", lambda name: name.endswith(".new"))
    _erase_named(disk, f"{folder}/quarantine", lambda name: True)
    _erase_named(disk, f"{folder}/index", lambda name: name not in (*decision.index, "turn"))
    disk.unlink(f"{folder}/{ENCRYPTING}")
    disk.sync_dir(folder)


def _name(disk: Disk, folder: str) -> None:
    """Give the new files of one folder their names."""
    names = [name for name in disk.listdir(folder) if name.endswith(UNFINISHED)]
    for name in names:
        final = f"{folder}/{name.removesuffix(UNFINISHED)}"
        if folder.endswith("/index"):
            erase(disk, final)  # Only there a plain file may have the name of a new one.
        disk.rename(f"{folder}/{name}", final)
    if names:
        disk.sync_dir(folder)


def _erase_named(disk: Disk, folder: str, chosen: Callable[[str], bool]) -> None:
    _erase_all(disk, folder, (f"{folder}/{name}" for name in disk.listdir(folder) if chosen(name)))


def _erase_all(disk: Disk, folder: str, paths: Iterable[str]) -> None:
    erased = False
    for path in paths:
        erase(disk, path)
        erased = True
    if erased:
        disk.sync_dir(folder)


def _decision(disk: Disk, folder: str) -> Decision | None:
    try:
        file = disk.open(f"{folder}/{ENCRYPTING}")
    except FileNotFoundError:
        return None
    try:
        data = file.pread(file.size(), 0)
    finally:
        file.close()
    for at in range(0, len(data), _COPY_BYTES):
        try:
            said = json.loads(data[at:].partition(b"\n")[0])
            if said.pop("digest") != _digest(said):
                continue
            return Decision(
                Identity.from_dict(said["identity"]), said["log"], said["segment"], said["spread"],
                tuple(said["index"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    raise EncryptionUnfinished(
        f"{folder}/{ENCRYPTING} cannot be read: what was decided about this memory is not known.",
        hint="Put that file back from a snapshot of the file system, or restore the memory from a backup.",
    )


def _digest(said: dict[str, Any]) -> str:
    return blake3(json.dumps(said, sort_keys=True).encode()).hexdigest()
