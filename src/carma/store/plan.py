"""What a spreading takes together: pure decisions over sizes and shares.

New records go into a spread of their own, together with every spread that is not much larger than what was
gathered so far. So each record is rewritten a few times while the memory grows (once per doubling), and the
number of spreads grows with the logarithm of the memory, as in a log-structured merge tree (O'Neil et al.,
1996). Rejected: one partial spread that every rest rewrites (closing a memory after one new fragment cost
four megabytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from carma.store.manifest import Manifest

__all__ = ["Plan", "merge", "ranges"]

_MUCH_LARGER = 2
_SMALL_BYTES = 128 * 2**10
"""A spread up to this size is always merged: many small ones take more space than they save work."""
_FULL_BYTES = 24 * 2**20
"""A spread of this size is merged only when enough of it is dead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments and spreads to replace, and the numbers for what replaces them.

    segments: sealed log segments, and rewritten ones that no spread names. log: the newest log segment that
    was sealed. spread, first: numbers never used before.
    """

    segments: Sequence[int]
    spreads: Sequence[Manifest] = field(default_factory=tuple)
    log: int = 0
    spread: int = 1
    first: int = 0

    @property
    def inputs(self) -> list[int]:
        """Numbers of all files that are replaced, parity files included."""
        return [
            *self.segments,
            *(number for each in self.spreads for number in (*each.segments, *each.columns)),
        ]


def merge(
    new_bytes: int, spreads: Sequence[Manifest], dead: Mapping[int, float], dead_share: float
) -> list[Manifest]:
    """Which spreads to write anew together with `new_bytes` of new records.

    dead: the share of dead bytes of each spread, by number; at `dead_share` or more it is written anew for
    that alone (if any of it is dead).
    """
    chosen = [each for each in spreads if (share := dead.get(each.head.spread, 0.0)) and share >= dead_share]
    taken = {each.head.spread for each in chosen}
    gathered = new_bytes + sum(each.bytes for each in chosen)
    for each in sorted(spreads, key=lambda each: each.bytes):
        if each.head.spread in taken or not gathered or each.bytes >= _FULL_BYTES:
            continue
        if each.bytes > max(_MUCH_LARGER * gathered, _SMALL_BYTES):
            break
        chosen.append(each)
        gathered += each.bytes
    return sorted(chosen, key=lambda each: each.head.spread)


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as ascending [first, last] pairs."""
    out: list[list[int]] = []
    for number in sorted(set(numbers)):
        if out and out[-1][1] == number - 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return out
