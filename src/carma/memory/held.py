"""Everything that a memory holds, as an export writes it, for whoever reports on it or decides over it.

No verb of `Memory`: `export` is the verb, and this is what it writes, without the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from carma.healing import dreamlog
from carma.memory.exporting import export_values
from carma.reports import DreamReport

if TYPE_CHECKING:
    from carma.memory.memory import Memory

__all__ = ["dreamt", "held"]


def dreamt(memory: Memory) -> list[DreamReport]:
    """Every repair cycle that is still known, with its steps, newest first."""
    return dreamlog.dreams(memory._store, -1, steps=True)


def held(memory: Memory, *, history: bool = True) -> Iterator[dict[str, Any]]:
    """One mapping about the memory, then one for each fragment in the order of writing; those that expired
    too.

    history: also older versions and what was deleted, as long as its bytes are there.
    """
    return export_values(memory._parts, history)
