"""The tour: in which order the beacon looks, and where it goes on. Pure; files are only names here.

What was proven longest ago comes first. Among files of the same age the tour begins at a random place, so
that a process that never lives for a whole tour still gets everywhere in the end. Damage seldom comes alone:
after a hit the rest of the group (the spread: its files are each other's redundancy) is next.

After TigerBeetle's `grid_scrubber.zig` (a tour with a random origin). Rejected: a fixed order (the end of it
would be looked at least), the time of day as age (a clock that was set back would freeze the order; tours are
numbered instead).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Stop", "Tour"]


class Stop(NamedTuple):
    """Something to look at. name: unique; group: what is likely to be damaged together ("": nothing)."""

    name: str
    group: str = ""


class Tour:
    """One way round all stops.

    seen: by name the number of the last tour that found the stop whole. hit: names of this tour's stops that
    were looked at and were not. A tour that was broken off goes on if it is given its own number again.
    origin: 0 to 1, where to begin among stops of one age.
    """

    def __init__(
        self,
        stops: Sequence[Stop],
        number: int = 1,
        seen: Mapping[str, int] | None = None,
        hit: Iterable[str] = (),
        origin: float = 0.0,
    ) -> None:
        names = {stop.name for stop in stops}
        self._stops = list(stops)
        self.number = number
        self.seen = {name: tour for name, tour in (seen or {}).items() if name in names}
        self.hit = [name for name in hit if name in names]
        done = set(self.hit)
        left = [s for s in stops if s.name not in done and self.seen.get(s.name, 0) < number]
        self._left = _ordered(left, self.seen, origin)

    @property
    def left(self) -> int:
        """Stops still to come."""
        return len(self._left)

    def next(self) -> Stop | None:
        """The stop to look at now; None when the tour is round. The same until `done` is told of it."""
        return next(iter(self._left.values()), None)

    def done(self, stop: Stop, whole: bool) -> None:
        """The stop was looked at. Unless it was whole, its group is next."""
        self._left.pop(stop.name, None)
        if whole:
            self.seen[stop.name] = self.number
            return
        self.seen.pop(stop.name, None)
        self.hit.append(stop.name)
        if stop.group:
            mates = [other for other in self._left.values() if other.group == stop.group]
            rest = [other for other in self._left.values() if other.group != stop.group]
            self._left = {other.name: other for other in (*mates, *rest)}

    def again(self, group: str) -> None:
        """Put the stops of a group that were found whole in this tour in front once more, for a closer
        look.
        """
        back = [s for s in self._stops if s.group == group and self.seen.get(s.name) == self.number]
        for stop in back:
            del self.seen[stop.name]
        self._left = {stop.name: stop for stop in (*back, *self._left.values())}


def _ordered(stops: Sequence[Stop], seen: Mapping[str, int], origin: float) -> dict[str, Stop]:
    ages: dict[int, list[Stop]] = {}
    for stop in stops:
        ages.setdefault(seen.get(stop.name, 0), []).append(stop)
    out: dict[str, Stop] = {}
    for age in sorted(ages):
        same = ages[age]
        start = min(int(origin * len(same)), len(same) - 1)
        out.update((stop.name, stop) for stop in (*same[start:], *same[:start]))
    return out
