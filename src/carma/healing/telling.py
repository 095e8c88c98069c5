"""Which terms of a text tell most: names, numbers and dates first, then the text from its beginning.

The idea: what a model of language could not guess is what has to be kept; and a name or a number cannot be
guessed at all. What is a name is decided by case evidence, with rules that can be read. Rejected: rarest
first (names and numbers were then recalled at 0.40, because what is rare in a language is not always telling)
and a tagger, which is a model of 60 MB for one bit of each word.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from carma.healing.language import language
from carma.healing.terms import pieces_of
from carma.healing.units import Case, Unit, case_of

__all__ = ["Kind", "keep_order", "kinds_of", "little"]

# fmt: off
_MONTHS_AND_DAYS = frozenset((
    "january", "february", "march", "april", "june", "july", "august", "september", "october", "november",
    "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
))
_NUMBER_WORDS = frozenset((
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty",
    "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "billion",
))
# fmt: on
_ENDS = frozenset(".!?")
_LITTLE_BITS = 10.0  # a word that costs less is among the commonest, and says little
_SIGN_LATER = 0.3
_NO_NAME = frozenset({"i", "ok", "okay"})


class Kind(IntEnum):
    """What a term is, most telling first."""

    NAME = 0
    NUMBER = 1
    DATE = 2
    WORD = 3
    LITTLE = 4
    SIGN = 5


def kinds_of(units: Sequence[Unit], names: Collection[str] = ()) -> list[Kind]:
    """The kind of each unit of a text.

    A number has a digit or is a number word from two up. A date is the name of a month or a day of the week.
    A name is a word with a capital (not "I") that cannot owe it to its place: not at the beginning of a
    sentence; or in capitals altogether; or a word that is not among the commonest, followed by another
    capital; or a speaker before a colon; or written with a capital inside a sentence elsewhere in this text;
    or one of `names` (lower case).
    """
    looks = [_look(unit.written) for unit in units]
    begins = _beginnings(units, looks)
    inside = {
        look.plain for look, begin in zip(looks, begins, strict=True) if not begin and look.capital
    } | set(names)
    return [
        _kind(units, looks, at, begins[at], inside) if look.capital else look.bare
        for at, look in enumerate(looks)
    ]


def keep_order(units: Sequence[Unit], kinds: Sequence[Kind], *, crowded: bool = False) -> list[int]:
    """The places of the units in the order in which they are worth keeping.

    crowded: names, numbers and dates would leave next to no room for anything else, as in a table of figures.
    Then each of them counts once, and after every two comes one term of the running text: a row of numbers
    alone says less.

    Names, numbers and dates first; then all others from the beginning on, commas, quotes and brackets as if
    they stood three tenths of the text later. A running text with its little words means more to reader and
    embedder than the rare words of a longer stretch (measured by `bench/reconstruction.py`).
    """
    late = _SIGN_LATER * len(units)
    named = [at for at, kind in enumerate(kinds) if kind <= Kind.DATE]
    again: set[int] = set()
    if crowded:
        first = {units[at].plain: at for at in reversed(named)}
        again = set(named) - set(first.values())
        named = sorted(first.values())
    rest = [
        (at + late if at in again or _inner_sign(units[at], kind) else float(at), at)
        for at, kind in enumerate(kinds)
        if kind > Kind.DATE or at in again
    ]
    running = [at for _, at in sorted(rest)]
    if not crowded:
        return named + running
    pairs = [named[at : at + 2] + running[at // 2 : at // 2 + 1] for at in range(0, len(named), 2)]
    return [at for pair in pairs for at in pair] + running[len(pairs) :]


def _inner_sign(unit: Unit, kind: Kind) -> bool:
    return kind is Kind.SIGN and unit.written not in _ENDS


class _Look(NamedTuple):
    """What a word or sign is, wherever it stands. bare: its kind where nothing makes it a name."""

    plain: str
    bare: Kind
    capital: bool
    capitals: bool


@lru_cache(maxsize=65_536)
def _look(written: str) -> _Look:
    plain, case = written.lower(), case_of(written)
    if not written[0].isalnum():
        return _Look(plain, Kind.SIGN, False, False)
    if any(letter.isdigit() for letter in plain) or plain in _NUMBER_WORDS:
        bare = Kind.NUMBER
    elif plain in _MONTHS_AND_DAYS:
        bare = Kind.DATE
    else:
        bare = Kind.LITTLE if little(written) else Kind.WORD
    capital = case is not Case.LOWER and plain not in _NO_NAME
    return _Look(plain, bare, capital, capital and len(plain) > 1 and case is Case.UPPER)


def _kind(
    units: Sequence[Unit], looks: Sequence[_Look], at: int, begins: bool, inside: Collection[str]
) -> Kind:
    """The kind of a word with a capital."""
    look = looks[at]
    if look.bare in (Kind.NUMBER, Kind.DATE):
        return look.bare
    if look.plain == "may" and not begins and units[at].written == "May":
        return Kind.DATE
    if (
        not begins
        or look.capitals
        or look.plain in inside
        or (at == 0 and len(units) > 1 and units[1].written == ":")
        or (at + 1 < len(units) and looks[at + 1].capital and not little(units[at].written))
    ):
        return Kind.NAME
    return look.bare


@lru_cache(maxsize=65_536)
def little(written: str) -> bool:
    """Whether a word is so common that it says little."""
    model = language()
    return sum(map(model.bits, pieces_of(written))) < _LITTLE_BITS


def _beginnings(units: Sequence[Unit], looks: Sequence[_Look]) -> list[bool]:
    """Whether a sentence begins with the unit."""
    begins, found = True, []
    for at, (written, gap) in enumerate(units):
        begins = begins or "\n" in gap
        found.append(begins)
        if looks[at].bare is not Kind.SIGN:
            begins = False
        elif written in _ENDS or (written == ":" and at == 1):
            begins = True
    return found
