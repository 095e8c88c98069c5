"""What was handed out of a memory: exports and snapshots, noted for whoever has to give account of them.

An export or a snapshot leaves the memory's hands, and an erasure cannot reach it. So each is noted in the
ledger before its first byte is written: when, what form, where to, and for whom it was sealed. The note is
sealed and shredded with the rest. Where the memory cannot be written (read-only, a full disk) the export is
made all the same and nobody notes it: whoever saves texts from a failing disk must not be stopped. Rejected:
a list beside the memory (it would have to be encrypted, mirrored and healed a second time).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carma.errors import MemoryBusy, ReadOnlyMemory, StorageError
from carma.store.payload import pack_map, unpack_map
from carma.store.record import RecordDamaged, RecordKind
from carma.store.store import Store

if TYPE_CHECKING:
    from carma.memory.base import Base

__all__ = ["HandedOut", "handed_out", "note_access", "note_handed_out"]

_MEMBER = "handed"
_UNDER_KEY = ("archive", "snapshot")
"""Forms that hold an encrypted memory as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """Something that left the memory.

    when: seconds since the epoch. form: "jsonl", "archive", "snapshot" or "access". target: the path it was
    written to. sealed_for: the recipient's fingerprint, None if it was not sealed. under_key: whether the
    owner's data key still seals what is inside.
    """

    when: float
    form: str
    target: str
    sealed_for: str | None
    under_key: bool

    @property
    def readable_by(self) -> str:
        """Who can read it when the owner's data key is gone: "nobody", "recipient" or "anyone"."""
        if self.under_key:
            return "nobody"
        return "recipient" if self.sealed_for is not None else "anyone"


def note_handed_out(store: Store, form: str, target: str, sealed_for: bytes | None = None) -> None:
    """Note that something is about to leave the memory; without effect where it cannot be written."""
    note = [
        store.now_ms(), form, target, sealed_for.hex() if sealed_for is not None else None,
        # The memory may be encrypted later; what was handed out before is as plain as it was.
        store.sealing.cipher is not None and form in _UNDER_KEY,
    ]  # fmt: skip
    if not store.read_only:
        with suppress(StorageError, MemoryBusy, ReadOnlyMemory):
            store.append(RecordKind.LEDGER, pack_map({_MEMBER: note}))


def note_access(memory: Base, target: str, sealed_for: bytes | None = None) -> None:
    """Note that everything that is held is about to be handed to somebody, as `note_handed_out`."""
    note_handed_out(memory._store, "access", target, sealed_for)


def handed_out(memory: Base) -> list[HandedOut]:
    """What left the memory, oldest first, as far as it was noted and the notes can be read."""
    store = memory._store
    store.settle()
    sql = "SELECT seq, segment, offset, length FROM other WHERE kind = ? ORDER BY seq"
    found = []
    for row in store.rows(sql, (int(RecordKind.LEDGER),)):
        with suppress(RecordDamaged):
            note = unpack_map(store.read_entry(*row).payload).get(_MEMBER)
            if note is not None:
                time_ms, form, target, sealed_for, *under_key = note
                found.append(
                    HandedOut(
                        when=time_ms / 1000, form=form, target=target, sealed_for=sealed_for,
                        under_key=under_key == [True],
                    )
                )  # fmt: skip
    return found
