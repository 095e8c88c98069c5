"""The breaker: after mass damage nothing is dropped any more until a person has looked.

A failing controller or a wrong mount looks like a memory that is mostly dead; compaction and sweeping would
then finish what the fault began. Repairs that are proven by digest go on, and so do flagged reconstructions.

It is a LEDGER record ({"breaker": true}) that the registry mirrors, so it outlives both the process and the
index. Rejected: refusing repairs too (Ceph does above a limit; here every exact repair proves itself and
keeps the original).
"""

from __future__ import annotations

from carma.store.payload import pack_map
from carma.store.record import RecordKind
from carma.store.store import Store

__all__ = ["FEWEST_RECORDS", "clear", "mass_damage", "trip", "tripped"]

FEWEST_RECORDS = 20
"""So many records, one full stripe, must be damaged before their share counts: two of a hundred are no
mass damage."""


def mass_damage(files: int, damaged: int, records: int, most_files: int, share: float) -> bool:
    """Whether what one pass of the beacon found is more than single faults.

    files: with damage in them (the two copies of a log segment are one); damaged: records that their own
    place does not hold any more; records: that there should be. Damage that the ledger knew before does not
    count: a memory that lives with its blanks would trip for ever. most_files, share:
    `Settings.breaker_segments` and `breaker_share`.
    """
    return files > most_files or (damaged >= FEWEST_RECORDS and damaged > share * records)


def tripped(store: Store) -> bool:
    """Whether the breaker is open: nothing may be compacted, dropped or purged."""
    return bool(store.registry.state("breaker"))


def trip(store: Store) -> bool:
    """Open the breaker; whether it was closed. Raises ReadOnlyMemory, MemoryBusy, StorageError."""
    return _set(store, True)


def clear(store: Store) -> bool:
    """Close the breaker; whether it was open. Raises ReadOnlyMemory, MemoryBusy, StorageError."""
    return _set(store, False)


def _set(store: Store, wanted: bool) -> bool:
    store.settle()
    if tripped(store) == wanted:
        return False
    store.append(RecordKind.LEDGER, pack_map({"breaker": wanted}))
    store.settle()
    return True
