"""Opening a memory: who it is, what a crash left behind, and a registry that can be trusted.

A process that may write takes the turn once, makes tail and mirror equal again, and brings the registry up to
date. A process that may not write touches nothing: it reads the registry as it is, or builds one in its own
memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from carma.config import Settings
from carma.errors import EncryptionUnfinished, MemoryNotFound, NotAMemory, StorageError
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk
from carma.store.encrypting import ENCRYPTING, refuse_if_encrypted
from carma.store.follow import known_last_seq
from carma.store.identity import Identity, read_identity, refuse_newer, write_identity
from carma.store.log import Cursor
from carma.store.parity import Spreads
from carma.store.record import RecordDamaged, RecordKind
from carma.store.recovery import Recovered, begin_segment, recover_segment
from carma.store.registry import Registry
from carma.store.scan import Intact, merge_copies, record_at
from carma.store.sealing import Sealing
from carma.store.segments import COPIES, Segments, is_log
from carma.store.trusted import brought_up, built, seen_whole, usable
from carma.store.turn import Turn

__all__ = ["Opened", "known_identity", "open_parts"]

_OURS = {
    "memory.json",
    "memory.json.new",
    "segments",
    "mirror",
    "parity",
    "quarantine",
    "reserve",
    "index",
    "turn",
    ENCRYPTING,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """The parts of an open store."""

    identity: Identity
    segments: Segments
    spreads: Spreads
    registry: Registry
    turn: Turn | None
    cursor: Cursor
    last_seq: int
    reopen: Callable[[Registry], Registry]
    recovered: tuple[Recovered, ...]
    closed: tuple[int, ...] = ()
    """Log segments to which nothing may be appended."""


def open_parts(
    disk: Disk,
    folder: str,
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    *,
    create: bool,
    read_only: bool,
    cipher: Cipher | None = None,
) -> Opened:
    """Open or create the memory in `folder`.

    Raises MemoryNotFound, NotAMemory, FormatTooNew, MemoryBusy, StorageError, VaultNeeded, VaultWrong,
    NotEncrypted, EncryptionUnfinished.
    """
    segments = Segments(disk, folder)
    spreads = Spreads(segments)
    identity, new = _identify(disk, folder, spreads, clock, entropy, create and not read_only, cipher)
    if not new and disk.size(f"{folder}/{ENCRYPTING}") is not None:
        raise EncryptionUnfinished("Turning this memory into an encrypted one was interrupted.")
    identity.check(cipher)
    if new:
        disk.mkdir(folder)
    segments.sealing = Sealing(cipher, identity.id)
    if read_only or not disk.writable(folder):
        return _open_read_only(disk, folder, spreads, identity)
    _make_folders(disk, folder)
    turn = Turn(disk, folder, clock, settings.turn_wait_ms)
    try:
        with turn.held():
            identity = _agreed(disk, folder, identity)
            identity.check(cipher)
            registry, named = usable(disk, segments, identity)
            seen = registry.cursor() if registry is not None else Cursor(0, 0)
            recovered = _recover_log(segments, seen)
            registry = brought_up(disk, spreads, registry, identity, named)
            cursor, last = registry.cursor(), known_last_seq(registry)
    except BaseException:
        turn.close()
        raise

    def reopen(damaged: Registry) -> Registry:
        with turn.held():
            damaged.close()
            refuse_if_encrypted(disk, folder, segments.sealing)
            other, named = usable(disk, segments, identity, but=damaged.path)
            return brought_up(disk, spreads, other, identity, named)

    told = tuple(r for r in recovered if r.mended or r.torn_bytes or r.damaged or r.closed)
    closed = tuple(r.number for r in recovered if r.closed)
    return Opened(identity, segments, spreads, registry, turn, cursor, last, reopen, told, closed)


def _make_folders(disk: Disk, folder: str) -> None:
    """Make the folders and their names durable; also those that an earlier process made, for it may have
    died.
    """
    for name in (*COPIES, "parity", "index"):
        disk.mkdir(f"{folder}/{name}")
    disk.sync_dir(folder)
    if disk.size(f"{folder}/memory.json") is None:
        # Only the first time: the folder above need not be ours to open later.
        disk.sync_dir(os.path.dirname(os.path.abspath(folder)))


def _recover_log(segments: Segments, seen: Cursor) -> tuple[Recovered, ...]:
    """Recover the log from the segment that the registry has come to."""
    found = []
    for number in [n for n in segments.numbers() if is_log(n) and n >= seen.segment]:
        found.append(recover_segment(segments, number, seen.offset if number == seen.segment else 0))
        if found[-1].closed:
            begin_segment(segments, number + 1)
    return tuple(found)


def known_identity(disk: Disk, folder: str) -> Identity | None:
    """Who the memory in `folder` is, from memory.json, else from the segments; None if there is none.

    Raises StorageError, FormatTooNew.
    """
    return _known(disk, folder, Spreads(Segments(disk, folder)))


def _known(disk: Disk, folder: str, spreads: Spreads) -> Identity | None:
    unreadable = None
    try:
        identity = read_identity(disk, folder) if disk.is_dir(folder) else None
        if identity is not None:
            told = _identity_in_log(spreads.segments)
            # A file of another memory, put here by mistake, says nothing about this one.
            return identity if told is None or told.id == identity.id else told
    except StorageError as error:
        unreadable = error
    found = _identity_in_segments(spreads)
    if found is None and unreadable is not None:
        raise unreadable
    return found


def _identify(
    disk: Disk,
    folder: str,
    spreads: Spreads,
    clock: Clock,
    entropy: Entropy,
    create: bool,
    cipher: Cipher | None,
) -> tuple[Identity, bool]:
    """Who the memory in `folder` is, and whether it is a new one."""
    found = _known(disk, folder, spreads)
    if found is not None:
        return found, False
    if cipher is not None and (spreads.segments.numbers() or spreads.segments.columns()):
        raise NotAMemory(
            f"Nothing in {folder} says any more which memory it is, and its seals name it.",
            hint="Nothing was touched. Put memory.json of a snapshot or backup of it there.",
        )
    refuse_newer(disk, folder)
    names = [name for name in disk.listdir(folder) if not name.startswith(".")]
    if set(names) - _OURS:
        raise NotAMemory(f"{folder} is not empty and is not a memory.")
    if not create:
        raise MemoryNotFound(f"There is no memory at {folder}.")
    new = Identity(id=entropy.bytes(16).hex(), created=clock.now())
    return (new.sealed_by(cipher) if cipher is not None else new), True


def _agreed(disk: Disk, folder: str, identity: Identity) -> Identity:
    """The identity that all processes share: what stands in memory.json now, else ours, written there. Needs
    the turn.
    """
    try:
        there = read_identity(disk, folder)
    except StorageError:
        return identity
    if there is None or there.id != identity.id:
        write_identity(disk, folder, identity)
        return identity
    return there


def _identity_in_log(segments: Segments) -> Identity | None:
    """Who the newest log segment says the memory is; None if its first record cannot be read."""
    log = [number for number in segments.numbers() if is_log(number)]
    for data in (segments.read_all(copy, log[-1]) for copy in COPIES) if log else ():
        try:
            item = record_at(data or b"", 0, log[-1], 0)
        except RecordDamaged:
            continue
        if item.header.kind == RecordKind.MEMORY:
            return Identity.from_payload(item.payload)
    return None


def _identity_in_segments(spreads: Spreads) -> Identity | None:
    """The newest identity that a manifest or a MEMORY record holds. Raises FormatTooNew."""
    newest: Identity | None = None
    segments = spreads.segments
    for identity in map(Identity.from_dict, spreads.identities()):
        if newest is None or identity.revision >= newest.revision:
            newest = identity
    for number in filter(is_log, segments.numbers()):
        try:
            for item in merge_copies(*segments.both(number), number):
                if isinstance(item, Intact) and item.header.kind == RecordKind.MEMORY:
                    identity = Identity.from_payload(item.payload)
                    if newest is None or identity.revision >= newest.revision:
                        newest = identity
        except StorageError:
            continue  # Another segment says the same.
    return newest


def _open_read_only(disk: Disk, folder: str, spreads: Spreads, identity: Identity) -> Opened:
    """Touch nothing: the registry as it lies there if it has seen all of the log, else one in our own
    memory.
    """
    segments = spreads.segments
    registry = seen_whole(disk, segments) or built(None, spreads, identity)

    def reopen(damaged: Registry) -> Registry:
        damaged.close()
        return built(None, spreads, identity)

    cursor, last = registry.cursor(), known_last_seq(registry)
    return Opened(identity, segments, spreads, registry, None, cursor, last, reopen, ())
