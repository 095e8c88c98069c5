"""Where the fragments of a topology lie: apart, near their parents, the same every time, and soon."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.healing.topology import layout
from carma.healing.topology.layout import arrange
from carma.healing.topology.packing import CHAIN_AT_MOST, around, pack
from carma.reports import Spot, Topology
from tests.healing.made_topologies import grown


@pytest.mark.parametrize("count", [0, 1, 2, 14, 363, 3000])
def test_every_fragment_has_a_place_of_its_own(count: int) -> None:
    """Positions are finite, one for each fragment, and no two are closer than half a fragment's room."""
    places = layout(grown(count))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert _closest(places) > 0.5


def test_the_same_topology_gives_the_same_places() -> None:
    """The layout depends on the topology and the seed, and on nothing else."""
    one, again = layout(grown(300), seed=5), layout(grown(300), seed=5)
    assert np.array_equal(one, again)
    assert not np.allclose(one, layout(grown(300), seed=6))


def test_children_lie_near_their_parent() -> None:
    """Every subtree lies in its disc, and parents are much nearer to their children than fragments are to
    each other.
    """
    topology = grown(2000)
    found = arrange(topology)
    number = {spot.id: n for n, spot in enumerate(topology.spots)}
    pairs = np.array([(n, number[s.parent]) for n, s in enumerate(topology.spots) if s.parent])
    for child, parent in pairs:
        apart = np.hypot(*(found.positions[child] - found.centres[parent]))
        assert apart <= found.radii[parent] + 1e-6
    to_parent = np.hypot(*(found.positions[pairs[:, 0]] - found.positions[pairs[:, 1]]).T)
    order = np.random.default_rng(0).permutation(len(pairs))
    to_any = np.hypot(*(found.positions[pairs[:, 0]] - found.positions[pairs[order, 1]]).T)
    assert np.median(to_parent) < np.median(to_any) / 4


def test_subtrees_of_one_parent_do_not_overlap() -> None:
    """The discs of siblings lie beside each other, and those of the roots too."""
    topology = grown(2000)
    found = arrange(topology)
    families: dict[str | None, list[int]] = {}
    for n, spot in enumerate(topology.spots):
        if found.radii[n] > 0:
            families.setdefault(spot.parent, []).append(n)
    checked = 0
    for family in families.values():
        for a in family:
            for b in family:
                if a < b:
                    apart = np.hypot(*(found.centres[a] - found.centres[b]))
                    assert apart >= found.radii[a] + found.radii[b] - 1e-6
                    checked += 1
    assert checked > 100


@given(st.lists(st.floats(0.05, 50), min_size=1, max_size=60))
@settings(deadline=None)
def test_packed_discs_never_overlap(radii: list[float]) -> None:
    """Whatever their sizes and order, discs lie apart, and the circle around them holds them all."""
    discs = np.array(pack(radii))
    assert discs[:, 2].tolist() == radii
    apart = np.hypot(*(discs[:, None, :2] - discs[None, :, :2]).transpose(2, 0, 1))
    least = discs[:, None, 2] + discs[None, :, 2]
    np.fill_diagonal(apart, np.inf)
    assert (apart >= least * (1 - 1e-5)).all()
    x, y, radius = around([tuple(disc) for disc in discs.tolist()])
    assert (np.hypot(discs[:, 0] - x, discs[:, 1] - y) + discs[:, 2] <= radius * (1 + 1e-9)).all()


def test_more_discs_than_the_chain_takes_do_not_overlap_either() -> None:
    """Beyond the bound the rest lies in rings around the chain."""
    chance = random.Random(2)
    radii = sorted((chance.uniform(0.5, 4) for _ in range(CHAIN_AT_MOST + 400)), reverse=True)
    discs = np.array(pack(radii))
    apart = np.hypot(*(discs[:, None, :2] - discs[None, :, :2]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert (apart >= (discs[:, None, 2] + discs[None, :, 2]) * (1 - 1e-5)).all()


def test_a_cycle_and_a_lost_parent_are_laid_out() -> None:
    """Fragments whose parents form a cycle, point to themselves or to nothing each get a place."""

    def spot(name: str, parent: str | None) -> Spot:
        return Spot(id=name, label=name, kind="note", state="intact", level=0, parent=parent)

    topology = Topology(
        spots=(
            spot("a", "b"),
            spot("b", "c"),
            spot("c", "a"),
            spot("self", "self"),
            spot("orphan", "gone"),
            spot("below", "c"),
            spot("root", None),
        )
    )
    places = layout(topology)
    assert np.isfinite(places).all()
    assert _closest(places) > 0.5


@pytest.mark.parametrize("shape", ["grown", "flat", "pairs", "chain"])
def test_laying_out_thirty_thousand_takes_seconds_at_most(shape: str) -> None:
    """A tree, a heap without parents, 15,000 pairs, and a chain as long as the recursion limit would never
    take.
    """
    topology = {
        "grown": lambda: grown(30_000),
        "flat": lambda: _linked(30_000, lambda n: None),
        "pairs": lambda: _linked(30_000, lambda n: n - 1 if n % 2 else None),
        "chain": lambda: _linked(5_000, lambda n: n - 1 if n else None),
    }[shape]()
    begun = time.process_time()
    places = layout(topology)
    assert time.process_time() - begun < 10
    assert np.isfinite(places).all()
    assert np.ptp(places, axis=0).max() < 20_000


def _linked(count: int, parent_of: Any) -> Topology:
    parents = [parent_of(n) for n in range(count)]
    return Topology(
        spots=tuple(
            Spot(
                id=str(n),
                label="",
                kind="note",
                state="intact",
                level=0,
                parent=None if p is None else str(p),
            )
            for n, p in enumerate(parents)
        )
    )


def _closest(places: Any) -> float:
    least = float("inf")
    for n in range(1, len(places)):
        least = min(least, float(np.hypot(*(places[:n] - places[n]).T).min()))
    return least
