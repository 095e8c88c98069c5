"""Which pages there are: their paths, names and keys. One list for the door, the navigation and the help."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PLACES", "Place", "is_place"]


class Place(NamedTuple):
    """A page of the navigation. key: the letter that goes there."""

    path: str
    name: str
    key: str


PLACES = (
    Place("/", "Overview", "o"),
    Place("/search", "Search", "s"),
    Place("/tree", "Browse", "b"),
    Place("/topology", "Topology", "t"),
    Place("/blanks", "Blanks", "l"),
    Place("/dreams", "Dreams", "d"),
    Place("/reconstructions", "Reconstructions", "r"),
    Place("/usage", "Usage", "u"),
    Place("/keys", "Keys", "k"),
    Place("/audit", "Audit", "a"),
)
_BELOW = re.compile(r"/(tree|dreams)/[^/]+")


def is_place(path: str) -> bool:
    """Whether a page is shown at a path: one of the list, a fragment, or a dream."""
    return any(path == place.path for place in PLACES) or _BELOW.fullmatch(path) is not None
