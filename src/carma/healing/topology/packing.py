"""Discs packed closely around a first one, none overlapping, and the circle around them.

Up to a bound, a front chain: each disc goes against two neighbours of the outer ring where it touches both
and no other (W. Wang et al., "Visualization of large hierarchical data by circle packing", CHI 2006). That
ring grows with the square root of their number, so beyond the bound the rest goes in plain rings around it,
which takes linear time. A force simulation was rejected: it needs hundreds of rounds, and its result
depends on when it is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, cos, hypot, pi, sin, sqrt

__all__ = ["Disc", "around", "pack"]

Disc = tuple[float, float, float]
"""x, y and radius."""

CHAIN_AT_MOST = 500
"""Discs that are packed by the front chain; the rest goes in rings."""

_ROUNDS = 40
_SLACK = 1e-6


def pack(radii: Sequence[float]) -> list[Disc]:
    """Places discs of these radii (all positive), the first in the middle, in the given order.

    Give the larger ones first. Returns one (x, y, radius) for each, none overlapping another.
    """
    placed = _chain(radii[:CHAIN_AT_MOST])
    if len(radii) > CHAIN_AT_MOST:
        _, _, inner = around(placed)
        placed += _rings(radii[CHAIN_AT_MOST:], inner + hypot(*around(placed)[:2]))
    return placed


def around(discs: Sequence[Disc]) -> Disc:
    """A circle that holds all discs, close to the smallest one.

    The centre steps towards the farthest point by ever smaller steps (M. Bădoiu and K. Clarkson, "Smaller
    core-sets for balls", SODA 2003); the radius is then measured, so nothing sticks out.
    """
    if len(discs) == 1:
        return discs[0]
    x, y, _ = discs[0]
    if len(discs) == 2:
        (ax, ay, a), (bx, by, b) = discs
        apart = hypot(bx - ax, by - ay)
        share = min(max((apart + b - a) / (2 * apart), 0.0), 1.0)
        x, y = ax + (bx - ax) * share, ay + (by - ay) * share
    else:
        for step in range(1, _ROUNDS):
            fx, fy, r = max(discs, key=lambda d: hypot(d[0] - x, d[1] - y) + d[2])
            far = hypot(fx - x, fy - y) or 1.0
            x += (fx - x) * (1 + r / far) / (step + 1)
            y += (fy - y) * (1 + r / far) / (step + 1)
    return x, y, max(hypot(dx - x, dy - y) + r for dx, dy, r in discs)


def _chain(radii: Sequence[float]) -> list[Disc]:
    """The front chain: `after` and `before` link the discs of the outer ring by their numbers."""
    discs: list[Disc] = [(0.0, 0.0, radii[0])]
    if len(radii) > 1:
        discs.append((radii[0] + radii[1], 0.0, radii[1]))
    if len(radii) > 2:
        discs.append(_touching(discs[1], discs[0], radii[2]))
    after, before = {0: 1, 1: 2, 2: 0}, {1: 0, 2: 1, 0: 2}
    left, right = 1, 2  # the new disc goes between these
    if len(radii) > 2:
        left = 0 if hypot(*discs[0][:2]) <= hypot(*discs[1][:2]) else 1
        right = after[left]
    for number in range(3, len(radii)):
        while True:
            new = _touching(discs[left], discs[right], radii[number])
            hit, forwards = _first_hit(new, discs, after, before, left, right)
            if hit is None:
                break
            if forwards:
                right = hit
            else:
                left = hit
            after[left], before[right] = right, left
        discs.append(new)
        after[left], before[number], after[number], before[right] = number, left, right, number
        left = _nearest(discs, after, right)
        right = after[left]
    return discs


def _first_hit(
    new: Disc, discs: list[Disc], after: dict[int, int], before: dict[int, int], left: int, right: int
) -> tuple[int | None, bool]:
    """The disc of the ring that `new` would overlap, nearest along the ring; and whether it lies after
    `right`.
    """
    ahead, behind = after[right], before[left]
    walked_ahead, walked_behind = discs[right][2], discs[left][2]
    while ahead != after[behind]:
        if walked_ahead <= walked_behind:
            if _overlap(discs[ahead], new):
                return ahead, True
            walked_ahead += discs[ahead][2]
            ahead = after[ahead]
        else:
            if _overlap(discs[behind], new):
                return behind, False
            walked_behind += discs[behind][2]
            behind = before[behind]
    return None, True


def _nearest(discs: list[Disc], after: dict[int, int], start: int) -> int:
    """The disc of the ring after which the next one lies closest to the middle."""
    best, least, here = start, float("inf"), start
    while True:
        (ax, ay, a), (bx, by, b) = discs[here], discs[after[here]]
        whole = a + b
        far = ((ax * b + bx * a) / whole) ** 2 + ((ay * b + by * a) / whole) ** 2
        if far < least:
            best, least = here, far
        here = after[here]
        if here == start:
            return best


def _touching(one: Disc, two: Disc, radius: float) -> Disc:
    """A disc of this radius that touches both, on the outer side of the way from `one` to `two`."""
    (ax, ay, a), (bx, by, b) = one, two
    apart = hypot(bx - ax, by - ay)
    to_one, to_two = a + radius, b + radius
    along = (to_one * to_one - to_two * to_two + apart * apart) / (2 * apart)
    off = sqrt(max(to_one * to_one - along * along, 0.0))
    ux, uy = (bx - ax) / apart, (by - ay) / apart
    return ax + ux * along + uy * off, ay + uy * along - ux * off, radius


def _overlap(one: Disc, two: Disc) -> bool:
    return hypot(one[0] - two[0], one[1] - two[1]) < (one[2] + two[2]) * (1 - _SLACK)


def _rings(radii: Sequence[float], inner: float) -> list[Disc]:
    """Rings around a circle of radius `inner`, each as thick as its largest disc, evenly filled."""
    discs: list[Disc] = []
    begin = 0
    while begin < len(radii):
        thick = radii[begin]
        end, angles, used = begin, [], 0.0
        while end < len(radii):
            thick = max(thick, radii[end])
            wide = 2 * asin(min(1.0, radii[end] / (inner + thick)))
            if used + wide > 2 * pi and end > begin:
                break
            angles.append(wide)
            used += wide
            end += 1
        spare = max(0.0, 2 * pi - used) / len(angles)
        at = 0.0
        for radius, wide in zip(radii[begin:end], angles, strict=True):
            middle = at + (wide + spare) / 2
            discs.append(((inner + thick) * cos(middle), (inner + thick) * sin(middle), radius))
            at += wide + spare
        inner += 2 * thick
        begin = end
    return discs
