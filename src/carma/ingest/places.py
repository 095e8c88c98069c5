"""Positions of siblings: who was there keeps its number, who is new gets one in between."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["ascending", "places"]


def ascending(positions: Sequence[float | None]) -> list[float | None]:
    """The longest strictly ascending choice of the given positions; all others become None."""
    tops: list[float] = []
    at: list[int] = []
    before: dict[int, int] = {}
    for index, position in enumerate(positions):
        if position is None:
            continue
        pile = bisect_left(tops, position)
        before[index] = at[pile - 1] if pile else -1
        tops[pile : pile + 1] = [position]
        at[pile : pile + 1] = [index]
    stay: list[float | None] = [None] * len(positions)
    index = at[-1] if at else -1
    while index >= 0:
        stay[index] = positions[index]
        index = before[index]
    return stay


def places(stay: Sequence[float | None]) -> list[float]:
    """A strictly ascending position for every sibling.

    stay: ascending positions of those that have one, None for the others.

    Where the numbers between two neighbours run out, all are numbered anew from 1.
    """
    found: list[float] = []
    at = 0
    while at < len(stay):
        stop = at
        while stop < len(stay) and stay[stop] is None:
            stop += 1
        found += _between(found[-1] if found else None, stay[stop] if stop < len(stay) else None, stop - at)
        if stop < len(stay):
            found.append(float(stay[stop] or 0.0))
        at = stop + 1
    if any(left >= right for left, right in pairwise(found)):
        return [float(number) for number in range(1, len(stay) + 1)]
    return found


def _between(low: float | None, high: float | None, count: int) -> list[float]:
    if low is None and high is None:
        low = 0.0
    if high is None:
        assert low is not None
        return [low + 1.0 + index for index in range(count)]
    if low is None:
        return [high - count + index for index in range(count)]
    step = (high - low) / (count + 1)
    return [low + step * (index + 1) for index in range(count)]
