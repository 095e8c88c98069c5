"""Where each fragment of a topology lies: every subtree is a disc, and discs are packed around their
parent.

A fragment's leaves surround it like the seeds of a sunflower (H. Vogel, "A better way to construct the
sunflower head", Mathematical Biosciences 44, 1979); its larger children follow as discs of their own. So
siblings lie together, no two fragments meet, the picture is as dense at 30,000 fragments as at ten, and it
takes time linear in their number but for the packing. A radial tree was rejected: it puts nearly all
fragments on one ring. A force layout was rejected: it is slow, and tens of thousands of fragments become a
ball of wool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from carma.healing.topology.packing import around, pack
from carma.reports import Spot, Topology

__all__ = ["Arrangement", "Positions", "arrange", "layout"]

Positions = NDArray[np.float64]

_GOLDEN = pi * (3 - sqrt(5))
_SEED = 0.62  # neighbouring seeds lie 1.0 to 1.1 apart
_RIM = 0.3  # free space around a group of leaves
_GAP = 0.12  # free space around a subtree; a part of its size would double deep trees with every few levels


@dataclass(frozen=True, slots=True)
class Arrangement:
    """positions: (n, 2). centres (n, 2) and radii (n): of the disc of each fragment's subtree; 0 for a
    leaf.
    """

    positions: Positions
    centres: Positions
    radii: NDArray[np.float64]


def layout(topology: Topology, *, seed: int = 0) -> Positions:
    """Positions of the spots, in their order, as an (n, 2) array around (0, 0); nearest neighbours are
    about 1 apart.

    The same topology and seed give the same positions. A spot whose parent is not there counts as a root; a
    cycle of parents is opened at its first spot. `seed` turns the groups of leaves.
    """
    return arrange(topology, seed=seed).positions


def arrange(topology: Topology, *, seed: int = 0) -> Arrangement:
    """As `layout`, with the disc of every subtree."""
    count = len(topology.spots)
    children, order = _family(topology.spots)
    turns = np.random.default_rng(seed).random(count + 1) * 2 * pi
    offsets = np.zeros((count + 1, 2))  # from the centre of the parent's disc to that of the own one
    own = np.zeros((count + 1, 2))  # from the centre of the own disc to the spot
    radii = np.zeros(count + 1)
    for node in reversed(order):
        below = children[node]
        if not below:
            continue
        leaves = [child for child in below if not children[child]]
        groups = sorted((child for child in below if children[child]), key=lambda child: -radii[child])
        seeds = _sunflower(len(leaves), turns[node])
        middle = _RIM + _SEED * sqrt(len(leaves) + (1 if node < count else 0))
        discs = pack([middle, *(radii[child] for child in groups)])
        x, y, radius = around(discs)
        turn = _turned(turns[node])
        placed = (np.array([disc[:2] for disc in discs]) - (x, y)) @ turn
        own[node] = placed[0]
        offsets[leaves] = seeds + placed[0]
        offsets[groups] = placed[1:]
        radii[node] = radius + _GAP
    centres = np.zeros((count + 1, 2))
    for node in order:
        if children[node]:
            centres[children[node]] = centres[node] + offsets[children[node]]
    return Arrangement((centres + own)[:count], centres[:count], radii[:count])


def _family(spots: Sequence[Spot]) -> tuple[list[list[int]], list[int]]:
    """The children of each spot by number, the last entry being those of the root above all; and parents
    before children.
    """
    root = len(spots)
    number = {spot.id: place for place, spot in enumerate(spots)}
    parents = [root if spot.parent is None else number.get(spot.parent, root) for spot in spots]
    children: list[list[int]] = [[] for _ in range(root + 1)]
    for place, parent in enumerate(parents):
        children[parent].append(place)
    order, seen = _downwards(children, [root], [False] * (root + 1))
    for place, met in enumerate(list(seen)):
        if not met and not seen[place]:  # in or below a cycle
            children[parents[place]].remove(place)
            children[root].append(place)
            order += _downwards(children, [place], seen)[0]
    return children, order


def _downwards(children: list[list[int]], begin: list[int], seen: list[bool]) -> tuple[list[int], list[bool]]:
    order, row = [], begin
    for node in begin:
        seen[node] = True
    while row:
        order += row
        row = [child for node in row for child in children[node] if not seen[child]]
        for child in row:
            seen[child] = True
    return order, seen


def _sunflower(count: int, turn: float) -> Positions:
    """`count` seeds around an empty middle, the first ones innermost."""
    rank = np.arange(1, count + 1)
    angle = rank * _GOLDEN + turn
    radius = _SEED * np.sqrt(rank + 0.5)
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))


def _turned(angle: float) -> Positions:
    return np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
