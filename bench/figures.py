"""What a measurement yields: values per round and system, their medians, ratios, and whether a goal was
met.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Figure:
    """One quantity of one system, one value per round."""

    system: str
    what: str
    """Which of the measurement's quantities, for example "one by one" or "open"."""
    unit: str
    values: list[float]
    facts: dict[str, Any] = field(default_factory=dict)
    """What one must know to read the figure: recall, effort, number of fragments, how durable."""

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)


@dataclass
class Goal:
    """One promise of the issue, held against what was reached."""

    text: str
    needed: float
    reached: float | None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """None if it could not be measured."""
        if self.reached is None:
            return None
        return self.reached >= self.needed if self.at_least else self.reached <= self.needed


@dataclass
class Measurement:
    """One row of the table: figures of all systems, goals, and what a reader must know."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    command: str = ""
    taken: str = ""
    """When, and how busy the machine was before it."""

    def find(self, system: str, what: str) -> Figure | None:
        """The figure of a system, or None."""
        return next((f for f in self.figures if f.system == system and f.what == what), None)

    def value(self, system: str, what: str) -> float | None:
        """The median of a system's figure, or None."""
        figure = self.find(system, what)
        return figure.median if figure and figure.values else None

    def ratio(
        self, what: str, other: str, other_what: str | None = None, *, system: str = "carma"
    ) -> float | None:
        """Median over the rounds of system / other, value by value where both have the same rounds."""
        mine, theirs = self.find(system, what), self.find(other, other_what or what)
        if not (mine and theirs and mine.values and theirs.values):
            return None
        if len(mine.values) == len(theirs.values):
            return statistics.median(a / b for a, b in zip(mine.values, theirs.values, strict=True))
        return mine.median / theirs.median

    def want(self, text: str, needed: float, reached: float | None, *, at_least: bool = True) -> None:
        """Records a goal."""
        self.goals.append(Goal(text, needed, reached, at_least))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, medians and verdicts included."""
        out = asdict(self)
        for shape, figure in zip(out["figures"], self.figures, strict=True):
            shape["median"] = figure.median if figure.values else None
        for shape, goal in zip(out["goals"], self.goals, strict=True):
            shape["met"] = goal.met
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Measurement:
        """What `to_dict` made."""
        keep = {k: v for k, v in value.items() if k not in ("figures", "goals")}
        figures = [Figure(**{k: v for k, v in f.items() if k != "median"}) for f in value["figures"]]
        goals = [Goal(**{k: v for k, v in g.items() if k != "met"}) for g in value["goals"]]
        return cls(**keep, figures=figures, goals=goals)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0–1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
