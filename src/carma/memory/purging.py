"""Removing the bytes of what was deleted, for whoever has to answer for it.

`delete(purge=True)` purges after one deletion. Whoever deletes many purges once behind all of them; and a
process that died between the two, or within the purge, leaves bytes that nobody names any more. The registry
knows up to which deletion the files were scrubbed; one that was made anew does not, and then it is done
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carma.memory.base import Base

__all__ = ["purge_deleted", "unpurged"]

_UNPURGED = """
SELECT count(*) FROM fragments old WHERE NOT live AND kind <> 'tombstone'
AND NOT EXISTS (SELECT 1 FROM fragments new WHERE new.id = old.id AND new.live)
"""
_NEWEST = "SELECT coalesce(max(seq), 0) FROM fragments WHERE kind = 'tombstone'"


def unpurged(memory: Base) -> int:
    """How many versions of deleted fragments have bytes in the files."""
    memory._store.settle()
    return int(memory._store.registry.rows(_UNPURGED)[0][0])


def purge_deleted(memory: Base) -> int:
    """Remove every byte of what was deleted, unless that was done; how many versions went.

    Raises MassDamage, MemoryBusy, ReadOnlyMemory, StorageError.
    """
    before = unpurged(memory)
    registry = memory._store.registry
    if not before and int(registry.rows(_NEWEST)[0][0]) <= int(registry.state("scrubbed") or 0):
        return 0
    memory._upkeep.purge()
    return before - unpurged(memory)
