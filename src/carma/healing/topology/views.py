"""Several moments of one memory as one set of fragments: "before", "damaged", "after" with the same
positions.

What is the same at every moment is said once; each moment, a *view*, keeps the states and what differs. So
three moments of 30,000 fragments take little more room than one, and a fragment stays where it is when the
view changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from carma.errors import InvalidInput
from carma.models import State
from carma.reports import Spot, Topology

__all__ = ["STATES", "Topologies", "View", "Views", "named", "united"]

STATES: tuple[State, ...] = get_args(State)
"""In the order of every legend."""

Topologies = Topology | Mapping[str, Topology]
"""One topology, or several by title."""

_MOST_VIEWS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One moment. spots: its own spots by their place in `Views.union.spots`; counts: fragments by state."""

    title: str
    topology: Topology
    spots: Mapping[int, Spot]
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """All moments, and `union`: every fragment that any of them holds, once, as the first one that has it
    shows it.
    """

    union: Topology
    places: Mapping[str, int]
    views: tuple[View, ...]


def named(topologies: Topologies) -> dict[str, Topology]:
    """The topologies by title; a single one is "now". Raises InvalidInput for none, or more than nine."""
    found = {"now": topologies} if isinstance(topologies, Topology) else dict(topologies)
    if not 0 < len(found) <= _MOST_VIEWS:
        raise InvalidInput(f"{len(found)} topologies: one to {_MOST_VIEWS} can be shown together")
    return found


def united(topologies: Topologies) -> Views:
    """Joins topologies by the ids of their fragments. Raises InvalidInput as `named`, or if an id occurs
    twice in one.
    """
    given = named(topologies)
    first: dict[str, Spot] = {}
    for topology in given.values():
        for spot in topology.spots:
            first.setdefault(spot.id, spot)
    places = {name: place for place, name in enumerate(first)}
    views = []
    for title, topology in given.items():
        counts = dict.fromkeys(STATES, 0)
        for spot in topology.spots:
            counts[spot.state] += 1
        spots = {places[spot.id]: spot for spot in topology.spots}
        if len(spots) != len(topology.spots):
            raise InvalidInput(f"topology {title!r} holds a fragment twice")
        views.append(View(title=title, topology=topology, spots=spots, counts=counts))
    return Views(union=Topology(spots=tuple(first.values())), places=places, views=tuple(views))
