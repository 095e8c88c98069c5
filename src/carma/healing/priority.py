"""Which loss is repaired first: a pure function, and what it needs to know of a memory.

Fewest spare shards first, because a stripe without one does not outlive the next bad sector. Then what is
referenced most (children, threads, the last reads that met the loss), because its loss is felt most. Then the
oldest.

The three stand in one number, so that a reader of a blank can compare: the digits of the first, then of the
second, then of the third, 53 bits in all, which a float holds exactly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from carma.store.store import Store

__all__ = ["MOST_COUNTED", "MOST_SPARE", "Threads", "priority", "references"]

Threads = Callable[[Sequence[int]], Mapping[int, int]]
"""How many threads begin at some writes, by their numbers, as far as their vectors are left."""
MOST_COUNTED = 256
"""Of so many losses at most the threads are counted, which takes a search for each; of more, of none."""

MOST_SPARE = 8
"""Spare shards of a stripe at most; nothing is less urgent than having them all."""

_LEAST_SPARE = -55
_REFERENCE_BITS = 15
_AGE_BITS = 32
_CHILDREN = """
SELECT parent, count(*) FROM fragments WHERE live AND parent IN
(SELECT unhex(value) FROM json_each(?)) GROUP BY parent
"""


def priority(spare: int, references: int, created_s: float) -> float:
    """How urgent a repair is: 0 to 64, higher first.

    spare: shards of the stripe that could still be lost without a loss; below 0 where it is lost already, and
    where the fragment has no stripe. references: how many others point at it. created_s: seconds since the
    epoch. A higher number always has fewer spare shards, or as many and more references, or as many of both
    and is older (by whole seconds; 32,767 references and more count the same).
    """
    urgency = MOST_SPARE - max(min(spare, MOST_SPARE), _LEAST_SPARE)
    felt = max(min(references, (1 << _REFERENCE_BITS) - 1), 0)
    latest = (1 << _AGE_BITS) - 1
    age = latest - max(min(int(created_s), latest), 0)
    digits = ((urgency << _REFERENCE_BITS | felt) << _AGE_BITS) | age
    return digits / (1 << _REFERENCE_BITS + _AGE_BITS)


def references(
    store: Store,
    writes: Mapping[bytes, int],
    *,
    threads: Threads | None = None,
    reads: Mapping[str, int] | None = None,
) -> dict[bytes, int]:
    """How many live fragments stand below each of these or are joined to it, and how often it was asked for.

    writes: the number of the newest write of each, by its id. reads: by id in hexadecimal.
    """
    rows = store.registry.rows(_CHILDREN, (json.dumps([id.hex() for id in writes]),))
    found: Counter[bytes] = Counter(dict(rows))
    for id in writes:
        found[id] += (reads or {}).get(id.hex(), 0)
    if threads is not None and len(writes) <= MOST_COUNTED:
        joined = threads(list(writes.values()))
        for id, seq in writes.items():
            found[id] += joined.get(seq, 0)
    return {id: found[id] for id in writes}
