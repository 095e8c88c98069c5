"""Which of several guesses is kept: one number for each text, from its sketch and from what stands around it.

The idea: first how much of what the sketch kept a text has, without the names, numbers and dates that it has
and the lost text had not: a sketch keeps those first, so where it holds little words too, it holds all of
them. Among texts that are equal in this, four small things decide: the order of the terms, the length that
the sketch remembers, how much the text runs like its neighbours, and names written as they write them. So a
running text with all terms outranks the bare list of them. Where no sketch is left a text that was written
for the place outranks sentences copied to it, if it lies as near to its neighbours as they to each other.
Rejected: a language model as its own judge; and adding up all of these with weights, where three little
things would buy a wrong name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from carma.healing.context import Nearby, spellings
from carma.healing.guide import bits_of
from carma.healing.language import language
from carma.healing.selection import Embed
from carma.healing.sketch import Sketch
from carma.healing.telling import Kind, kinds_of
from carma.healing.terms import pieces_of
from carma.healing.units import Unit, units_of

__all__ = ["MOST_GUESSED", "belongs", "invented", "order", "says", "worth"]

MOST_GUESSED = 0.99
"""What a text is worth at most by its terms, where the sketch did not keep all of the lost text's."""
_TIE = 0.009
"""What the small things are worth together."""
_LITTLE_KEPT = 3
"""With so many little words or signs a sketch holds every name, number and date."""
_NEIGHBOURS = 5
_MOST_CHARACTERS = 2_000
"""Of each neighbour."""
_RUNNING = 0.4
"""The share of expected pieces in English talk, where there is no neighbour to compare with."""


def says(sketch: Sketch | None) -> bool:
    """Whether a sketch says anything that a text can be held against."""
    return sketch is not None and (
        sketch.whole or bool(sketch.signs) or any(one.word for one in sketch.units)
    )


def worth(sketch: Sketch, near: float, text: str, nearest: Sequence[Nearby]) -> float:
    """What a text is worth against a sketch: -1 to below 1, higher is better.

    near: by `guide.score`. nearest: what surrounded the lost text, the nearest first. The first two digits
    are the share of telling terms (or, where there are signs, `near`), less what was invented; the rest
    orders equals.
    """
    known = spellings(nearest)
    base = near if sketch.signs else _share(sketch, text, known)
    foreign, named = _foreign(sketch, text, nearest, known)
    if foreign and base > 0:
        base *= 1 - foreign / named
    units, _ = units_of(text)
    length = min(len(units), sketch.total) / max(len(units), sketch.total, 1)
    running = order(sketch.units, units) * (length + _running(units, nearest))
    small = (running + _spelt(units, known)) / 3
    return min(base, MOST_GUESSED) + _TIE * small


def belongs(text: str, nearest: Sequence[Nearby], embed: Embed) -> float:
    """What a text is worth where no sketch says anything: 0 if it does not belong here, else a little more.

    It belongs if it invents no name, number or date, and lies as near to the middle of its neighbours as most
    of them lie to the middle of the others. Two neighbours at least are needed. Raises EmbedderError.
    """
    among = nearest[:_NEIGHBOURS]
    if len(among) < 2 or invented(None, text, nearest):
        return 0.0
    vectors = embed([text, *(one.text[:_MOST_CHARACTERS] for one in among)])
    total = vectors[1:].sum(axis=0)
    usual = sorted(_cosine(each, total - each) for each in vectors[1:])[(len(among) - 1) // 4]
    if _cosine(vectors[0], total) < usual:
        return 0.0
    return _TIE * (1 + _running(units_of(text)[0], nearest)) / 2


def invented(sketch: Sketch | None, text: str, nearest: Sequence[Nearby]) -> int:
    """How many names, numbers and dates of a text the lost one cannot have had, or nothing suggests."""
    return _foreign(sketch, text, nearest, spellings(nearest))[0]


def order(terms: Sequence[Unit], units: Sequence[Unit]) -> float:
    """The share of terms that stand in a text in their order, 0 to 1; 1 where there are none."""
    places: dict[str, list[int]] = {}
    for at, unit in enumerate(units):
        places.setdefault(unit.plain, []).append(at)
    ends: list[
        int
    ] = []  # Of the longest rising rows of places so far, by length, where they end at the least.
    for term in terms:
        for at in reversed(places.get(term.plain, ())):
            slot = bisect_left(ends, at)
            ends[slot : slot + 1] = [at]
    return len(ends) / len(terms) if terms else 1.0


def _share(sketch: Sketch, text: str, names: dict[str, tuple[str, str]]) -> float:
    """The share of the sketch's telling words that a text has, by their cost in bits, 0 to 1."""
    kinds = kinds_of(sketch.units, names)
    pairs = [(unit, kind) for unit, kind in zip(sketch.units, kinds, strict=True) if unit.word]
    told = [unit for unit, kind in pairs if kind < Kind.LITTLE] or [unit for unit, _ in pairs]
    wanted = Counter(unit.plain for unit in told)
    has = Counter(unit.plain for unit in units_of(text)[0] if unit.word)
    total = bits_of(wanted)
    return bits_of(wanted & has) / total if total else 0.0


def _foreign(
    sketch: Sketch | None, text: str, nearest: Sequence[Nearby], names: dict[str, tuple[str, str]]
) -> tuple[int, int]:
    """How many names, numbers and dates of a text nothing suggests, and how many it has."""
    units, _ = units_of(text)
    found = [unit.plain for unit, kind in zip(units, kinds_of(units), strict=True) if kind <= Kind.DATE]
    allowed: set[str] = set()
    complete = False
    if sketch is not None:
        allowed = {unit.plain for unit in sketch.units}
        complete = sum(kind >= Kind.LITTLE for kind in kinds_of(sketch.units, names)) >= _LITTLE_KEPT
    if found and not complete:
        allowed |= {unit.plain for one in nearest for unit in units_of(one.text[:_MOST_CHARACTERS])[0]}
    return sum(plain not in allowed for plain in found), len(found)


def _running(units: Sequence[Unit], nearest: Sequence[Nearby]) -> float:
    """How much a text runs as its neighbours do, 0 to 1: the share of pieces that often
    follow what stands before them."""
    others = [_expected(units_of(one.text[:_MOST_CHARACTERS])[0]) for one in nearest[:_NEIGHBOURS]]
    usual = fmean(others) if others else _RUNNING
    return min(1.0, _expected(units) / usual) if usual > 0 else 1.0


def _expected(units: Sequence[Unit]) -> float:
    """The share of pieces that often follow what stands before them, 0 to 1; each pair counts once."""
    model = language()
    before: list[int] = []
    pairs: set[tuple[int, int]] = set()
    for unit in units:
        for piece in pieces_of(unit.written):
            if model.expects(piece, before):
                pairs.add((before[-1] if before else -1, piece))
            before.append(piece)
    return len(pairs) / max(len(before), 1)


def _spelt(units: Sequence[Unit], names: dict[str, tuple[str, str]]) -> float:
    """The share of words that stand with the capitals which the context gives them, 0 to 1."""
    met = sum(unit.plain in names and unit.written == names[unit.plain][0] for unit in units)
    return met / max(len(units), 1)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    size = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(one @ other) / size if size > 0 else 0.0
